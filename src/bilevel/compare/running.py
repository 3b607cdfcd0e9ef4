"""One run of a comparison: an ordinary run in a folder of its own, then its best candidate on fresh seeds."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bilevel.budget import Limits
from bilevel.codec import derive_seed
from bilevel.compare.absent import kept_of
from bilevel.compare.folder import COMPARISON, Folder, Job, program, write_text
from bilevel.compare.plan import Plan
from bilevel.compare.rechecking import candidates, chosen, keeps_of
from bilevel.compare.sealing import measure_sealed
from bilevel.errors import BilevelError, DiskFull, Diverged, Stopped, StoreError
from bilevel.fresh import COMPARISON as FRESH
from bilevel.fresh import Measurements, baseline_of, deterministic, fresh_seed, key_of, look, measure, steady
from bilevel.lab import RunKey
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.machine import differences
from bilevel.models import check_prices, connected
from bilevel.recipe import resolve
from bilevel.report import archive_best
from bilevel.run import MACHINES, RunSession, resume, start, stopping
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.trial import Run
from bilevel.wiring import build

ENDED = ("finished", "limit")


def check_models(plan: Plan) -> None:
    """Raises InputError, before anything is made, where a run of the plan could not ask its models."""
    for arm in plan.arms:
        recipe = plan.recipe(arm, 1, next(iter(plan.harnesses)))
        check_prices(recipe, Limits(**recipe.limits.model_dump()))
        connected(recipe, build(recipe))


def execute(folder: Folder, job: Job) -> str:
    """Do what is left of a run; gives the reason where it failed, which is stored too.

    Raises Stopped where somebody asked to stop, and DiskFull.
    """
    note = folder.failure_file(job)
    try:
        with _session(folder, job) as session:
            _share(folder, job, session)
            with stopping(session.lab):
                session.execute()
                _measure_again(folder, job, session)
    except (Stopped, DiskFull):
        raise
    except BilevelError as error:
        write_text(note, f"{type(error).__name__}: {error}\n")
        return str(error)
    note.unlink(missing_ok=True)
    return ""


def is_done(folder: Folder, job: Job) -> bool:
    """Whether nothing is left to do: the search has ended, and its best candidate is measured on all fresh seeds."""
    if not folder.exists(job) or not _was_started(folder.run_folder(job)):
        return False
    opened = RunFolder.read(folder.run_folder(job))
    try:
        return opened.meta("state") in ENDED and bool((opened.meta(COMPARISON) or {}).get("measured_again"))
    finally:
        opened.close()


def _session(folder: Folder, job: Job) -> RunSession:
    path = folder.run_folder(job)
    if folder.exists(job) and _was_started(path):
        check_belongs(folder, job)
        return resume(path)
    if path.exists():
        shutil.rmtree(path)  # killed before anything was stored
    session = start(folder.plan.recipe(job.arm, job.replicate, job.task), path, as_planned=True)
    facts = {
        "plan": folder.plan.hash,
        "arm": job.arm,
        "replicate": job.replicate,
        "task": job.task,
        "program": program(),
        **kept_of(leaf(session.spec).task),
    }
    session.folder.set_meta(COMPARISON, facts)
    return session


def check_belongs(folder: Folder, job: Job) -> None:
    """Raises Diverged for a run of another plan or machine, or one that was given other limits since."""
    path = folder.run_folder(job)
    opened = RunFolder.read(path)
    try:
        facts, limits, made_on = opened.meta(COMPARISON) or {}, opened.meta("limits"), opened.meta("environment") or {}
        further = opened.meta(MACHINES)
        wanted, kept = folder.plan.recipe(job.arm, job.replicate, job.task), resolve(opened.config["recipe"])
    finally:
        opened.close()
    wrong = (
        "it belongs to another plan"
        if facts.get("plan") != folder.plan.hash or kept.model_copy(update={"agent": wanted.agent}) != wanted
        else "it was made on another machine"
        if further or differences(folder.started.get("machine", {}), made_on)
        else "its limits were changed"
        if limits is not None and limits != wanted.limits.model_dump()
        else ""
    )
    if wrong:
        raise Diverged(f"run {str(path)!r} is no part of this comparison: {wrong}; remove it, and it is run again")


def _was_started(path: Path) -> bool:
    opened = RunFolder.read(path)
    try:
        return bool(opened.config) and opened.meta(COMPARISON) is not None
    except StoreError:
        return False
    finally:
        opened.close()


# ---- the baseline of a replicate is measured once, by whoever comes first ----


def _share(folder: Folder, job: Job, session: RunSession) -> None:
    """Give the run what another arm has measured of the baseline: that of the search is charged like its own; what is
    on fresh seeds is beyond every arm's budget."""
    store, spec = session.folder.store, leaf(session.spec)
    calibration, fresh = _baseline_keys(folder, spec)
    missing = [key for key in (*calibration, *fresh) if store.find_run(key) is None]
    for other in folder.jobs:
        if not missing or other.pair != job.pair or other.arm == job.arm or not folder.exists(other):
            continue
        if not _was_started(folder.run_folder(other)):  # killed before anything was stored
            continue
        donor = RunFolder.read(folder.run_folder(other))
        try:
            found = {key: run for key in missing if (run := donor.store.find_run(key)) is not None}
        finally:
            donor.close()
        for key, run in found.items():
            store.add_run(key, run)
            session.lab.elapsed += run.cost.seconds if key in calibration else 0.0
        session.lab.save_seconds()
        missing = [key for key in missing if key not in found]


