"""Scores: improvements on different tasks, made comparable.

A score is the improvement as a share of the way from the baseline to the optimum; it is 1 - regret. Where a task does
not know its optimum, the way is that to the best which any run of the comparison found. The improvement in standard
deviations of the baseline, the other usual measure, is not used: it has no upper end (a gain of 50 on a quiet task
would outweigh all others), and a deterministic task has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bilevel.compare.outcome import Outcome, Step
from bilevel.compare.rechecking import Again, Keeps

NAME = "score"
OF = "share of the way from the baseline to the optimum"


@dataclass(frozen=True)
class Scores:
    """The outcomes with scores in place of gains. `to_optimum`: the tasks that know their optimum; `left_out`: why a
    task has no scores; `notes`: sentences for the reader."""

    outcomes: tuple[Outcome, ...]
    to_optimum: frozenset[str]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


def scores_of(outcomes: Sequence[Outcome]) -> Scores:
    """The scores of all runs that have a gain."""
    done = [one for one in outcomes if one.gain is not None]
    tasks = list(dict.fromkeys(one.job.task for one in done))
    ways: dict[str, float | None] = {}
    left_out = {}
    for task in tasks:
        own = [one for one in done if one.job.task == task]
        if all(one.whole is not None for one in own):
            continue
        best = max((one.gain or 0.0) for one in own)
        ways[task] = best if best > 0 else None
        if best <= 0:
            left_out[task] = "no run found anything better than the baseline, and its optimum is not known"
    scored = tuple(scored_by(one, ways.get(one.job.task, one.whole)) for one in outcomes)
    here = [task for task in ways if task not in left_out]
    notes = [f"task {task} has no scores and is in no average over tasks: {why}" for task, why in left_out.items()]
    if here:
        notes.append(
            f"the optimum of {', '.join(here)} is not known: its scores are shares of the way to the best found in "
            "this comparison, so they depend on which arms are in it"
        )
    return Scores(scored, frozenset(task for task in tasks if task not in ways), left_out, tuple(notes))


def scored_by(outcome: Outcome, way: float | None) -> Outcome:
    """The outcome in shares of a way; without gain, curve and regret where there is none."""
    if outcome.gain is None or way is None:
        return replace(outcome, gain=None, seen=None, regret=None, steps=(), keeps=Keeps())
    return replace(
        outcome,
        gain=outcome.gain / way,
        seen=None if outcome.seen is None else outcome.seen / way,
        steps=tuple(Step(step.spent, step.gain / way) for step in outcome.steps),
        keeps=Keeps(
            outcome.keeps.count,
            tuple(
                Again(one.claimed / way, None if one.gain is None else one.gain / way, one.reason)
                for one in outcome.keeps.again
            ),
        ),
    )
