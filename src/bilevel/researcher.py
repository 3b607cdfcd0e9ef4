"""Port: a researcher, that is whoever proposes what to try next."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from bilevel.space import Candidate
from bilevel.trial import Lesson, Proposal
from bilevel.view import Briefing, View


@runtime_checkable
class Researcher(Protocol):
    """Proposes candidates; a pure function of its arguments.

    `reads_advice`: whether text in the briefing can change what it proposes. `free`: asking it again costs nothing, so
    that a mechanism's influence on it can be measured by asking with and without.
    """

    @property
    def name(self) -> str: ...
    @property
    def reads_advice(self) -> bool: ...
    @property
    def free(self) -> bool: ...

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """Up to `view.settings.drafts` proposals, best first; an empty list says that it has nothing to propose. One
        with `dropped` set is withdrawn, for that reason."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A researcher that draws lessons from its trials; asked once after each cycle where lessons are on."""

    def learn(self, view: View) -> Sequence[Lesson]:
        """The lessons of the trials since the last ones were drawn. The host checks them and drops what does not
        hold: unknown kinds, trials that do not exist."""
        ...
