"""The sealed test scores of a comparison: the baseline and the best candidate of each run, once, when it has ended.

They are facts of the run folders for the report of the comparison. No search, keep rule, test or claim sees them.
"""

from collections.abc import Mapping
from typing import Any

from bilevel import codec
from bilevel.claiming import SEALED
from bilevel.compare.folder import Folder, Job
from bilevel.errors import HarnessError, Stopped
from bilevel.facts import failure_reason
from bilevel.fresh import COMPARISON as FRESH
from bilevel.fresh import fresh_seed
from bilevel.lab import Bench, Lab
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.run import RunSession
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.task import Sealing
from bilevel.trial import Run, Status


def measure_sealed(folder: Folder, job: Job, session: RunSession, best: Candidate) -> None:
    """Measure what is still missing, where the plan has it measured. Arms of a replicate share the baseline's.

    Raises Stopped where somebody asked to stop, HarnessError where the machine fails twice.
    """
    inner = leaf(session.spec)
    if not folder.plan.sealed or not isinstance(inner.task, Sealing) or not inner.task.seals:
        return
    baseline, found = inner.task.baseline(), dict(session.folder.meta(SEALED) or {})
    if baseline.id not in found:
        found |= _of_another_arm(folder, job, baseline)
    for candidate in (baseline, best):
        if candidate.id not in found:
            found[candidate.id] = codec.plain(_measured(session.lab, inner, candidate))
        session.folder.set_meta(SEALED, found)


def _measured(lab: Lab, spec: LoopSpec, candidate: Candidate) -> Run:
    """One measurement; one that the machine failed is repeated once."""
    assert isinstance(spec.task, Sealing)
    options = next(rung.options for rung in spec.task.rungs if rung.name == spec.top)
    for _ in range(2):
        if lab.stop.is_set():
            raise Stopped("stopped before the sealed metrics were measured")
        bench = Bench(lab, spec.top, 0, fresh_seed(spec, FRESH, 0), options)
        run = lab.without_secrets(spec.task.sealed(candidate, bench))
        if run.status is not Status.INFRASTRUCTURE:
            return run
    raise HarnessError(f"the machine failed a sealed measurement twice: {failure_reason(run)}")


def _of_another_arm(folder: Folder, job: Job, baseline: Candidate) -> dict[str, Any]:
    """What another arm of the replicate has measured of the baseline; nothing where none has."""
    for other in folder.jobs:
        if other.pair != job.pair or other.arm == job.arm or not folder.exists(other):
            continue
        donor = RunFolder.read(folder.run_folder(other))
        try:
            known = donor.meta(SEALED) or {}
        finally:
            donor.close()
        if baseline.id in known:
            return {baseline.id: known[baseline.id]}
    return {}


def sealed_runs(folder: RunFolder[Any], baseline: str, best: str) -> dict[str, Run]:
    """What a run folder holds of the two, by who it is; their ids are given."""
    found: Mapping[str, Any] = folder.meta(SEALED) or {}
    return {who: codec.build(Run, found[one]) for who, one in (("baseline", baseline), ("best", best)) if one in found}
