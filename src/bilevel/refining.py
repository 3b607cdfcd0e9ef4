"""What finished runs learnt of a task's noise, kept beside the estimate of `bilevel noise` that it makes better.

Only where there is such an estimate of the same harness and machine: a run without one begins as it always did, so that
the same command gives the same run. Nothing is added twice, and nothing of another harness or machine is ever mixed in.
"""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel import machine
from bilevel.calibration import Estimate, folder_of, interval, last_fitting, put, stored_in
from bilevel.codec import content_hash
from bilevel.errors import HarnessError
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.noise import Noise, Repeats
from bilevel.report import own_trials
from bilevel.store.folder import RunFolder
from bilevel.tasks.external import External, ExternalFolder
from bilevel.trial import Run

RUNS = "runs"  # the folder of what runs learnt, beside the estimates


@dataclass(frozen=True)
class Learnt:
    """The repeats of one run: sums of squares within candidates, and within pairs of a candidate and its parent, each
    with its degrees of freedom (see `noise.Repeats`). `seed` is the run's; `digest` the hash of all scores."""

    task: str
    harness: str
    rung: str
    machine: Mapping[str, Any]
    run: str
    seed: int
    n: int
    squares: float
    degrees: int
    paired_squares: float
    paired_degrees: int
    digest: str
    date: str

    @property
    def repeats(self) -> Repeats:
        return Repeats(self.n, self.squares, self.degrees, self.paired_squares, self.paired_degrees)


def refine(folder: RunFolder[Any], spec: LoopSpec, root: Path | None = None) -> str:
    """Store what a finished run learnt, where an estimate fits; says in a sentence what came of it, empty for nothing.

    A run that went on elsewhere has scores of several machines: it is left.
    """
    inner = leaf(spec)
    if isinstance(inner.task, External | ExternalFolder) or any(
        one.get("differs") for one in folder.meta("machines") or []
    ):
        return ""
    estimate, _ = last_fitting(spec, root)
    if estimate is None or folder.meta("harness") not in (None, inner.task.harness):
        return ""
    if machine.fingerprint(folder.meta("environment") or {}) != machine.fingerprint(machine.facts()):
        return ""
    found = learnt_in(folder, spec)
    if found is None or any(one.digest == found.digest for one in _stored(spec, root)):
        return ""
    try:
        put(found, folder_of(inner.task.name, inner.top, root) / RUNS)
    except HarnessError as error:
        return f"noise: what this run learnt is not kept: {error}"
    return f"noise: {found.degrees} degrees of freedom of this run's repeats make the stored estimate better"


def learnt_in(folder: RunFolder[Any], spec: LoopSpec) -> Learnt | None:
    """What the repeats within a run say; None where nothing was repeated."""
    inner = leaf(spec)
    scores: dict[str, dict[int, float]] = {}
    parents: dict[str, str] = {}
    for _, trial in own_trials(folder.store, inner.name):
        parents.setdefault(trial.candidate.id, trial.parent.id)
        for candidate, runs in ((trial.candidate.id, trial.runs), (trial.parent.id, trial.parent_runs)):
            scores.setdefault(candidate, {}).update(_by_seed(runs, inner))
    total = Repeats()
    for candidate, own in scores.items():
        parent = parents.get(candidate, candidate)
        other = {} if parent == candidate else scores.get(parent, {})
        total = total.changed(Repeats(), Repeats.of(own, other))
    if not total.degrees:
        return None
    text = {candidate: {str(seed): value for seed, value in own.items()} for candidate, own in scores.items()}
    return Learnt(
        inner.task.name, inner.task.harness, inner.top, machine.facts(), folder.path.name, inner.seed, *total,
        content_hash(text), datetime.datetime.now(datetime.UTC).date().isoformat(),
    )  # fmt: skip


def _by_seed(runs: tuple[Run, ...], inner: LoopSpec) -> dict[int, float]:
    name = inner.task.objective.name
    return {
        run.seed: run.metrics[name]
        for run in runs
        if run.rung == inner.top and run.metrics is not None and name in run.metrics
    }


def refined(
    estimate: Estimate, spec: LoopSpec, root: Path | None = None, besides: int | None = None
) -> tuple[Noise, tuple[Learnt, ...]]:
    """The noise by an estimate and by what runs learnt on the same task, harness and machine; and those runs.

    Runs with the seed `besides` are left out: the same seed has the same scores, and what a run is about to see is
    nothing that it knows before.
    """
    found, total = tuple(one for one in _stored(spec, root) if one.seed != besides), Repeats()
    for one in found:
        total = total.changed(Repeats(), one.repeats)
    return (total.with_known(estimate.between) if found else estimate.between), found


def _stored(spec: LoopSpec, root: Path | None) -> Iterator[Learnt]:
    """What is stored of runs with this task, rung, harness and machine."""
    inner, here = leaf(spec), machine.fingerprint(machine.facts())
    for one in stored_in(folder_of(inner.task.name, inner.top, root) / RUNS, Learnt):
        if one.harness == inner.task.harness and machine.fingerprint(one.machine) == here:
            yield one


@dataclass(frozen=True)
class Found:
    """What a run may begin with, or why what is there was left."""

    noise: Noise | None = None
    sentence: str = ""


def known(spec: LoopSpec, root: Path | None = None) -> Found:
    """The last stored estimate that fits the innermost loop's task, rung and this machine, with what runs learnt since;
    never one that does not fit. Raises StoreError for a file that cannot be read."""
    there, left = last_fitting(spec, root)
    if there is None:
        return Found(None, f"noise: there is an estimate made {left}; it is not used") if left else Found()
    noise, runs = refined(there, spec, root, leaf(spec).seed)
    also = f", and from the repeats of {len(runs)} run{'s' if len(runs) > 1 else ''}" if runs else ""
    said = f"sd {noise.sd:.3g} over {noise.n} seeds is known from `bilevel noise` ({there.date}){also}"
    return Found(noise, f"noise: {said}; --noise own leaves it")


def in_words(noise: Noise) -> str:
    """An sd with its 95 % interval and what it rests on."""
    bounds = interval(noise)
    if bounds is None:
        return f"not known ({noise.n} scores)"
    return f"sd {noise.sd:.3g} [{bounds[0]:.3g}, {bounds[1]:.3g}] (95 %), {noise.degrees} degrees of freedom"
