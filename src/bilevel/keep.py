"""The default keep rule: a trial against its parent, beyond the noise."""

from bilevel.trace import Trace, top_scores
from bilevel.trial import Decision, Trial


def keep_by_default(trace: Trace, trial: Trial) -> Decision:
    """Greedy against the parent: keep what is better by more than the noise margin.

    Both are compared on the seeds that they share. A relative score is a gain already and compared with 0.
    """
    if trial.score is None:
        return Decision(False, trial.reason or trial.status.value)
    if trial.number == 0:
        return Decision(True, "the baseline")
    if trace.objective.relative:
        return _keep_relative(trial, trial.score)
    parent = trace.of(trial.parent.id)
    if parent is None or parent.score is None:
        return Decision(True, "its parent has no score")
    return _verdict(_paired_gain(trace, parent, trial), trace.noise.margin, f"its parent (trial {parent.number})")


def _keep_relative(trial: Trial, gain: float) -> Decision:
    """What a loop as a task says of its run: the innermost margin, why a gain is not credited, who wins a tie."""
    data = trial.runs[-1].data
    if data.get("discredit"):
        return Decision(False, str(data["discredit"]))
    if data.get("simpler") and gain == 0:
        return Decision(True, "equal to its control, and simpler")
    return _verdict(gain, float(data.get("margin", 0.0)), "its control" if data.get("control") else "the cycle's start")


def _paired_gain(trace: Trace, parent: Trial, trial: Trial) -> float:
    """The mean gain over the seeds that both were measured on, or the gain of the mean scores where there are none."""
    name = trace.objective.name
    old, new = top_scores(parent, name), top_scores(trial, name)
    shared = old.keys() & new.keys()
    if not shared or parent.score is None or trial.score is None:
        return trace.objective.gain(parent.score or 0.0, trial.score or 0.0)
    return sum(trace.objective.gain(old[seed], new[seed]) for seed in sorted(shared)) / len(shared)


def _verdict(gain: float, margin: float, than: str) -> Decision:
    if gain > margin:
        return Decision(True, f"better than {than} by {gain:.4g} (margin {margin:.2g})")
    if gain > 0:
        return Decision(False, f"better than {than} by {gain:.4g}, within the noise margin of {margin:.2g}")
    return Decision(False, f"not better than {than} ({-gain:.4g} worse)" if gain else f"equal to {than}")
