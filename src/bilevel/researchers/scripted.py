"""A researcher that says what it was told to say. For tests and demonstrations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from bilevel.errors import InputError
from bilevel.space import Candidate, Value
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

Reply: TypeAlias = Mapping[str, Value] | Candidate


@dataclass(frozen=True)
class Scripted:
    """Replays `replies`: trial n gets reply n - 1, and the one after it for each time that it is asked again.

    A reply is the parameters to change, a whole candidate, or a list of these (several drafts). At the end it has
    nothing more to propose, or, with `strict`, raises InputError.
    """

    replies: Sequence[Reply | Sequence[Reply]] = ()
    strict: bool = False
    reads_advice: bool = False
    name: str = field(default="scripted", init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        index = view.number - 1 + briefing.attempt
        if index >= len(self.replies):
            if self.strict:
                raise InputError(f"the script has {len(self.replies)} replies and was asked for number {index + 1}")
            return []
        reply = self.replies[index]
        replies = [reply] if isinstance(reply, Mapping | Candidate) else reply
        return [Proposal(_candidate(item, parent), f"reply {index + 1} of the script", self.name) for item in replies]


def _candidate(reply: Reply, parent: Candidate) -> Candidate:
    return reply if isinstance(reply, Candidate) else parent.with_params(**reply)
