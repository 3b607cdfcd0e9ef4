"""The register of the prompt is chosen by a bandit: the manner of speaking whose proposals are kept most often."""

import math
from dataclasses import replace
from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View


class RegisterBandit(Mechanism):
    """UCB1 over `registers`; a pull is worth 1 if its trial was kept. Every draft carries the register that it was
    made in as a note, so that the credit goes to the right one."""

    domain = "multi-armed bandit"
    registers = ("plain", "terse", "a sceptical reviewer")
    exploration = 0.7

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[int, int]]:
        """Register -> (pulls, trials that were kept)."""
        arms: dict[str, tuple[int, int]] = memory or {}
        used = trial.proposal.notes.get("register")
        if used is None:
            return arms
        pulls, kept = arms.get(used, (0, 0))
        return {**arms, used: (pulls + 1, kept + int(trial.decision.keep))}

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        return replace(briefing, register=self._best(view))

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        used = self._best(view)
        return tuple(replace(proposal, notes={**proposal.notes, "register": used}) for proposal in proposals)

    def _best(self, view: View) -> str:
        arms = view.memory or {}
        total = sum(pulls for pulls, _ in arms.values())
        return max(self.registers, key=lambda register: self._bound(arms.get(register, (0, 0)), total))

    def _bound(self, arm: tuple[int, int], total: int) -> float:
        pulls, kept = arm
        return kept / pulls + self.exploration * math.sqrt(math.log(max(total, 2)) / pulls) if pulls else math.inf
