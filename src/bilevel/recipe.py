"""Recipes: which levels a run has, who researches at each, with which models, budgets and limits.

A recipe is a TOML file. Shipped ones are found by name; options of the command line override single keys. What a run
folder stores is the resolved recipe, so a resume needs nothing else.
"""

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bilevel.errors import InputError

LEVEL_NAMES = ("inner", "settings", "mechanisms", "judge")  # who may have a model of its own
BEFORE_THE_LADDER = {"ladder": ("door",), "controls": (), "proof_share": 0.0}
BEFORE_POOLED_NOISE = {"noise": "baseline"}
BEFORE_CLAIMS = {"on": False}
BEFORE_KEEP_RULES = {"keep": "unpooled"}
BEFORE_LOOKS = {"rules": 1}
# Researchers of outer levels that --model replaces, unless a recipe offers them something; others are controls.
BY_RULES = ("settings_rules", "library")
# What a person's commands can be told of.
EVENTS = ("finished", "failed", "best", "budget", "stuck", "gate", "mechanism", "act")
INNER_BY_RULES = ("bayesian",)  # the same of the innermost loop, beside one that the recipe does not name


class Part(BaseModel):
    """A table of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InnerSettings(Part):
    """The innermost loop's settings at the start; the same keys as `Settings`."""

    frozen: tuple[str, ...] = ()
    strategy: Literal["balanced", "explore", "exploit"] = "balanced"
    guidance: str = ""
    drafts: int = Field(1, ge=1, le=8)
    redrafts: int = Field(2, ge=0, le=16)
    history_window: int = Field(0, ge=0)
    max_faults: int = Field(3, ge=1)
    picker: Literal["first", "novelty", "model"] = "first"
    repairs: int = Field(1, ge=0, le=8)


class Inner(Part):
    """The innermost loop. `trials` is its budget where no level stands above it; `rung` is the task's last if empty.

    `lessons`: whether a model is asked for lessons after each cycle; a cycle is what the level above says, or
    `lessons_every` trials where there is none, or where it wipes. `shadow`: the share of trials in which a model is
    asked once more to see whether a mechanism's advice mattered. `noise`: "stored" begins with what `bilevel noise` has
    measured on this machine, where it has, and learns from all repeats of the run; "own" learns from these alone;
    "baseline", as in older versions, from the repeats of the baseline alone, with a margin that is right for many of
    them. `keep` is the rule by which a candidate takes its parent's place, and `depth` on how many seeds rules that
    repeat measure a candidate at most; `target`: a score that ends the search of one level once the best has held it
    after three trials in a row; "unpooled" is what an old run folder goes on with: the margin, each trial's own score
    standing for its candidate. `rules` is the version of how trials are decided: 1 and 2 are what old run folders go
    on with (see `rules.Rule`).

    What the host does beside the mechanisms, to be left out where that is what a comparison asks: `duplicate_check`
    turns back what was measured; `history` is how a researcher learns of earlier trials ("prose": a model reads them in
    the words of their authors, without the typed changes; researchers that read no text, and with "none" all, learn
    nothing of them); `reasons` says whether it is told what was turned back and why. `call_mechanisms = false`:
    mechanisms are loaded and never asked anything.
    """

    researcher: str = "coordinate"
    target: float | None = None
    trials: int = Field(30, ge=1)
    rung: str = ""
    calibration: int = Field(3, ge=1, le=16)
    noise: Literal["stored", "own", "baseline"] = "stored"
    keep: Literal["race", "fixed", "greedy", "margin", "unpooled"] = "race"
    depth: int = Field(2, ge=2, le=16)
    rules: Literal[1, 2, 3] = 3
    mechanisms: tuple[str, ...] = ()
    lessons: bool = True
    lessons_every: int = Field(10, ge=1)
    shadow: float = Field(0.0, ge=0, le=1)
    duplicate_check: bool = True
    history: Literal["typed", "prose", "none"] = "typed"
    reasons: bool = True
    call_mechanisms: bool = True
    settings: InnerSettings = InnerSettings()


