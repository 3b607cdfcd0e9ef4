"""The default keep rule: a trial against its parent, beyond the noise."""

from bilevel.evidence import forks_of, verdict
from bilevel.trace import Trace
from bilevel.trial import Decision, Trial

LONG_PROBATION = 6  # forks after which a mechanism that shows no sign of help has to go


def keep_by_default(trace: Trace, trial: Trial) -> Decision:
    """Greedy against the parent: keep what is better by more than the noise margin.

    Both are compared on the seeds that they share. A relative score is a gain already and compared with 0.
    """
    if trial.score is None:
        return Decision(False, trial.reason or trial.status.value)
    if trial.number == 0:
        return Decision(True, "the baseline")
    if trace.objective.relative:
        return _keep_relative(trace, trial, trial.score)
    parent, gain = trace.of(trial.parent.id), trace.gain_of(trial)
    if parent is None or gain is None:
        return Decision(True, "its parent has no score")
    return _verdict(gain, trace.noise.margin, f"its parent (trial {parent.number})")


def _keep_relative(trace: Trace, trial: Trial, gain: float) -> Decision:
    """What a loop as a task says of its run: the innermost margin, why a gain is not credited, who wins a tie."""
    data = trial.runs[-1].data
    left_out = any(test["sign"] < 0 for test in data.get("tests", ()))
    if left_out and trial.proposal.notes.get("probation"):  # the note alone anybody can write
        return _keep_ablation(trace, trial)
    if data.get("discredit"):
        return Decision(False, str(data["discredit"]))
    if data.get("simpler") and gain == 0:
        return Decision(True, "equal to its control, and simpler")
    return _verdict(gain, float(data.get("margin", 0.0)), "its control" if data.get("control") else "the cycle's start")


def _keep_ablation(trace: Trace, trial: Trial) -> Decision:
    """Whether a mechanism on probation, left out in this fork, stays out: on the evidence of all its forks, not one."""
    test = trial.runs[-1].data["tests"][0]
    forks = forks_of([*trace, trial], test["mechanism"], test["source"])
    found = verdict(forks)
    if found.word == "hurt":
        return Decision(True, f"rolled back on evidence: {test['mechanism']} {found.sentence}")
    if len(forks) >= LONG_PROBATION and found.effect <= 0:
        return Decision(True, f"retired: no sign that {test['mechanism']} helps; {found.sentence}")
    return Decision(False, f"{test['mechanism']} stays on probation: {found.sentence}")


def _verdict(gain: float, margin: float, than: str) -> Decision:
    if gain > margin:
        return Decision(True, f"better than {than} by {gain:.4g} (margin {margin:.3g})")
    if gain > 0:
        return Decision(False, f"better than {than} by {gain:.4g}, within the noise margin of {margin:.3g}")
    return Decision(False, f"not better than {than} ({-gain:.4g} worse)" if gain else f"equal to {than}")
