"""Placebo: a mechanism that is called everywhere and does nothing. The control for "any mechanism helps".

Source: the idea of a placebo arm in controlled trials; here it separates what a mechanism does from what comes of
merely having inserted one.
"""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Space
from bilevel.trial import Decision, Proposal, Run, Step, Trial
from bilevel.view import Briefing, View


class Placebo(Mechanism):
    """Every hook is defined and gives back what it was given: called often, touched never."""

    domain = "control"

    def remember(self, memory: Any, trial: Trial) -> Any:
        return memory

    def select(self, view: View, parent: Candidate) -> Candidate:
        return parent

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        return briefing

    def constrain(self, view: View, space: Space) -> Space:
        return space

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        return proposals

    def plan(
        self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]
    ) -> tuple[Step, ...]:
        return steps

    def decide(self, view: View, trial: Trial) -> Decision:
        return trial.decision
