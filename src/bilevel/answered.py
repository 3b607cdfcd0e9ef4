"""What was answered already, where the same question comes again: to see what is decisive, and in replays.

Guests are pure functions of their view, so a question has one answer. A leave-one-out asks the mechanisms before the
one that is left out what they were asked already; and the replay (`ladder`) asks every mechanism in force about the
same recorded trials for each mechanism that level 2 tries. So each costs only what is new: a trial, a mechanism, a
question that another one changed. Faults are not kept: who failed is asked again.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bilevel.view import View

MOST = 4_000  # questions; those that came up the longest ago are forgotten first
WITHIN_AN_ASK = 100  # for a loop, which asks the same again only to see what is decisive
APART = ("trace", "memory", "asks")  # the trace is known by its mark, the memory is made of it, no model is there


@dataclass
class Answers:
    """The answers of guests without a model behind them, by question; about the `most` newest."""

    most: int = MOST
    _known: OrderedDict[Hashable, list[tuple[View, object, Any]]] = field(default_factory=OrderedDict)
    _count: int = 0

    def get(self, key: Hashable, view: View, question: object, ask: Callable[[], Any]) -> Any:
        """What `ask` gives, or gave when it was asked the same. `key` says who is asked, and narrows the question."""
        place = (key, id(view.trace.mark), view.number)
        for seen, asked, answer in self._known.get(place, ()):
            if asked == question and _same(seen, view):
                self._known.move_to_end(place)
                return answer
        answer = ask()
        self._known.setdefault(place, []).append((replace(view, memory=None, asks=None), question, answer))
        self._known.move_to_end(place)
        self._count += 1
        while self._count > self.most:
            _, forgotten = self._known.popitem(last=False)
            self._count -= len(forgotten)
        return answer


def _same(one: View, other: View) -> bool:
    """Whether two views show the same; the trace is the same where its last trial is that very one."""
    if one.trace.mark is not other.trace.mark or one.trace.steering != other.trace.steering:
        return False
    names = (part.name for part in fields(View) if part.name not in APART)
    return all(getattr(one, name) == getattr(other, name) for name in names)
