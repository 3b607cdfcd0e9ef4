"""The share of keeps that survive being measured again, and how sure it is."""

from collections.abc import Mapping, Sequence

import numpy as np

from bilevel.compare.outcome import Outcome
from bilevel.compare.rechecking import Again
from bilevel.compare.resampling import CONFIDENCE, Estimate, Numbers, bootstrap
from bilevel.compare.results import Survival


def survival_of(runs: Mapping[tuple[str, int], Outcome], seed: int) -> Survival:
    """The keeps of an arm's runs, by task and replicate.

    Runs are drawn again with all their keeps, since those of one run hang together, each from the last; within tasks.
    """
    keeps = [keep for one in runs.values() for keep in one.keeps.again]
    strata: dict[str, list[list[Again]]] = {}
    for (task, _), one in runs.items():
        known = [keep for keep in one.keeps.again if keep.gain is not None]
        if known:
            strata.setdefault(task, []).append(known)
    groups = list(strata.values())
    survived = _per_keep(groups, [[float((keep.gain or 0.0) > 0) for keep in run] for run in _flat(groups)], seed)
    return Survival(
        keeps=sum(one.keeps.count for one in runs.values()),
        again=len(keeps),
        failed=sum(keep.gain is None for keep in keeps),
        survived=_bounded(survived, len(_flat(groups))),
        claimed=_per_keep(groups, [[keep.claimed for keep in run] for run in _flat(groups)], seed),
        gain=_per_keep(groups, [[keep.gain or 0.0 for keep in run] for run in _flat(groups)], seed),
    )


def _flat(groups: Sequence[Sequence[list[Again]]]) -> list[list[Again]]:
    return [run for group in groups for run in group]


def _per_keep(groups: Sequence[Sequence[list[Again]]], values: Sequence[Sequence[float]], seed: int) -> Estimate:
    """The mean over all keeps, with the interval of a bootstrap that draws whole runs."""
    sums = np.array([sum(run) for run in values])
    counts = np.array([len(run) for run in values])

    def mean(drawn: Numbers) -> Numbers:
        places = drawn.astype(int)
        return np.asarray(sums[places].sum(axis=-1) / counts[places].sum(axis=-1))

    places = iter(range(len(values)))
    return bootstrap([[float(next(places)) for _ in group] for group in groups], mean, seed)


def _bounded(share: Estimate, runs: int) -> Estimate:
    """The share with an interval that is not empty where all keeps survived, or none: resamples of these are all alike.

    There the exact bound for so many runs is used, each taken as one observation of "all survived" (or "none did"):
    with chance q of that, all of n runs show it with q^n, so q >= (tail)^(1/n) (Clopper and Pearson 1934,
    doi:10.1093/biomet/26.4.404, at the ends), and the share of keeps lies no further in than q.
    """
    if share.value not in (0.0, 1.0) or share.low is None:
        return share
    least = ((1 - CONFIDENCE) / 2) ** (1 / runs)
    return Estimate(share.value, least, 1.0) if share.value else Estimate(share.value, 0.0, 1 - least)
