"""The format of `task.toml`, checked as a whole: every problem of a file is told at once, with its key."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from bilevel.errors import InputError
from bilevel.space import Bool, Choice, Domain, Float, Int

TASK_FILE = "task.toml"
PLACES = ("python", "harness", "cache", "workdir", "result")
PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*(?::\w+)?)\}")
WORKDIR = "workdir/"  # a metrics file that the candidate writes into its working copy
Text = Annotated[str, Field(min_length=1)]
Option: TypeAlias = bool | int | float | str | tuple[bool | int | float | str, ...]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ObjectiveTable(Table):
    """`self_reported`: the candidate's own program writes the metrics. Otherwise a scorer in harness/ does."""

    metric: Text
    unit: str = ""
    direction: Literal["minimize", "maximize"]
    self_reported: bool = True


class LineMetric(Table):
    """The last line `label: number` of what the command prints; the label is the metric's name unless given."""

    read: Literal["line"]
    label: Text | None = None


class RegexMetric(Table):
    """The first group of the last match of `pattern` in what the command prints."""

    read: Literal["regex"]
    pattern: Text


class JsonMetric(Table):
    """A number in a JSON file: `file` is relative to the result folder, or to the working copy after `workdir/`."""

    read: Literal["json"]
    file: Text
    key: Text


Metric: TypeAlias = Annotated[LineMetric | RegexMetric | JsonMetric, Field(discriminator="read")]


class FloatParameter(Table):
    """A real number from `low` to `high`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    locked: bool = False
    default: float | None = None

    def domain(self) -> Domain:
        return Float(self.low, self.high, self.log, self.locked)


class IntParameter(Table):
    """A whole number from `low` to `high`."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    power_of_two: bool = False
    locked: bool = False
    default: int | None = None

    def domain(self) -> Domain:
        return Int(self.low, self.high, self.log, self.power_of_two, self.locked)


class ChoiceParameter(Table):
    """One of `options`; a list among them is a tuple."""

    type: Literal["choice"]
    options: Annotated[tuple[Option, ...], Field(min_length=1)]
    locked: bool = False
    default: Option | None = None

    def domain(self) -> Domain:
        return Choice(self.options, self.locked)


class BoolParameter(Table):
    """True or false."""

    type: Literal["bool"]
    locked: bool = False
    default: bool | None = None

    def domain(self) -> Domain:
        return Bool(self.locked)


Parameter: TypeAlias = Annotated[
    FloatParameter | IntParameter | ChoiceParameter | BoolParameter, Field(discriminator="type")
]


class CandidateTable(Table):
    """Which files of start/ a candidate may change: globs over relative paths, `protected` wins."""

    editable: tuple[Text, ...] = ()
    protected: tuple[Text, ...] = ()


class SpaceTable(Table):
    """`constants`: the files whose UPPER_CASE constants are the parameters; without any, `parameters` are all."""

    constants: tuple[Text, ...] = ()
    parameters: Mapping[str, Parameter] = {}


class CommandTable(Table):
    """`prepare` is run once for a harness, `run` for each measurement; no shell is used."""

    run: Annotated[tuple[Text, ...], Field(min_length=1)]
    prepare: tuple[Text, ...] = ()


class RungTable(Table):
    """A size of measurement and its limits; `cpu_seconds` counts all processes and is `wall_seconds` unless given."""

    name: Text
    wall_seconds: PositiveFloat
    cpu_seconds: PositiveFloat | None = None
    memory_bytes: PositiveInt = 4 * 2**30
    output_bytes: PositiveInt = 2**20
    env: Mapping[str, str] = {}


class EnvTable(Table):
    """The environment of a run beyond the allow-list: names taken over from the host, and values."""

    take: tuple[Text, ...] = Field((), alias="pass")
    give: Mapping[str, str] = Field({}, alias="set")


class SealTable(Table):
    """Metrics that no search may see, and the command that measures them, which only reports run."""

    metrics: Annotated[tuple[Text, ...], Field(min_length=1)]
    command: Annotated[tuple[Text, ...], Field(min_length=1)]


class TaskModel(Table):
    """A whole `task.toml`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Text
    objective: ObjectiveTable
    metrics: Mapping[str, Metric]
    candidate: CandidateTable = CandidateTable()
    space: SpaceTable = SpaceTable()
    command: CommandTable
    rungs: Annotated[tuple[RungTable, ...], Field(min_length=1)]
    env: EnvTable = EnvTable.model_validate({})
    seal: SealTable | None = None


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
        raise problems_error(path, [_problem(data, found) for found in error.errors()]) from None
    problems = list(_contradictions(model))
    if problems:
        raise problems_error(path, problems)
    return model


def problems_error(path: Path, problems: Sequence[str]) -> InputError:
    """One error for all problems of a task, which it lists."""
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return InputError(f"{str(path)!r} cannot be used; correct what is listed and try again:{lines}")


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
    sealed = model.seal.command if model.seal else ()
    for key, command in (("run", model.command.run), ("prepare", model.command.prepare), ("seal", sealed)):
        for place in PLACEHOLDER.findall(" ".join(command)):
            kind, _, parameter_name = place.partition(":")
            if place not in PLACES and not (kind == "param" and parameter_name in model.space.parameters):
                known = ", ".join(f"{{{known}}}" for known in (*PLACES, "param:NAME"))
                yield f"{'seal.command' if key == 'seal' else f'command.{key}'}: {{{place}}} is not one of {known}"
            elif key == "prepare" and (kind == "param" or place in ("workdir", "result")):
                yield f"command.prepare: {{{place}}} exists only while a candidate is measured"


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
        if isinstance(metric, JsonMetric):
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
