"""Level 1.5 by rules: reads the inner trace and turns the inner loop's settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bilevel.researchers.diagnosis import Diagnosis, diagnose
from bilevel.space import Candidate, Value
from bilevel.trace import Trace
from bilevel.trial import Proposal
from bilevel.view import Below, Briefing, View

FREEZE = "freeze."


@dataclass(frozen=True)
class SettingsRules:
    """Freezes what keeps failing, unfreezes on a plateau, steps wide when stuck and narrow after a success.

    A parameter is frozen after `failures` changes in a row that were not kept, as long as `least_active` stay free; at
    most `most_changed` are frozen or unfrozen at once (the surface's own limits must be no tighter). After `plateau`
    trials without an improvement the frozen ones are set free, longest frozen ones first, and the strategy is
    "explore"; within two trials of an improvement it is "exploit". Where half the drafts are turned back, more are
    asked for. The reason given is the diagnosis, with its numbers.
    """

    failures: int = 3
    least_active: int = 2
    most_changed: int = 3
    plateau: int = 8
    name: str = field(default="settings rules", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        below = view.below
        if below is None or len(below.trace) < 2:
            return [Proposal(parent, "no trial of the inner loop to learn from yet", self.name)]
        diagnosis = diagnose(below.trace, below.space)
        most = max(self.most_changed - briefing.attempt, 0)  # turned back: change less
        freezes, reasons = self._freezes(view, below.trace, parent, diagnosis, most)
        changes: dict[str, Value] = {
            **freezes,
            "strategy": self._strategy(diagnosis),
            "drafts": _drafts(diagnosis, parent),
        }
        changes = {name: value for name, value in changes.items() if name in view.space.active}
        files = dict(parent.files)
        if below.reads_advice and "guidance.md" in files:
            files["guidance.md"] = _guidance(diagnosis, below)
        candidate = Candidate({**parent.params, **changes}, files)
        said = "; ".join(sentence for _, sentence in diagnosis.ailments())
        turned = [f"{name}: {change.new!r}" for name, change in candidate.changes_from(parent).items()]
        why = f"{said}. {'; '.join([*reasons, *turned]) or 'nothing needs to be changed'}"
        return [Proposal(candidate, why, self.name, {"ailment": diagnosis.ailments()[0][0]})]

    def _freezes(
        self, view: View, trace: Trace, parent: Candidate, diagnosis: Diagnosis, most: int
    ) -> tuple[dict[str, Value], list[str]]:
        switches = [name for name in parent.params if name.startswith(FREEZE) and name in view.space.active]
        frozen = [name for name in switches if parent.params[name]]
        if diagnosis.plateau >= self.plateau and frozen:
            freed = sorted(frozen, key=lambda name: _last_change(trace, name.removeprefix(FREEZE)))[:most]
            reason = f"unfreeze {', '.join(name.removeprefix(FREEZE) for name in freed)} after the plateau"
            return dict.fromkeys(freed, False), [reason] if freed else []
        streaks = _failures(trace)
        tired = [
            n for n in switches if not parent.params[n] and streaks.get(n.removeprefix(FREEZE), 0) >= self.failures
        ]
        tired.sort(key=lambda name: -streaks[name.removeprefix(FREEZE)])
        room = max(len(switches) - len(frozen) - self.least_active, 0)
        chosen = tired[: min(most, room)]
        reasons = [
            f"freeze {name.removeprefix(FREEZE)}: {streaks[name.removeprefix(FREEZE)]} changes in a row not kept"
            for name in chosen
        ]
        return dict.fromkeys(chosen, True), reasons

    def _strategy(self, diagnosis: Diagnosis) -> str:
        if diagnosis.plateau >= self.plateau:
            return "explore"
        return "exploit" if diagnosis.plateau <= 2 else "balanced"


def _drafts(diagnosis: Diagnosis, parent: Candidate) -> int:
    drafts = parent.params.get("drafts", 1)
    now = drafts if isinstance(drafts, int) else 1
    return min(now + 1, 4) if diagnosis.turned_back >= 0.5 else now


def _failures(trace: Trace) -> dict[str, int]:
    """For each parameter, how many of its changes in a row, up to the last, were not kept."""
    streaks: dict[str, int] = {}
    for trial in trace:
        for name in trial.changes:
            streaks[name] = 0 if trial.decision.keep else streaks.get(name, 0) + 1
    return streaks


def _last_change(trace: Trace, name: str) -> int:
    return next((trial.number for trial in trace.newest() if name in trial.changes), -1)


def _guidance(diagnosis: Diagnosis, below: Below) -> str:
    changed = {name for trial in below.trace for name in trial.changes}
    untouched = [name for name in below.space.unlocked if name not in changed]
    lines = [
        f"{'hint: ' if ailment == 'crashes' else '- '}{sentence}"  # what crashes is named with its values
        for ailment, sentence in diagnosis.ailments()
    ]
    if untouched:
        lines.append(f"- never changed so far: {', '.join(untouched)}")
    return "What the trace shows:\n" + "\n".join(lines) + "\n"
