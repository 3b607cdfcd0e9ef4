"""Port: a mechanism, and how one is loaded from its source text."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, ClassVar

from bilevel.errors import GuestError
from bilevel.space import Candidate, Space
from bilevel.trial import Decision, Proposal, Run, Step, Trial
from bilevel.view import Briefing, View

HOOKS = ("remember", "select", "advise", "constrain", "propose", "plan", "decide")


class Mechanism:
    """A rule that changes how a loop searches: what is tried and what is kept, never what was measured.

    Every hook is the identity unless overridden, and a pure function of its arguments. What a mechanism wants to
    remember it folds from the trace in `remember`, and finds again in `view.memory`.

    `needs` says where it can work: "numeric" (parameters that can be set), "advice" (a researcher that reads text).
    A mechanism that constructs candidates needs "numeric"; it cannot be lifted to a level where parameters are
    derived. `domain` is the idea it comes from, in a word or two.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    domain: ClassVar[str] = ""

    def remember(self, memory: Any, trial: Trial) -> Any:
        """The memory after one more trial; called once for each trial in order, first with memory None."""
        return memory

    def select(self, view: View, parent: Candidate) -> Candidate:
        """Where the next change starts from: a candidate of the trace that has a score."""
        return parent

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        """What the researcher is told."""
        return briefing

    def constrain(self, view: View, space: Space) -> Space:
        """The space to propose in: it may be frozen, narrowed, weighted, capped; never widened."""
        return space

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> Sequence[Proposal]:
        """The proposals to consider, first is best: added, replaced, repaired, reordered, or dropped with a reason."""
        return proposals

    def plan(self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]) -> Sequence[Step]:
        """What to run next; asked before the first run and after each, with what is known so far. Empty stops."""
        return steps

    def decide(self, view: View, trial: Trial) -> Decision:
        """Keep or discard; `trial.decision` is what was decided so far."""
        return trial.decision


@dataclass(frozen=True)
class Guest:
    """A mechanism in force: its name, and the source text that is stored, shown and loaded."""

    name: str
    source: str


def load(guest: Guest) -> Mechanism:
    """The one Mechanism that a source text defines, made without arguments.

    It runs the text in this process: only what comes with bilevel, or is your own, may come here; for the rest there is
    `sandbox.proxy.Sandbox.load`. Raises GuestError with the reason.
    """
    namespace: dict[str, Any] = {"__name__": f"bilevel_guest_{guest.name}"}
    try:
        exec(_compiled(guest), namespace)
    except (Exception, SystemExit) as error:
        raise GuestError(f"mechanism {guest.name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    found = {
        kind
        for kind in namespace.values()
        if isinstance(kind, type) and issubclass(kind, Mechanism) and kind.__module__ == namespace["__name__"]
    }
    if len(found) != 1:
        raise GuestError(f"mechanism {guest.name!r} must define exactly one subclass of Mechanism, not {len(found)}")
    try:
        return found.pop()()
    except (Exception, SystemExit) as error:
        raise GuestError(f"mechanism {guest.name!r} cannot be made: {type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=256)
def _compiled(guest: Guest) -> CodeType:
    return compile(guest.source, f"<mechanism {guest.name}>", "exec")


def overridden(mechanism: Mechanism) -> tuple[str, ...]:
    """The hooks that a mechanism really has, in the order of HOOKS."""
    return tuple(hook for hook in HOOKS if getattr(type(mechanism), hook) is not getattr(Mechanism, hook))
