"""The machine's failure is told from the candidate's: the first gets another run, the second stays forbidden."""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Status, Trial
from bilevel.view import Briefing, View

SIGNS = ("ModuleNotFoundError", "ImportError", "No space left", "Connection", "device is busy")


class MachineFailures(Mechanism):
    """A candidate is the machine's victim where the host says so (status infrastructure) or where its log shows one of
    SIGNS; it is measured again, before anything else, once. Out of memory, time out and every other crash are its own.
    """

    domain = "fault diagnosis"

    def remember(self, memory: Any, trial: Trial) -> tuple[tuple[Candidate, str], ...]:
        """Victims that were not measured again yet, each with the sign."""
        victims = tuple(item for item in memory or () if item[0].id != trial.candidate.id)
        sign, again = self._sign(trial), "retry" in trial.proposal.notes
        return (*victims, (trial.candidate, sign)) if sign and not again and trial.number else victims

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        victims = [item for item in (view.memory or ())[-4:] if not view.space.problems(item[0], parent)]
        return (*(self._retry(view, candidate, sign) for candidate, sign in victims), *proposals)

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        if not view.memory:
            return briefing
        lines = [f"{candidate.id}: {sign}" for candidate, sign in view.memory[-4:]]
        text = "The machine failed, not the candidate; nothing is known of it yet:\n" + "\n".join(lines)
        return briefing.with_block("machine failures", text, priority=6)

    def _retry(self, view: View, candidate: Candidate, sign: str) -> Proposal:
        repeats = int(view.trace.of(candidate.id) is not None)
        return Proposal(candidate, f"the machine failed ({sign})", notes={"retry": sign}, repeats=repeats)

    def _sign(self, trial: Trial) -> str:
        if trial.status is Status.INFRASTRUCTURE:
            return "the host says so"
        log = trial.runs[-1].log if trial.status is Status.EXIT and trial.runs else ""
        return next((sign for sign in SIGNS if sign in log), "")
