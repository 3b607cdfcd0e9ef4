"""`suggest`, `propose`, `record`: the loop driven from outside, one question and one answer at a time."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bilevel.cli.printing import jsonable, print_json
from bilevel.drive import (
    FAILURES,
    Measured,
    Proposed,
    Refused,
    State,
    ToMeasure,
    ToPropose,
    begin,
    driven,
    go_on,
)
from bilevel.errors import InputError, StoreError
from bilevel.levels import leaf
from bilevel.recipe import Recipe
from bilevel.run import free_folder, stopping
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.task import Task
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import text_task
from bilevel.trace import Trace
from bilevel.trial import Trial
from bilevel.view import View

REFUSED = 2
TRUTHS = {"true": True, "false": False}


def suggest_in(run: Path, history: int, into: Path | None, as_json: bool) -> None:
    """Print the open question of a driven run."""
    with driven(run) as session, stopping(session.lab):
        _print(go_on(session), history, into, as_json)


def suggest_new(
    recipe: Recipe, folder: Path | None, measured_by: str, history: int, into: Path | None, as_json: bool
) -> None:
    """Begin a driven run and print its first question."""
    if measured_by not in ("", "caller", "bilevel"):
        raise InputError(f"--measured-by must be caller or bilevel, not {measured_by!r}")
    by_caller = measured_by == "caller" or (not measured_by and recipe.inner.researcher != "external")
    with begin(recipe, folder or free_folder(recipe), by_caller) as session, stopping(session.lab):
        _print(go_on(session), history, into, as_json)


def record(
    run: Path, question: str, metrics: Sequence[str], failed: str | None, status: str, seconds: float, as_json: bool
) -> None:
    """Take a measurement, print what became of it and the next question."""
    if bool(metrics) == (failed is not None):
        raise InputError("give either --metric NAME=VALUE (once for each metric) or --failed REASON")
    if status not in FAILURES:
        raise InputError(f"--status {status!r} is none of: {', '.join(FAILURES)}")
    if not seconds >= 0:
        raise InputError(f"--seconds must be at least 0, not {seconds!r}")
    values = dict(_number(text) for text in metrics)
    with driven(run) as session, stopping(session.lab):
        objective = leaf(session.spec).task.objective.name
        if metrics and objective not in values:
            raise InputError(f"the objective is missing: give --metric {objective}=VALUE")
        failure = status if failed is not None else ""
        answer = Measured(question, values, failure, (failed or "")[:300] or failure, seconds)
        _answered(lambda: go_on(session, answer), as_json)


def propose(
    run: Path, question: str, changes: Sequence[str], files: Path | None, why: str, author: str, as_json: bool
) -> None:
    """Take a proposal, print what became of it and the next question."""
    if not changes and files is None:
        raise InputError("give --set NAME=VALUE (once for each parameter), --files FOLDER, or both")
    pairs = [_pair(text, "--set") for text in changes]

    def make(task: Task, parent: Candidate, view: View) -> Candidate:
        made = parent if files is None else _from_files(task, files)
        return made.with_params(**{name: _value(view.space, name, text) for name, text in pairs})

    with driven(run) as session, stopping(session.lab):
        answer = Proposed(question, make, why[:2000], author[:200])
        _answered(lambda: go_on(session, answer), as_json)


def _answered(give: Callable[[], State], as_json: bool) -> None:
    try:
        state = give()
    except Refused as refused:
        _refuse(refused.reasons, as_json)
    question = state.question
    if isinstance(question, ToPropose) and question.briefing.attempt and not state.finished:
        _refuse([back.reason for back in question.briefing.turned_back], as_json, _told(state, 20))
    finished = [_trial(trial, branch) for branch, trial in state.finished]
    if as_json:
        print_json({"finished": finished, "next": _told(state, 20), "problem": state.problem})
        return
    for row, (_, trial) in zip(finished, state.finished, strict=True):
        kept = "kept" if trial.decision.keep else "discarded"
        score = "" if trial.score is None else f", score {trial.score:.6g}"
        print(f"trial {row['number']}: {row['status']}{score}; {kept}: {trial.decision.reason}")
    if state.problem:
        print(f"taken; what came next failed: {state.problem}")
    _print_text(state)


def _refuse(reasons: Sequence[str], as_json: bool, then: Mapping[str, Any] | None = None) -> NoReturn:
    """Say why an answer was not taken; exit code 2."""
    if as_json:
        print_json({"state": "refused", "reasons": list(reasons), "next": then})
    print(f"bilevel: refused: {'; '.join(reasons)}", file=sys.stderr)
    sys.exit(REFUSED)


# ---- questions, as they are told ----


def _print(state: State, history: int, into: Path | None, as_json: bool) -> None:
    if into is not None:
        _write_out(state, into)
    if as_json:
        print_json(_told(state, history))
    else:
        _print_text(state)


def _told(state: State, history: int) -> dict[str, Any]:
    """The open question with all that an answer needs."""
    session, question = state.session, state.question
    inner = leaf(session.spec)
    task, objective = inner.task, inner.task.objective
    told: dict[str, Any] = {
        "state": state.state,
        "run": str(session.folder.path),
        "task": task.name,
        "objective": {
            "name": objective.name,
            "unit": objective.unit,
            "direction": "minimize" if objective.minimize else "maximize",
        },
    }
    if state.problem:
        told["problem"] = state.problem
    if question is None:
        return told
    trace = question.view.trace if isinstance(question, ToPropose) else _trace(state, question.branch)
    told |= {"id": question.id, "trial": question.number, "branch": question.branch, **_standing(trace)}
    if isinstance(question, ToMeasure):
        return {**told, **_to_measure(session.folder.path, question, task), **_history(trace, history)}
    return {**told, **_to_propose(session.folder.path, question, task), **_history(trace, history)}


def _to_measure(run: Path, question: ToMeasure, task: Task) -> dict[str, Any]:
    pending, candidate = question.pending, question.candidate
    told: dict[str, Any] = {
        "candidate": candidate.id,
        "params": jsonable(candidate.params),
        "rung": question.rung,
        "seed": question.seed,
        "measurement": question.step,
    }
    if pending is not None:
        told["changes"] = {
            name: {"old": jsonable(c.old), "new": jsonable(c.new)} for name, c in pending.changes.items()
        }
        told |= {"parent": pending.parent.id, "why": pending.proposal.why, "author": pending.proposal.author}
        if files := candidate.files_changed_from(pending.parent):
            told["files_changed"] = list(files)
    if candidate.files:
        told["files"] = dict(candidate.files)
    told["fixed"] = {name: f"{_text(d)}, locked by the task" for name, d in task.space.domains.items() if d.locked}
    told["answer"] = (
        f"bilevel record {shlex.quote(str(run))} --trial {question.id} --metric {task.objective.name}=VALUE"
    )
    return told


def _to_propose(run: Path, question: ToPropose, task: Task) -> dict[str, Any]:
    view, parent, briefing = question.view, question.parent, question.briefing
    space = view.space
    text = text_task(task)
    editable = list(task.model.candidate.editable) if isinstance(task, FolderTask) else [*text.texts] if text else []
    return {
        "brief": view.brief,
        "guidance": [text for text in (view.told, briefing.guidance) if text],
        "parent": parent.id,
        "params": jsonable(parent.params),
        "files": dict(parent.files),
        "editable": editable,
        "parameters": {name: _text(space.domains[name]) for name in space.active},
        "fixed": {name: _why_fixed(space, name) for name in space.domains if name not in space.active},
        "largest_steps": dict(space.caps),
        "advice": [{"from": block.source, "text": block.text} for block in briefing.blocks],
        "lessons": [f"{lesson.kind}: {lesson.summary} {lesson.rule}" for lesson in view.lessons],
        "turned_back": [back.reason for back in briefing.turned_back],
        "trials_left": view.trials_left,
        "answer": f"bilevel propose {shlex.quote(str(run))} --trial {question.id} "
        + ("--files FOLDER" if editable and not space.active else "--set NAME=VALUE"),
    }


def _standing(trace: Trace) -> dict[str, Any]:
    best, noise = trace.incumbent, trace.noise
    found = None
    if best is not None:
        found = {"trial": best.number, "score": best.score, "params": jsonable(best.candidate.params)}
    return {"best": found, "noise": {"sd": noise.sd, "keep_margin": noise.margin, "seeds": noise.n}}


def _history(trace: Trace, most: int) -> dict[str, Any]:
    trials = list(trace)[-most:] if most > 0 else []
    return {"trials_before": len(trace), "history": [_trial(trial) for trial in trials]}


def _trial(trial: Trial, branch: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": trial.number,
        "author": trial.proposal.author,
        "changes": {name: {"old": jsonable(c.old), "new": jsonable(c.new)} for name, c in trial.changes.items()},
        "files_changed": list(trial.candidate.files_changed_from(trial.parent)),
        "status": trial.status.value,
        "score": trial.score,
        "keep": trial.decision.keep,
        "reason": trial.decision.reason,
    }
    return {**row, "branch": branch} if branch else row


def _trace(state: State, branch: str) -> Trace:
    from bilevel.lab import Traces

    return Traces(state.session.folder.store).trace(branch, leaf(state.session.spec).task.objective)


def _text(domain: Domain) -> str:
    """A domain in words."""
    match domain:
        case Float():
            return f"number from {domain.low:g} to {domain.high:g}{', logarithmic' if domain.log else ''}"
        case Int():
            kind = "power of two" if domain.power_of_two else "whole number"
            return f"{kind} from {domain.low} to {domain.high}{', logarithmic' if domain.log else ''}"
        case Choice():
            return f"one of {', '.join(map(repr, domain.options))}"
        case Bool():
            return "true or false"
    return "derived"


def _why_fixed(space: Space, name: str) -> str:
    return f"frozen by {space.frozen[name]}" if name in space.frozen else "locked by the task"


def _print_text(state: State) -> None:
    told = _told(state, 0)
    question = state.question
    if question is None:
        print(f"{state.state}: {told.get('problem') or 'nothing is asked any more'} ({told['run']})")
        return
    if isinstance(question, ToMeasure):
        print(f"measure trial {question.id} on {question.rung}, seed {question.seed}")
        for name, value in question.candidate.params.items():
            change = (question.pending.changes if question.pending else {}).get(name)
            print(f"  {name} = {value!r}" + (f" (was {change.old!r})" if change else ""))
        for name in told.get("files_changed", ()):
            print(f"  {name}: edited (--into FOLDER writes the files)")
    else:
        print(f"propose trial {question.id}")
        for name, allowed in told["parameters"].items():
            print(f"  {name} = {question.parent.params[name]!r}: {allowed}")
        for block in told["advice"]:
            print(f"  advice of {block['from']}: {block['text']}")
    print(f"answer: {told['answer']}")


def _write_out(state: State, into: Path) -> None:
    task = leaf(state.session.spec).task
    with_files = task if isinstance(task, FolderTask) else text_task(task)
    if with_files is None:
        raise InputError(f"task {task.name!r} has no files to write into {str(into)!r}; leave --into out")
    question = state.question
    if question is None:
        return
    with_files.write_out(question.candidate if isinstance(question, ToMeasure) else question.parent, into)


# ---- answers, as they are given ----


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"{option} {text!r} cannot be used; write {option} NAME=VALUE")
    return name.strip(), value.strip()


def _number(text: str) -> tuple[str, float]:
    name, value = _pair(text, "--metric")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(
            f"--metric {text!r}: {value!r} is not a number; a failed measurement is --failed REASON"
        ) from None


def _value(space: Space, name: str, text: str) -> Value:
    """A parameter's value as its domain has it. Raises Refused."""
    domain = space.domains.get(name)
    if domain is None:
        raise Refused([f"there is no parameter {name!r}; the parameters are: {', '.join(space.domains)}"])
    try:
        if isinstance(domain, Choice):
            return next(option for option in domain.options if text in (str(option), repr(option)))
        if isinstance(domain, Bool):
            return TRUTHS[text.lower()]
        return int(text) if isinstance(domain, Int) else float(text)
    except (ValueError, KeyError, StopIteration):
        raise Refused([f"{name}: {text!r} is not a {_text(domain)}"]) from None


def _from_files(task: Task, folder: Path) -> Candidate:
    with_files = task if isinstance(task, FolderTask) else text_task(task)
    if with_files is None:
        raise Refused([f"task {task.name!r} has no files, only parameters: use --set"])
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}; `bilevel suggest RUN --into {folder}` makes one to edit")
    try:
        return with_files.candidate(folder)
    except (InputError, StoreError) as error:
        raise Refused([str(error)]) from None