class Outer(Part):
    """A level above, given from the inside out.

    `trials`: how many trials of the loop below one cycle takes (per arm). `cycles`: how many cycles this level has, its
    baseline among them. `mechanisms` are in force on this loop itself. `drafts`: how many proposals its researcher
    is asked for at once; the first that passes runs. `redrafts`: how often a proposal that was turned back (at the
    door, say) may be mended in the same trial; `repairs`: how often in a row a mechanism that proved inert goes
    back to the model that wrote it. `domains`: fields of knowledge that a mechanism session is pointed at.
    `controls`: further arms of each fork, beside the unchanged loop: it with a restart, with a placebo, or again
    with other random numbers (A/A). `ladder`: the rungs that stand before a mechanism's live trial. `proof_share`: the
    share of this level's trials that may go to forks without a mechanism (or an addendum to a step) that is in force,
    so that evidence on it goes on growing; 0 is no probation. `wipe`: each cycle begins with the baseline and an empty
    trace, in a fork in both arms; only right above the innermost loop. `stuck_after`: the first cycle goes on until the
    innermost loop has been without improvement for so many trials, within `evaluations` or what the cycles would take;
    only with start "fork", right above it. `stuck_share`: and for this share of all its trials, which is then asked
    after each trial. `carriers`: what this level's mechanisms may be: code; or what the inner researcher works with,
    if it has a place for it: prompt, skill, memory, workflow, step. `offers`: further
    mechanisms, by name or file: "library" tries them before those of its diagnosis, "lift" after what was kept below.
    """

    level: Literal["settings", "mechanisms"]
    researcher: str
    trials: int = Field(5, ge=1)
    cycles: int = Field(3, ge=1)
    start: Literal["fork", "continue"] = "continue"
    mechanisms: tuple[str, ...] = ()
    least_active: int = Field(2, ge=1)
    most_changed: int = Field(3, ge=1)
    most_mechanisms: int = Field(8, ge=1)
    carriers: tuple[Literal["code", "prompt", "skill", "memory", "workflow", "step"], ...] = Field(
        ("code",), min_length=1
    )
    offers: tuple[str, ...] = ()
    drafts: int = Field(1, ge=1, le=8)
    redrafts: int = Field(2, ge=0, le=16)
    repairs: int = Field(1, ge=0, le=8)
    domains: tuple[str, ...] = ()
    ladder: tuple[Literal["door", "replay", "rehearsal"], ...] = ("door", "replay")
    controls: tuple[Literal["restart", "placebo", "again"], ...] = ()
    proof_share: float = Field(0.25, ge=0, le=1)
    wipe: bool = False
    stuck_after: int = Field(0, ge=0)
    stuck_share: float = Field(0.0, ge=0, lt=1)


class Models(Part):
    """Which language model answers at which level: "provider:model", or several with commas, tried in order.

    `default` answers for every level that has none of its own. `prompt_tokens` and `most_tokens` bound a prompt and an
    answer (the level's own bounds if not given); `reasks`: how often an answer that cannot be used is asked for again.
    `thinking`: how hard a reasoning model thinks, where its provider can be told.
    `timeout` and `patience` are seconds: for one request, and for all retries of one call. `price_in` and `price_out`
    are US dollars per million tokens, for a model whose price is not known.
    """

    default: str = ""
    inner: str = ""
    settings: str = ""
    mechanisms: str = ""
    judge: str = ""
    base_url: str = ""
    output_mode: Literal["auto", "native", "prompted", "tool"] = "auto"
    thinking: Literal["", "off", "minimal", "low", "medium", "high", "xhigh"] = ""
    temperature: float | None = Field(None, ge=0, le=2)
    prompt_tokens: int | None = Field(None, ge=500)
    most_tokens: int | None = Field(None, ge=16)
    reasks: int = Field(2, ge=0, le=8)
    timeout: float = Field(600.0, gt=0)
    patience: float = Field(600.0, ge=0)
    attempts: int = Field(8, ge=1, le=64)
    backoff: float = Field(2.0, ge=0)
    price_in: float | None = Field(None, ge=0)
    price_out: float | None = Field(None, ge=0)

    def of(self, level: str) -> str:
        """The model's name of a level; empty where it has none. Level 3, "mechanisms-3", has that of "mechanisms"."""
        name = str(getattr(self, level.partition("-")[0])) or self.default
        return ",".join(part.strip() for part in name.split(","))


class Agent(Part):
    """The coding agent that researches in the innermost loop, where its researcher is "agent".

    `command`: a name that `bilevel run --help` lists, or a command line with the places {prompt} and {briefing}.
    `seconds` and `memory_bytes` bound one call. `env_pass`: variables that it is given beside its own keys. `reasks`:
    how often it is told what is wrong with a change that cannot be used, and goes on with it.
    """

    command: str = ""
    seconds: float = Field(1800.0, gt=0)
    memory_bytes: int = Field(8 << 30, gt=0)
    env_pass: tuple[str, ...] = ()
    reasks: int = Field(1, ge=0, le=8)


