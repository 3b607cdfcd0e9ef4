"""Keeps measured again: how many kept candidates still beat the one they started from, on seeds that no search used.

A search that keeps what happened to look better shows many gains and has few; measured again on fresh seeds, a keep
without any effect lies above its parent in half of the cases. Nothing here changes a search: it is over by then.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bilevel.codec import derive_seed
from bilevel.compare.plan import Recheck
from bilevel.lab import Records, Traces
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.space import Candidate


@dataclass(frozen=True)
class Keep:
    """A candidate that was kept as better than its parent: `claimed` is its gain on the search's own seeds."""

    parent: Candidate
    candidate: Candidate
    claimed: float


@dataclass(frozen=True)
class Again:
    """A keep that was measured again: `gain` over its parent on fresh seeds, None where one of the two failed there,
    and `reason` says how."""

    claimed: float
    gain: float | None
    reason: str = ""


@dataclass(frozen=True)
class Keeps:
    """The keeps of one run: how many there were, and those that were measured again."""

    count: int = 0
    again: tuple[Again, ...] = ()


def keeps_of(records: Records, spec: LoopSpec) -> list[Keep]:
    """The keeps of the innermost loop on all branches, in order.

    A step that both arms of a fork took counts once. A trial that was kept though it did not look better (a mechanism
    may do that on purpose) claims nothing, so it is none.
    """
    traces, inner = Traces(records), leaf(spec)
    found: dict[tuple[str, str], Keep] = {}
    for branch in [branch for branch in records.branches() if branch.level == inner.name]:
        trace = traces.trace(branch.id, inner.task.objective)
        for trial in trace[branch.at :]:
            then = trace.upto(trial.number)  # later seeds of the two say nothing of what was claimed
            claimed = then.gain_of(trial) if trial.number > 0 and trial.decision.keep else None
            if claimed is not None and claimed > 0 and trial.candidate.id != trial.parent.id:
                step = (trial.parent.id, trial.candidate.id)
                found.setdefault(step, Keep(trial.parent, trial.candidate, claimed))
    return list(found.values())


def chosen(keeps: list[Keep], spec: LoopSpec, most: Recheck) -> list[Keep]:
    """Those that are measured again: all, or so many drawn by the run's seed, so that no stage of a run is favoured."""
    if most == "all" or len(keeps) <= most:
        return keeps
    drawn = random.Random(derive_seed(leaf(spec).seed, "recheck")).sample(range(len(keeps)), most)
    return [keeps[index] for index in sorted(drawn)]


def candidates(keeps: list[Keep]) -> Iterator[Candidate]:
    """What is to be measured."""
    for keep in keeps:
        yield keep.parent
        yield keep.candidate
