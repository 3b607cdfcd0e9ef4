"""Crash memory: what crashed, how, and which single value explains it; no draft repeats it.

Source: the idea of learning an unknown constraint from failures, M. A. Gelbart, J. Snoek, R. P. Adams, "Bayesian
Optimization with Unknown Constraints", 2014, arXiv:1403.5607; here by counting, without a model.
"""

import re
from typing import Any, TypeAlias

from bilevel.codec import content_hash
from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Derived, Value
from bilevel.trial import Proposal, Status, Trial
from bilevel.view import Briefing, View

CRASHES = (
    Status.EXIT, Status.TIME_OUT, Status.OUT_OF_MEMORY, Status.OUTPUT_LIMIT, Status.INVALID_METRIC, Status.DIVERGED,
)  # fmt: skip

NUMBER = re.compile(r"-?\b\d+(\.\d+)?\b")

Memory: TypeAlias = tuple[tuple[Trial, ...], frozenset[tuple[str, Value]], dict[tuple[str, Value], tuple[Trial, ...]]]
NOTHING: Memory = ((), frozenset(), {})


class CrashMemory(Mechanism):
    """Tell the researcher which typed changes crashed and how, and refuse a draft that repeats one.

    A value is to blame for a crash if its trial changed it, no ok trial ever had it, and every other value that the
    trial changed was in an ok trial. `times` crashes that nothing else explains make a value forbidden. Where each
    value of a crash was fine elsewhere, the crash is joint: that is told, not forbidden. Failures of the machine,
    refusals and pruned trials are no crashes. At most `told` crashes are named.

    Where all parameters are derived, as on a loop that searches mechanisms, a value is a source, whatever numbers stand
    in it, and a mechanism that failed in a hook while it was tried crashed too. What the door refused is refused again.
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
        if view.space.domains and all(isinstance(domain, Derived) for domain in view.space.domains.values()):
            return tuple(self._judged_by_sources(view, parent, proposal) for proposal in proposals)
        memory = view.memory or NOTHING
        return tuple(self._judged(parent, proposal, memory) for proposal in proposals) if memory[0] else proposals

    def _judged(self, parent: Candidate, proposal: Proposal, memory: Memory) -> Proposal:
        if proposal.repeats or proposal.dropped:
            return proposal
        _, fine, by_value = memory
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

    def _judged_by_sources(self, view: View, parent: Candidate, proposal: Proposal) -> Proposal:
        ran = [trial for trial in view.trace if trial.runs and trial.status in (Status.OK, *CRASHES)]
        tries = [
            (t, name, self._kind(t.candidate, name)) for t in ran for name in t.candidate.files_changed_from(t.parent)
        ]
        fine = {kind for trial, name, kind in tries if not self._failed(trial, name)}
        refused = {climb.source for trial in view.trace for climb in trial.climbs if climb.outcome == "refused"}
        new = {} if proposal.repeats or proposal.dropped else proposal.candidate.files
        for name in proposal.candidate.files_changed_from(parent):
            kind = self._kind(proposal.candidate, name)
            crashes = [trial.number for trial, _, other in tries if other == kind and kind not in fine]
            if name in new and content_hash(new[name]) in refused:
                return proposal.drop(f"{name} was refused before, this very text")
            if name in new and crashes and len(crashes) >= self.times:
                return proposal.drop(f"{name} failed before (trial {crashes[-1]}), and was never sound")
        return proposal

    def _kind(self, candidate: Candidate, name: str) -> str:
        return NUMBER.sub("0", candidate.files.get(name, ""))

    def _failed(self, trial: Trial, name: str) -> bool:
        hooks = trial.runs[-1].data.get("ledger", {}).get(name, {})  # of the loop below: calls ... faults of each hook
        return trial.status in CRASHES or any(counts[-1] for counts in hooks.values())

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