class SandboxTable(Part):
    """The processes of their own in which mechanisms run that do not come with the package.

    `isolation`: "auto" is the best level that the machine has; a named one is an error where it cannot be had.
    `shipped`: whether those that come with the package run there too, instead of in this process. `call_seconds` and
    `wall_seconds` bound one call of a hook (CPU and wall time), `memory_bytes` a process.
    """

    isolation: Literal["auto", "limits", "sealed", "contained"] = "auto"
    shipped: bool = False
    call_seconds: float = Field(2.0, gt=0, le=60)
    wall_seconds: float = Field(30.0, gt=0, le=600)
    memory_bytes: int = Field(1 << 30, ge=1 << 26)


class LimitsTable(Part):
    """What the whole run may spend: seconds of wall time, tokens, US dollars. None is no limit."""

    seconds: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    money: float | None = Field(None, gt=0)


class ClaimTable(Part):
    """The claim stage at the end of a run: the incumbent against the baseline on fresh seeds, and without each change.

    `on`: whether there is one. `share`: how many measurements it may take, as a share of those that the search was
    charged. `least`: pairs of the answer that are always taken; `most`: rounds at most, one fresh seed each. `reserve`:
    which share of a limit of time (`limits.seconds`) the search leaves for it.
    """

    on: bool = True
    share: float = Field(0.5, ge=0, le=4)
    least: int = Field(3, ge=2, le=100)
    most: int = Field(20, ge=1, le=1000)
    reserve: float = Field(0.1, ge=0, lt=1)


class EventsTable(Part):
    """Commands of a person's own on what happens to a run, for `sh -c`; an empty one is none.

    `finished`: it ended, by itself or by a limit; `failed`: by an error; `best`: a new best; `budget`: one of `shares`
    of the measurements or of a limit is spent; `stuck`: `stuck_after` innermost trials in a row without a new best;
    `gate`: it waits for a person; `mechanism`: one comes into force or leaves; `act`: what a person said is taken up.
    A command may take `seconds`. `env_pass`: variables that it is given beside the usual ones.
    """

    finished: str = ""
    failed: str = ""
    best: str = ""
    budget: str = ""
    stuck: str = ""
    gate: str = ""
    mechanism: str = ""
    act: str = ""
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.8,)
    stuck_after: int = Field(20, ge=1)
    seconds: float = Field(30.0, gt=0, le=600)
    env_pass: tuple[str, ...] = ()

    @property
    def commands(self) -> dict[str, str]:
        """The commands that there are, by event."""
        return {name: getattr(self, name) for name in EVENTS if getattr(self, name)}


class GateTable(Part):
    """What waits for a person: each `keep` (or those of the outermost level), each `mechanism` before it is tried, and
    spending: whenever so much more is spent (`evaluations`, `seconds`, `tokens`, `money`).

    `wait`: after so many seconds without an answer it is no; without it there is no end to the wait.
    """

    keep: bool | Literal["outermost"] = False
    mechanism: bool = False
    evaluations: int | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    money: float | None = Field(None, gt=0)
    wait: float | None = Field(None, gt=0)


class Recipe(Part):
    """Everything that decides a run. `evaluations` bounds the measurements of the whole tree without calibration.
    `warm`: level 2 chooses by what earlier runs on the same family of tasks left in the library."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    why: str = ""
    task: str = "sphere"
    seed: int = 0
    workers: int = Field(1, ge=1, le=64)
    evaluations: int | None = Field(None, ge=1)
    warm: bool = False
    inner: Inner = Inner()
    outer: tuple[Outer, ...] = ()
    models: Models = Models()
    agent: Agent = Agent()
    sandbox: SandboxTable = SandboxTable()
    limits: LimitsTable = LimitsTable()
    claim: ClaimTable = ClaimTable()
    gate: GateTable = GateTable()
    events: EventsTable = EventsTable()

    @property
    def nested(self) -> bool:
        return bool(self.outer)


def shipped() -> dict[str, Recipe]:
    """The recipes that come with the package, by name."""
    folder = resources.files("bilevel.catalog") / "recipes"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): _parse(file.read_text("utf-8"), file.name) for file in files}


def find(name_or_path: str) -> Recipe:
    """A recipe by its shipped name or by the path of a TOML file. Raises InputError that lists all that is wrong."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _parse(text_of(path, "recipe"), name_or_path)
    folder = resources.files("bilevel.catalog") / "recipes"
    file = folder / f"{name_or_path}.toml"
    if "/" in name_or_path or not file.is_file():
        names = ", ".join(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))
        raise InputError(f"there is no recipe {name_or_path!r}; shipped are: {names}; or give the path of a .toml file")
    return _parse(file.read_text("utf-8"), file.name)


