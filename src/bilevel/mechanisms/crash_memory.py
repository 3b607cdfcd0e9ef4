"""Crash memory: what crashed, how, and which single value explains it; no draft repeats it.

Source: the idea of learning an unknown constraint from failures, M. A. Gelbart, J. Snoek, R. P. Adams, "Bayesian
Optimization with Unknown Constraints", 2014, arXiv:1403.5607; here by counting, without a model.
"""

from typing import Any, TypeAlias

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Value
from bilevel.trial import Proposal, Status, Trial
from bilevel.view import Briefing, View

CRASHES = (
    Status.EXIT, Status.TIME_OUT, Status.OUT_OF_MEMORY, Status.OUTPUT_LIMIT, Status.INVALID_METRIC, Status.DIVERGED,
)  # fmt: skip

Memory: TypeAlias = tuple[tuple[Trial, ...], frozenset[tuple[str, Value]], dict[tuple[str, Value], tuple[Trial, ...]]]
NOTHING: Memory = ((), frozenset(), {})


class CrashMemory(Mechanism):
    """Tell the researcher which typed changes crashed and how, and refuse a draft that repeats one.

    A value is to blame for a crash if its trial changed it, no ok trial ever had it, and every other value that the
    trial changed was in an ok trial. `times` crashes that nothing else explains make a value forbidden. Where each
    value of a crash was fine elsewhere, the crash is joint: that is told, not forbidden. Failures of the machine,
    refusals and pruned trials are no crashes. At most `told` crashes are named.
    """

    domain = "learned constraints"
    times = 1
    told = 8

    def remember(self, memory: Any, trial: Trial) -> Memory:
        """What crashed, which values ran, and by each changed value the crashes in which it was changed."""
        crashes, fine, by_value = memory or NOTHING
        if trial.status is Status.OK:
            return crashes, fine | trial.candidate.params.items(), by_value
        if not self._crashed(trial):
            return crashes, fine, by_value
        new = {(name, change.new) for name, change in trial.changes.items()}
        added = {value: (*by_value.get(value, ()), trial) for value in new}
        return (*crashes, trial), fine, {**by_value, **added}

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        crashes, fine, _ = view.memory or NOTHING
        if not crashes:
            return briefing
        lines = [self._line(trial, fine) for trial in crashes[: -self.told - 1 : -1]]
        text = f"{len(crashes)} of {len(view.trace)} trials crashed; the newest:\n" + "\n".join(lines)
        return briefing.with_block("crash memory", text[:4000], priority=5)

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        crashes, fine, by_value = view.memory or NOTHING
        if not crashes:
            return proposals
        return tuple(self._judged(parent, proposal, fine, by_value) for proposal in proposals)

    def _judged(
        self,
        parent: Candidate,
        proposal: Proposal,
        fine: frozenset[tuple[str, Value]],
        by_value: dict[tuple[str, Value], tuple[Trial, ...]],
    ) -> Proposal:
        if proposal.repeats or proposal.dropped:
            return proposal
        for name, change in proposal.candidate.changes_from(parent).items():
            value = (name, change.new)
            blamed = [trial for trial in by_value.get(value, ()) if self._to_blame(trial, fine) == [value]]
            if len(blamed) >= self.times:
                last = blamed[-1]
                return proposal.drop(
                    f"{name} = {change.new!r} crashed before (trial {last.number}: {last.status.value}, {last.reason}) "
                    "and no trial with it ever ran"
                )
        return proposal

    def _crashed(self, trial: Trial) -> bool:
        return trial.status in CRASHES and bool(trial.changes)

    def _to_blame(self, trial: Trial, fine: frozenset[tuple[str, Value]]) -> list[tuple[str, Value]]:
        """The changed values that were in no trial that ran."""
        return [(name, change.new) for name, change in trial.changes.items() if (name, change.new) not in fine]

    def _line(self, trial: Trial, fine: frozenset[tuple[str, Value]]) -> str:
        changes = ", ".join(f"{name}: {change.old!r} -> {change.new!r}" for name, change in trial.changes.items())
        line = f"- trial {trial.number}: {changes}: {trial.status.value}, {trial.reason[:200]}"
        joint = len(trial.changes) > 1 and not self._to_blame(trial, fine)
        return line + (" (each value ran elsewhere: it is their combination)" if joint else "")
