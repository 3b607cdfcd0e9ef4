"""Memory rules: which lessons of a search are kept, and which of those are shown for a trial.

    ---
    keep: works, fails
    confidence: 0.5
    newest: 20
    retrieve: free
    most: 4
    show: rule
    ---
    why, for people

`keep`: kinds of lessons (all of them if it is not there). `confidence`: the least. `newest`: only lessons whose last
trial is among so many. `retrieve`: all, `free` (those that name no parameter, or one that may be changed now) or
`recent` (the last ones first of all). `most`: how many at most. `show`: both, rule, or summary. Several rules apply one
after the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bilevel.mechanism import Guest
from bilevel.researchers.headed import headed, only
from bilevel.trial import KINDS_OF_LESSON, Lesson
from bilevel.view import View

KEYS = ("keep", "confidence", "newest", "retrieve", "most", "show")
RETRIEVE = ("all", "free", "recent")
SHOW = ("both", "rule", "summary")


@dataclass(frozen=True)
class MemoryRule:
    """A memory rule as it was read."""

    keep: frozenset[str] = frozenset(KINDS_OF_LESSON)
    confidence: float = 0.0
    newest: int = 0
    retrieve: str = "all"
    most: int = 0
    show: str = "both"

    def of(self, lessons: Sequence[Lesson], view: View) -> tuple[Lesson, ...]:
        """The lessons that are shown for the trial of a view, as they are shown."""
        first = len(view.trace) - self.newest if self.newest else 0
        found = [one for one in lessons if one.kind in self.keep and one.confidence >= self.confidence]
        found = [one for one in found if not self.newest or max(one.trials, default=-1) >= first]
        if self.retrieve == "free":
            found = [one for one in found if _about_free(one, view)]
        if self.most and len(found) > self.most:
            best = sorted(found, key=lambda one: -one.confidence)[: self.most]
            found = found[-self.most :] if self.retrieve == "recent" else [one for one in found if one in best]
        return tuple(map(self._shown, found))

    def _shown(self, lesson: Lesson) -> Lesson:
        if self.show == "rule":
            return replace(lesson, summary="")
        return replace(lesson, rule="") if self.show == "summary" else lesson


def read_memory(text: Guest) -> MemoryRule:
    """A memory rule from its text. Raises ValueError with all that is wrong."""
    found = headed(text.source, KEYS)
    wrong = only(found, *(key for key in KEYS if key in found.head))
    if not found.head:
        wrong.append(f"a memory rule has a head with at least one of: {', '.join(KEYS)}")
    kinds = frozenset(part.strip() for part in found.one("keep", ", ".join(KINDS_OF_LESSON)).split(","))
    if odd := sorted(kinds - set(KINDS_OF_LESSON)):
        wrong.append(f"keep: there is no kind {odd[0]!r}; the kinds are: {', '.join(KINDS_OF_LESSON)}")
    confidence, newest, most = (found.one(key, "0") for key in ("confidence", "newest", "most"))
    if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", confidence):
        wrong.append(f"confidence: a number from 0 to 1, not {confidence!r}")
    wrong += [
        f"{key}: a whole number from 1 to 9999, not {value!r}"
        for key, value in (("newest", newest), ("most", most))
        if key in found.head and not re.fullmatch(r"[1-9]\d{0,3}", value)
    ]
    retrieve, show = found.one("retrieve", "all"), found.one("show", "both")
    for key, value, known in (("retrieve", retrieve, RETRIEVE), ("show", show, SHOW)):
        if value not in known:
            wrong.append(f"{key}: one of {', '.join(known)}, not {value!r}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return MemoryRule(kinds, float(confidence), int(newest), retrieve, int(most), show)


def _about_free(lesson: Lesson, view: View) -> bool:
    said = f"{lesson.summary} {lesson.rule}"
    named = [name for name in view.space.domains if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", said)]
    return not named or any(name in view.space.active for name in named)
