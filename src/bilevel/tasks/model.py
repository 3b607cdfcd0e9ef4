"""The format of `task.toml`, checked as a whole: every problem of a file is told at once, with its key."""

import difflib
import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bilevel.errors import InputError
from bilevel.objective import Objective
from bilevel.tasks.bounds import beside_problems
from bilevel.tasks.tables import (
    WORKDIR,
    AlsoTable,
    CandidateTable,
    CommandTable,
    EnvTable,
    GuardrailTable,
    JsonLineMetric,
    JsonMetric,
    Metric,
    ObjectiveTable,
    RegexMetric,
    RungTable,
    SealTable,
    SeedTable,
    SetupTable,
    SourceTable,
    SpaceTable,
    Table,
    Text,
)

TASK_FILE = "task.toml"
PLACES = ("python", "harness", "cache", "workdir", "result", "budget")
PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*(?::\w+)?)\}")


class TaskModel(Table):
    """A whole `task.toml`."""

    later = frozenset({"source", "setup", "guardrails", "also"})
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Text
    objective: ObjectiveTable
    metrics: Mapping[str, Metric]
    source: SourceTable | None = None
    candidate: CandidateTable = CandidateTable()
    space: SpaceTable = SpaceTable()
    setup: SetupTable | None = None
    command: CommandTable
    rungs: Annotated[tuple[RungTable, ...], Field(min_length=1)]
    env: EnvTable = EnvTable.model_validate({})
    seal: SealTable | None = None
    guardrails: tuple[GuardrailTable, ...] = ()
    also: tuple[AlsoTable, ...] = ()

    @functools.cached_property
    def aim(self) -> Objective:
        """The objective with its guardrails and the further ones."""
        table = self.objective
        return Objective(
            table.metric,
            table.unit,
            table.direction == "minimize",
            guardrails=tuple(guardrail.made() for guardrail in self.guardrails),
            also=tuple(also.made() for also in self.also),
            reference=table.reference,
        )


ONCE = ("setup.command", "command.prepare")  # commands that are not a measurement


def commands(model: TaskModel) -> dict[str, tuple[str, ...]]:
    """The commands of a task by their keys, without those that it does not have."""
    found = {
        "setup.command": model.setup.command if model.setup else (),
        "command.prepare": model.command.prepare,
        "command.run": model.command.run,
        "seal.command": model.seal.command if model.seal else (),
    }
    return {key: command for key, command in found.items() if command}


def read_model(folder: Path) -> TaskModel:
    """The `task.toml` of a folder. Raises InputError with all its problems, one a line, each with its key."""
    path = folder / TASK_FILE
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {TASK_FILE} in {str(folder)!r}; give the folder of a task") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} is not TOML: {error}") from None
    try:
        model = TaskModel.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise problems_error(path, [_problem(data, found) for found in _own(error.errors())]) from None
    problems = list(_contradictions(model))
    if problems:
        raise problems_error(path, problems)
    return model


def with_rungs(folder: Path, model: TaskModel, limits: Mapping[str, float | int]) -> TaskModel:
    """The model with these limits in every rung. Raises InputError as `read_model` does."""
    data = {"rungs": [{**rung.model_dump(), **limits} for rung in model.rungs]}
    try:
        rungs = tuple(RungTable.model_validate(rung) for rung in data["rungs"])
    except ValidationError as error:
        raise problems_error(
            folder / TASK_FILE, [_problem(data["rungs"][0], found) for found in error.errors()]
        ) from None
    changed = model.model_copy(update={"rungs": rungs})
    if problems := list(_contradictions(changed)):
        raise problems_error(folder / TASK_FILE, problems)
    return changed


def problems_error(path: Path, problems: Sequence[str]) -> InputError:
    """One error for all problems of a task, which it lists."""
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return InputError(f"{str(path)!r} cannot be used; correct what is listed and try again:{lines}")


