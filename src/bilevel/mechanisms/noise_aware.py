"""Noise-aware keeping: a promising candidate is repeated on further seeds, and kept only if its gain stands.

Source: the intensification of F. Hutter, H. H. Hoos, K. Leyton-Brown, "Sequential Model-Based Optimization for General
Algorithm Configuration", 2011, doi:10.1007/978-3-642-25566-3_40: a challenger is run again while it is not worse.
"""

import math

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trace import Trace, top_scores
from bilevel.trial import Decision, Proposal, Run, Status, Step, Trial
from bilevel.view import View


class NoiseAware(Mechanism):
    """Run a candidate on up to `seeds` seeds as long as its mean gain on the seeds shared with the current candidate is
    above 0; keep it if the mean over all n shared seeds exceeds the noise margin divided by the root of n, and the mean
    over the seeds added here is above 0 too (the first one was chosen for looking good).

    A candidate within that margin is a tie: the simpler one stays, the shorter program or, where nobody knows, the one
    with fewer settings away from the baseline; but never one that is worse than the incumbent by more than the margin
    of single runs. Simpler candidates are repeated too while they are within the margin. Nothing is changed where no
    noise was measured, where scores are relative, and where a trial shares fewer than two seeds with its parent.
    """

    domain = "racing"
    seeds = 3

    def plan(
        self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]
    ) -> tuple[Step, ...]:
        baseline, current, metric = view.trace.baseline, view.trace.current, view.objective.name
        margin = view.trace.noise.margin
        if not partial or steps or proposal.repeats or margin <= 0 or view.objective.relative:
            return steps
        if baseline is None or not baseline.runs or current is None or partial[-1].status is not Status.OK:
            return steps
        top = baseline.runs[-1].rung
        mine = {r.seed: r.metrics[metric] for r in partial if r.rung == top and r.metrics and metric in r.metrics}
        theirs = _scores(view.trace, current)
        gains = [view.objective.gain(theirs[seed], mine[seed]) for seed in mine.keys() & theirs.keys()]
        if not gains or len(mine) >= self.seeds:
            return steps
        gain = sum(gains) / len(gains)
        hopeful = gain > 0 or (gain >= -margin and _simpler(baseline, partial[-1], proposal.candidate, current, view))
        fresh = [seed for seed in (*sorted(theirs), *range(32)) if seed not in mine]
        return (Step(top, fresh[0]),) if hopeful and fresh else steps

    def decide(self, view: View, trial: Trial) -> Decision:
        baseline, best, noise = view.trace.baseline, view.trace.incumbent, view.trace.noise
        if trial.score is None or view.objective.relative or noise.margin <= 0 or baseline is None:
            return trial.decision
        mine, theirs = top_scores(trial, view.objective.name), _scores(view.trace, trial.parent)
        shared = [seed for seed in mine if seed in theirs]  # in the order in which they were run
        if len(shared) < 2:
            return trial.decision
        gains = [view.objective.gain(theirs[seed], mine[seed]) for seed in shared]
        gain, again = sum(gains) / len(gains), sum(gains[1:]) / len(gains[1:])
        margin = noise.margin / math.sqrt(len(gains))
        said = f"mean gain {gain:.3g} over {len(gains)} seeds (margin {margin:.2g})"
        if gain > margin and again > 0:
            return Decision(True, f"stands after repeats: {said}")
        if gain > margin:
            return Decision(
                False, f"does not stand after repeats: {said}, but {again:.3g} on the seeds after the first"
            )
        near = best is None or best.score is None or view.objective.gain(trial.score, best.score) <= noise.margin
        if gain >= -margin and near and _simpler(baseline, trial.runs[-1], trial.candidate, trial.parent, view):
            return Decision(True, f"a tie that goes to the simpler candidate: {said}")
        return Decision(False, f"does not stand after repeats: {said}")


def _scores(trace: Trace, candidate: Candidate) -> dict[int, float]:
    """A candidate's score per seed on the top rung, over all trials that measured it."""
    found: dict[int, float] = {}
    for trial in trace.measured(candidate.id)[:8]:
        found = {**top_scores(trial, trace.objective.name), **found}
    return found


def _simpler(baseline: Trial, run: Run, candidate: Candidate, parent: Candidate, view: View) -> bool:
    """Whether a candidate's program is shorter than its parent's, or, where nobody knows, its settings are fewer."""
    old = view.trace.of(parent.id)
    before = old.runs[-1].data.get("program_characters") if old is not None and old.runs else None
    after = run.data.get("program_characters")
    if isinstance(before, int) and isinstance(after, int) and before != after:
        return after < before
    start = baseline.candidate
    return not candidate.files_changed_from(parent) and (
        len(candidate.changes_from(start)) < len(parent.changes_from(start))
    )