def _baseline_keys(folder: Folder, spec: LoopSpec) -> tuple[list[RunKey], list[RunKey]]:
    """Of the measurements of the baseline: those of the search, and those on fresh seeds."""
    seeds = [derive_seed(spec.seed, "evaluation", index) for index in range(spec.calibration)]
    calibration, fresh = (
        [key_of(spec, spec.task.baseline().id, seed) for seed in each]
        for each in (seeds, fresh_seeds(spec, folder.plan.fresh))
    )
    return calibration, fresh


# ---- fresh seeds ----


def fresh_seeds(spec: LoopSpec, count: int) -> list[int]:
    """Seeds of the replicate that no search uses, the same for all arms."""
    return [fresh_seed(spec, FRESH, index) for index in range(count)]


def fresh_runs(records: Measurements, spec: LoopSpec, candidate: Candidate, count: int) -> list[Run | None]:
    """What was measured of a candidate on the fresh seeds."""
    inner = leaf(spec)
    return [records.find_run(key_of(inner, candidate.id, seed)) for seed in fresh_seeds(inner, count)]


def _measure_again(folder: Folder, job: Job, session: RunSession) -> None:
    """Measure the baseline, the best candidate, and keeps with their parents on the fresh seeds, beyond the limits."""
    store, spec = session.folder.store, session.spec
    best, inner = archive_best(store, spec), leaf(spec)
    session.lab.limits = Limits()
    first = baseline_of(store, inner)
    if best is not None and steady(inner, first):
        look(session.lab, inner, best[1].candidate, FRESH, folder.plan.fresh)
    if best is not None and not deterministic(store, inner, first, best[1].candidate.id, FRESH):
        again = chosen(keeps_of(store, spec), spec, folder.plan.recheck) if folder.plan.recheck else []
        wanted = {one.id: one for one in (inner.task.baseline(), best[1].candidate, *candidates(again))}
        if again:
            _borrow(folder, job, session, list(wanted))
        for candidate in wanted.values():
            for seed in fresh_seeds(inner, folder.plan.fresh):
                measure(session.lab, inner, candidate, seed)
    if best is not None:
        measure_sealed(folder, job, session, best[1].candidate)
    facts = session.folder.meta(COMPARISON)
    session.folder.set_meta(COMPARISON, {**facts, "measured_again": True})


def _borrow(folder: Folder, job: Job, session: RunSession, wanted: Sequence[str]) -> None:
    """Take over what finished runs of other arms on the same seeds have measured of the candidates."""
    inner, store = leaf(session.spec), session.folder.store
    keys = [key_of(inner, one, seed) for one in wanted for seed in fresh_seeds(inner, folder.plan.fresh)]
    for other in folder.jobs:
        keys = [key for key in keys if store.find_run(key) is None]
        if not keys or other.pair != job.pair or other.arm == job.arm or not is_done(folder, other):
            continue
        donor = RunFolder.read(folder.run_folder(other))
        try:
            for key in keys:
                run = donor.store.find_run(key)
                if run is not None:
                    store.add_run(key, run)
        finally:
            donor.close()