def _own(errors: Sequence[Any]) -> list[Any]:
    """Without those that say of a list only that none of its entries could be used, where the entries are named."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or all(place[: len(error["loc"])] != error["loc"] for place in places if place != error["loc"])
    ]


def _problem(data: object, error: Any) -> str:
    """One problem that pydantic found: the dotted key, what is wrong, and a likely key for an unknown one."""
    keys: list[str] = []
    here = data
    for place, part in enumerate(error["loc"]):
        last = place == len(error["loc"]) - 1
        inside = isinstance(here, dict) and part in here
        if isinstance(here, list) and isinstance(part, int):
            keys[-1:] = [f"{keys[-1]}[{part}]"]
            here = here[part] if part < len(here) else None
        elif inside or (last and isinstance(here, dict) and error["type"] == "missing"):
            keys.append(str(part))
            here = here[part] if inside and isinstance(here, dict) else None
    name = ".".join(keys)
    if error["type"] == "missing":
        return f"{name}: is missing"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], _known_keys(), 1)
        return f"{name}: is not a key that this program reads" + (f"; did you mean {close[0]!r}?" if close else "")
    message = str(error["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}, not {_short(error['input'])}"


def _known_keys() -> list[str]:
    kinds: list[type[Table]] = [*Table.__subclasses__()]
    return [field.alias or name for kind in kinds for name, field in kind.model_fields.items()]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _contradictions(model: TaskModel) -> Iterator[str]:
    """What each table cannot see by itself."""
    yield from _metric_problems(model)
    for name, parameter in model.space.parameters.items():
        try:
            domain = parameter.domain()
        except InputError as error:
            yield f"space.parameters.{name}: {error}"
            continue
        if not model.space.constants and parameter.default is None:
            yield f"space.parameters.{name}.default: is missing, and there is no constant that could give the value"
        elif parameter.default is not None and (wrong := domain.check(parameter.default)):
            yield f"space.parameters.{name}.default: {wrong}"
        if model.space.constants and parameter.default is not None:
            yield f"space.parameters.{name}.default: the value stands in the file; remove this key"
    names = [rung.name for rung in model.rungs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"rungs: two rungs are called {name!r}"
    for guardrail in model.guardrails:
        if guardrail.direction is not None and guardrail.worse_by_at_most is None:
            yield f"guardrails.{guardrail.metric}.direction: belongs to worse_by_at_most only"
    hidden = model.seal.metrics if model.seal else ()
    yield from beside_problems(model.aim, [name for name in model.metrics if name not in hidden])
    yield from _placeholder_problems(model)
    yield from _command_problems(model)


def _placeholder_problems(model: TaskModel) -> Iterator[str]:
    for key, command in commands(model).items():
        for place in PLACEHOLDER.findall(" ".join(command)):
            kind, _, parameter_name = place.partition(":")
            if place not in PLACES and not (kind == "param" and parameter_name in model.space.parameters):
                known = ", ".join(f"{{{known}}}" for known in (*PLACES, "param:NAME"))
                yield f"{key}: {{{place}}} is not one of {known}"
            elif key in ONCE and (kind == "param" or place in ("workdir", "result", "budget")):
                yield f"{key}: {{{place}}} exists only while a candidate is measured"
            elif key == "setup.command" and place == "harness":
                yield "setup.command: {harness} is not there yet; what belongs to the scorer goes into command.prepare"
            elif place == "budget":
                for rung in model.rungs:
                    if rung.budget_seconds is None:
                        yield f"{key}: {{budget}} needs budget_seconds in rung {rung.name!r}"


def _command_problems(model: TaskModel) -> Iterator[str]:
    """Seeds, variables and limits that contradict each other."""
    command, seed = model.command, model.command.seed
    if isinstance(seed, SeedTable):
        if len([value for _, value in seed if value is not None]) != 1:
            yield 'command.seed: give exactly one of env, argument and constant, or the text "none"'
        if seed.constant in model.space.parameters:
            yield f"command.seed.constant: {seed.constant} is the seed, so it is no parameter; remove its table"
        if seed.constant and not model.space.constants:
            yield "command.seed.constant: name the file where the constant stands in space.constants"
    for name in command.env_secret_ok:
        if name not in (*command.env_pass, *model.env.take):
            yield f"command.env_secret_ok: {name!r} is not in command.env_pass, so it is not passed on"
    for name in command.env.keys() & model.env.give.keys():
        yield f"command.env.{name}: [env] set gives this variable too; keep one of them"
    for rung in model.rungs:
        if rung.budget_seconds is not None and rung.budget_seconds >= rung.wall_seconds:
            yield (
                f"rungs.{rung.name}.wall_seconds: the run would be killed after {rung.wall_seconds:g} s, before its "
                f"own budget of {rung.budget_seconds:g} s ends; leave room for its start and its evaluation"
            )


def _metric_problems(model: TaskModel) -> Iterator[str]:
    objective, metrics = model.objective, model.metrics
    if objective.metric not in metrics:
        yield f"objective.metric: there is no table [metrics.{objective.metric}] that says where to read it"
    for name in model.seal.metrics if model.seal else ():
        if name not in metrics:
            yield f"seal.metrics: there is no table [metrics.{name}] that says where to read it"
        if name == objective.metric:
            yield f"seal.metrics: {name!r} is the objective, which the search must see"
    for name, metric in metrics.items():
        if isinstance(metric, RegexMetric):
            try:
                groups = re.compile(metric.pattern).groups
            except re.error as error:
                yield f"metrics.{name}.pattern: not a regular expression: {error}"
            else:
                if groups != 1:
                    yield f"metrics.{name}.pattern: needs exactly one group, the number, not {groups}"
        if isinstance(metric, JsonMetric | JsonLineMetric) and metric.file is not None:
            if ".." in metric.file.split("/") or metric.file.startswith("/"):
                yield f"metrics.{name}.file: {metric.file!r} leaves its folder"
            if metric.file.startswith(WORKDIR) and not objective.self_reported:
                yield (
                    f"metrics.{name}.file: a file of the working copy is the candidate's own word; "
                    "let the scorer write it to {result}, or say objective.self_reported = true"
                )
    if not objective.self_reported and "{harness}" not in " ".join(model.command.run):
        yield (
            "objective.self_reported: is false, but command.run does not use {harness}, so the candidate measures "
            "itself; run a scorer from harness/, or say self_reported = true"
        )
