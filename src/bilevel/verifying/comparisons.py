"""A comparison: its plan, each of its runs, and its reports, made again from the runs."""

from pathlib import Path

from bilevel import machine
from bilevel.codec import content_hash, derive_seed, plain
from bilevel.compare.absent import refuse_without
from bilevel.compare.analysis import analyse
from bilevel.compare.folder import COMPARISON, PLAN, STARTED, Folder, Job, program
from bilevel.compare.html import page
from bilevel.compare.markdown import markdown
from bilevel.compare.plan import load
from bilevel.compare.results import Result
from bilevel.compare.stating import statements_of
from bilevel.errors import BilevelError
from bilevel.recipe import resolve
from bilevel.reporting.comparison import written_result
from bilevel.statements import FILE as CLAIMS
from bilevel.statements import lists, written
from bilevel.store.folder import RunFolder
from bilevel.verifying.runs import check_run, read_json
from bilevel.verifying.tally import NOTHING, Tally
from bilevel.verifying.text import check_text

RESULT, REPORT, PAGE = "result.json", "report.md", "report.html"
REPORTS = (RESULT, REPORT, PAGE, CLAIMS)


def check_comparison(tally: Tally, path: Path, stated: Path | None = None) -> None:
    """A comparison's folder. `stated`: the one file of it that is looked at, beside the records."""
    data = read_json(path / PLAN)
    folder = Folder(path, load(data))
    refuse_without(folder, f"{str(path)!r} cannot be verified")
    _on_this_machine(tally, folder)
    whole = _check_plan(tally, folder, content_hash(data))
    for job in folder.jobs:
        _check_job(tally, folder, job, content_hash(data))
    if not whole:
        _reports_by_plan(tally, folder)
        return
    try:
        result = analyse(folder)
    except BilevelError as error:
        tally.differs("the comparison", "runs that can be compared", f"none: {error}")
        return
    for name in REPORTS if stated is None else (stated.name,):
        _check_report(tally, folder, result, path / name if stated is None else stated)


def _on_this_machine(tally: Tally, folder: Folder) -> None:
    started = folder.started
    others = machine.differences(started.get("machine", {}), machine.facts())
    tally.exact = not others
    if others:
        tally.note(f"made on another machine ({others[0]}): numbers are compared to nine digits")
    if not started:
        tally.note("the comparison has not begun")
    elif started.get("program") != program():
        tally.note("made by another version of this program: what it computes otherwise shows as a difference")


def _check_plan(tally: Tally, folder: Folder, found: str) -> bool:
    """Whether the plan is the one that was hashed before anything ran."""
    plan, began = folder.plan, folder.started.get("plan")
    seeds = [derive_seed(plan.seed, "replicate", number) for number in range(1, len(plan.seeds) + 1)]
    tally.equal(f"{PLAN}.seeds", list(plan.seeds), seeds)
    if began is not None and began != found:
        tally.differs(f"{STARTED}.plan", f"the plan's hash {began[:12]}", f"{found[:12]}, the hash of {PLAN} as it is")
    return began in (None, found)


def _check_job(tally: Tally, folder: Folder, job: Job, found: str) -> None:
    """One run: its recipe is the plan's, it says so, and its own records hold together."""
    path = folder.run_folder(job)
    place = str(path.relative_to(folder.path))
    if not folder.exists(job):
        _check_missing(tally, folder, job, place)
        return
    own = Tally(place=f"{place}: ")
    try:
        opened = RunFolder.read(path)
        try:
            facts, kept = opened.meta(COMPARISON) or {}, resolve(opened.config["recipe"])
        finally:
            opened.close()
        wanted = folder.plan.recipe(job.arm, job.replicate, job.task)
        _check_recipe(tally, job, wanted.model_dump(mode="json"), kept.model_dump(mode="json"), place)
        if facts.get("plan") != found:
            own.differs("the run's own record", f"plan {str(facts.get('plan'))[:12]}", f"{found[:12]}, that of {PLAN}")
        check_run(own, path)
    except BilevelError as error:
        own.differs("the run", "a record", f"none: {error}")
    tally.checked += own.checked
    tally.differences += own.differences
    tally.notes += [note for note in own.notes if "decided" not in note]


def _check_missing(tally: Tally, folder: Folder, job: Job, place: str) -> None:
    """A run that is not there: only a report that says so may do without it."""
    result = read_json(folder.path / RESULT) if (folder.path / RESULT).is_file() else None
    known = [(one["arm"], one["replicate"], one.get("task", "")) for one in (result or {}).get("missing", ())]
    several = job.task if len(folder.plan.tasks) > 1 else ""
    if result is None or (job.arm, job.replicate, several) in known:
        tally.note(f"{place}: this run is missing")
    else:
        tally.differs(place, f"a run, counted in {RESULT}", f"{NOTHING}: the run folder is not there")


def _check_recipe(tally: Tally, job: Job, wanted: object, kept: object, place: str) -> None:
    """The plan's recipe of an arm against the one that a run kept."""
    own = Tally()
    own.equal(f"{PLAN}.arms.{job.arm}", _without_agent(wanted), _without_agent(kept))
    tally.checked += own.checked
    for each in own.differences:
        tally.differs(f"{each.where}, beside {place}", each.stated, each.given)


def _without_agent(recipe: object) -> object:
    return {key: value for key, value in recipe.items() if key != "agent"} if isinstance(recipe, dict) else recipe


def _reports_by_plan(tally: Tally, folder: Folder) -> None:
    """Where the plan is another one, nothing can be computed by it; what the result says of it is compared."""
    path = folder.path / RESULT
    if not path.is_file():
        return
    stated, plan = read_json(path), folder.plan
    said = {
        "equal": plan.equal, "budget": plan.budget, "reference": plan.reference, "replicates": len(plan.seeds),
        "analysis": lists(plain(plan.analysis)), "task": plan.task, "recheck": plan.recheck,
    }  # fmt: skip
    for key, value in said.items():
        if key in stated:
            tally.equal(f"{RESULT}.{key}, beside {PLAN}", stated[key], value)
    tally.note(f"{PLAN} is not the plan that was run, so the reports were not computed again")


def _check_report(tally: Tally, folder: Folder, result: Result, path: Path) -> None:
    if not path.is_file():
        missing = result.missing and not any((folder.path / name).is_file() for name in REPORTS)
        tally.note(f"there is no {path.name}" + (": the comparison has not ended" if missing else ""))
        return
    if path.name == RESULT:
        tally.equal(RESULT, read_json(path), written_result(result))
    elif path.name == CLAIMS:
        tally.equal(CLAIMS, read_json(path), written(statements_of(folder, result)))
    elif path.name == REPORT:
        check_text(tally, REPORT, path.read_text("utf-8"), markdown(result))
    else:
        check_text(tally, PAGE, path.read_text("utf-8"), page(result))
