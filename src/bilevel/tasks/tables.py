"""The tables of `task.toml`: their keys, types and defaults."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from bilevel.guardrails import Guardrail
from bilevel.objective import Further
from bilevel.space import Bool, Choice, Domain, Float, Int

WORKDIR = "workdir/"  # a metrics file that the candidate writes into its working copy
Text = Annotated[str, Field(min_length=1)]
Option: TypeAlias = bool | int | float | str | tuple[bool | int | float | str, ...]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, types are not converted.

    `later`: keys that came with a later version; they are dumped only where they say something, so that the hash of a
    task that does not use them is what it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _dumped(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        silent = {name for name in self.later if getattr(self, name) == fields[name].get_default()}
        return {name: value for name, value in handler(self).items() if name not in silent}


class ObjectiveTable(Table):
    """`self_reported`: the candidate's own program writes the metrics. Otherwise a scorer in harness/ does."""

    later = frozenset({"reference"})
    metric: Text
    unit: str = ""
    direction: Literal["minimize", "maximize"]
    self_reported: bool = True
    reference: float | None = None


class GuardrailTable(Table):
    """A bound on a metric, see `Guardrail`; `direction` belongs to `worse_by_at_most`, minimize unless given."""

    metric: Text
    at_most: float | None = None
    at_least: float | None = None
    worse_by_at_most: float | None = None
    direction: Literal["minimize", "maximize"] | None = None

    def made(self) -> Guardrail:
        return Guardrail(self.metric, self.at_most, self.at_least, self.worse_by_at_most, self.direction != "maximize")


class AlsoTable(Table):
    """A further objective, see `Further`."""

    metric: Text
    unit: str = ""
    direction: Literal["minimize", "maximize"] = "minimize"
    reference: float | None = None

    def made(self) -> Further:
        return Further(self.metric, self.unit, self.direction == "minimize", self.reference)


class LineMetric(Table):
    """The last line `label: number` of what the command prints; the label is the metric's name unless given.

    `after`: only lines behind the last line with this text count, as behind the `---` before a summary.
    """

    later = frozenset({"after"})
    read: Literal["line"]
    label: Text | None = None
    after: Text | None = None


class RegexMetric(Table):
    """The first group of the last match of `pattern` in what the command prints."""

    read: Literal["regex"]
    pattern: Text


class JsonMetric(Table):
    """A number in a JSON file: `file` is relative to the result folder, or to the working copy after `workdir/`."""

    read: Literal["json"]
    file: Text
    key: Text


class JsonLineMetric(Table):
    """A number in the last line that is a JSON object with `key`: of what the command prints, or of `file`."""

    read: Literal["json-line"]
    key: Text
    file: Text | None = None


class SecondsMetric(Table):
    """The wall time of the run itself, in seconds: measured outside of it."""

    read: Literal["seconds"]


Metric: TypeAlias = Annotated[
    LineMetric | RegexMetric | JsonMetric | JsonLineMetric | SecondsMetric, Field(discriminator="read")
]


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


class SourceTable(Table):
    """The tree that candidates are changes of: `path` is relative to the task's folder and may lie anywhere.

    Without this table it is start/, as it stands. `include` and `exclude` are globs; the latter wins. `file_bytes` and
    `tree_bytes`: what one file and all together may have.
    """

    path: Text = "start"
    include: tuple[Text, ...] = ("**",)
    exclude: tuple[Text, ...] = ()
    file_bytes: PositiveInt = 16 * 2**20
    tree_bytes: PositiveInt = 256 * 2**20


class SetupTable(Table):
    """A command that is run once in a copy of the source, and what it makes: `outputs` go into each working copy.

    It is run again when the command, the interpreter or a file of `inputs` changes.
    """

    command: Annotated[tuple[Text, ...], Field(min_length=1)]
    inputs: tuple[Text, ...] = ("**",)
    outputs: tuple[Text, ...] = ()
    seconds: PositiveFloat = 3600.0


class CandidateTable(Table):
    """Which files of the source a candidate may change: globs over relative paths, `protected` wins."""

    editable: tuple[Text, ...] = ()
    protected: tuple[Text, ...] = ()


class SpaceTable(Table):
    """`constants`: the files whose UPPER_CASE constants are the parameters; without any, `parameters` are all."""

    constants: tuple[Text, ...] = ()
    parameters: Mapping[str, Parameter] = {}


class SeedTable(Table):
    """One way for the seed to reach the program: a variable, an argument at the end, or a constant in its source."""

    env: Text | None = None
    argument: Text | None = None
    constant: Text | None = None

    def __str__(self) -> str:
        """For records: `env SEED`."""
        return " ".join(f"{name} {value}" for name, value in self if value is not None)


Seed: TypeAlias = Annotated[
    Annotated[SeedTable, Tag("table")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(lambda value: "table" if isinstance(value, dict | SeedTable) else "none"),
]


class CommandTable(Table):
    """`prepare` is run once for a harness, `run` for each measurement; no shell is used.

    `python` is the interpreter that `{python}` stands for. `env_pass` names variables that are taken over from the
    host, those of `env_secret_ok` even if they look like secrets; `env` gives values. `read_paths` and `write_paths`
    are what a run needs beside its working copy. Without `seed` it is the variable BILEVEL_SEED.
    """

    later = frozenset({"python", "env_pass", "env_secret_ok", "env", "read_paths", "write_paths", "network", "seed"})
    run: Annotated[tuple[Text, ...], Field(min_length=1)]
    prepare: tuple[Text, ...] = ()
    python: Text = "auto"
    env_pass: tuple[Text, ...] = ()
    env_secret_ok: tuple[Text, ...] = ()
    env: Mapping[str, str] = {}
    read_paths: tuple[Text, ...] = ()
    write_paths: tuple[Text, ...] = ()
    network: Literal["off", "on"] = "off"
    seed: Seed | None = None


class RungTable(Table):
    """A size of measurement and its limits: the run is killed at the first that it passes.

    `cpu_seconds` counts all processes; unless given it is what all cores could use in `wall_seconds`. `budget_seconds`
    is the time that the program is told to use, and no limit: `{budget}` in the command, BILEVEL_BUDGET_SECONDS.
    """

    later = frozenset({"budget_seconds"})
    name: Text
    wall_seconds: PositiveFloat
    budget_seconds: PositiveFloat | None = None
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