def resolve(data: Mapping[str, Any]) -> Recipe:
    """The recipe that a run folder stored. Keys that its version did not know are as that version behaved."""
    outer = [{**BEFORE_THE_LADDER, **level} for level in data.get("outer", ())]
    inner = {**BEFORE_POOLED_NOISE, **BEFORE_KEEP_RULES, **BEFORE_LOOKS, **data.get("inner", {})}
    return validated({"claim": BEFORE_CLAIMS, **data, "inner": inner, "outer": outer}, "the run folder's recipe")


def unread(recipe: Recipe) -> list[str]:
    """Keys that the recipe's file sets and that nothing reads: a sentence each."""
    found = []
    if recipe.nested and "trials" in recipe.inner.model_fields_set:
        found.append("inner.trials: nothing reads it; the level above says how many trials a cycle has")
    for depth, level in enumerate(recipe.outer):
        of_mechanisms = {"most_mechanisms", "ladder", "carriers", "offers"}
        if recipe.inner.researcher != "workflow":  # else its steps have addenda, which are on probation too
            of_mechanisms.add("proof_share")
        others = of_mechanisms if level.level == "settings" else {"least_active", "most_changed"}
        found += [
            f"outer.{depth}.{key}: level {level.level!r} does not read it" for key in others & level.model_fields_set
        ]
        taken = level.level == "mechanisms" or "proof_share" not in of_mechanisms
        if "proof_share" in level.model_fields_set and taken and level.start != "fork":
            found.append(f"outer.{depth}.proof_share: only a level with start = 'fork' reads it")
        if (
            level.offers
            and level.level == "mechanisms"
            and level.researcher not in ("library", "library:diagnose", "lift")
        ):
            found.append(f"outer.{depth}.offers: only researchers 'library' and 'lift' read it")
        if level.controls and level.start != "fork":
            found.append(f"outer.{depth}.controls: only a level with start = 'fork' reads it")
        if "cycles" in level.model_fields_set and level is not recipe.outer[-1]:
            found.append(f"outer.{depth}.cycles: nothing reads it; the level above says how many trials a cycle has")
    if "depth" in recipe.inner.model_fields_set and recipe.inner.keep not in ("race", "fixed"):
        found.append(f"inner.depth: the keep rule {recipe.inner.keep!r} measures a candidate once")
    levels: dict[str, str] = {"inner": recipe.inner.researcher}
    levels |= {level.level: level.researcher for level in recipe.outer}
    for name in ("inner", "settings", "mechanisms"):
        if getattr(recipe.models, name) and name not in levels:
            found.append(f"models.{name}: the recipe has no level {name!r}")
    if recipe.agent.model_fields_set and recipe.inner.researcher != "agent":
        found.append("agent: only the researcher 'agent' reads it; it is inner.researcher")
    events = recipe.events
    for key, reader in (("shares", "budget"), ("stuck_after", "stuck")):
        if key in events.model_fields_set and not getattr(events, reader):
            found.append(f"events.{key}: only the command events.{reader} reads it, and there is none")
    for key in {"seconds", "env_pass"} & events.model_fields_set if not events.commands else ():
        found.append(f"events.{key}: there is no command")
    given = {key for level in recipe.outer for key in level.model_fields_set}
    if "domains" in given and levels.get("mechanisms") != "llm":
        found.append("outer.domains: only a language model reads it")
    return sorted(found)


def text_of(path: Path, what: str) -> str:
    if not path.is_file():
        raise InputError(f"there is no {what} file {str(path)!r}")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} file {str(path)!r} cannot be read: {error}") from error


def _parse(text: str, where: str) -> Recipe:
    try:
        return validated(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error


def validated(data: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of these keys. Raises InputError that lists all that is wrong, and says where they stand."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {_wrong(e)}" for e in error.errors()]
        raise InputError(f"{where} cannot be used:\n" + "\n".join(lines)) from None


def _wrong(error: Any) -> str:
    """What pydantic found wrong with a key, and a likely one for a key that there is not."""
    if error["type"] == "missing":
        return "is missing"
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    known = [name for part in Part.__subclasses__() for name in part.model_fields]
    close = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
    return "is not a key that this program reads" + (f"; did you mean {close[0]!r}?" if close else "")
