"""Recipes: which levels a run has, who researches at each, and with which budgets; and how they are wired together.

A recipe is a TOML file. Shipped ones are found by name; options of the command line override single keys. What a run
folder stores is the resolved recipe, so a resume needs nothing else.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bilevel.budget import Budget
from bilevel.errors import InputError
from bilevel.levels import Inside, leaf, levels_of, lift, nest
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.researcher import Researcher
from bilevel.settings import Settings
from bilevel.surfaces import MechanismSurface, SettingsSurface, Surface, mechanism_set
from bilevel.task import Task

LEVELS = {"settings": "1.5", "mechanisms": "2"}  # the numbers by which the levels are known


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


class Inner(Part):
    """The innermost loop. `trials` is its budget where no level stands above it; `rung` is the task's last if empty."""

    researcher: str = "coordinate"
    trials: int = Field(30, ge=1)
    rung: str = ""
    calibration: int = Field(3, ge=1, le=16)
    mechanisms: tuple[str, ...] = ()
    settings: InnerSettings = InnerSettings()


class Outer(Part):
    """A level above, given from the inside out.

    `trials`: how many trials of the loop below one cycle takes (per arm). `cycles`: how many cycles this level has, its
    baseline among them. `mechanisms` are in force on this loop itself.
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


class Recipe(Part):
    """Everything that decides a run. `evaluations` bounds the measurements of the whole tree without calibration."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    why: str = ""
    task: str = "sphere"
    seed: int = 0
    workers: int = Field(1, ge=1, le=64)
    evaluations: int | None = Field(None, ge=1)
    inner: Inner = Inner()
    outer: tuple[Outer, ...] = ()

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
        return _parse(_text(path, "recipe"), name_or_path)
    folder = resources.files("bilevel.catalog") / "recipes"
    file = folder / f"{name_or_path}.toml"
    if "/" in name_or_path or not file.is_file():
        names = ", ".join(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))
        raise InputError(f"there is no recipe {name_or_path!r}; shipped are: {names}; or give the path of a .toml file")
    return _parse(file.read_text("utf-8"), file.name)


def resolve(data: Mapping[str, Any]) -> Recipe:
    """The recipe that a run folder stored."""
    return _validated(dict(data), "the run folder's recipe")


def override(
    recipe: Recipe,
    *,
    task: str | None = None,
    researcher: str | None = None,
    trials: int | None = None,
    inner_budget: int | None = None,
    outer_cycles: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    rung: str | None = None,
) -> Recipe:
    """The recipe with the options that were given.

    `trials` is the whole run's number of measurements; in a nested recipe the outermost level then goes on for as many
    cycles as it pays for, unless `outer_cycles` says how many. `inner_budget`: trials of the innermost loop per cycle.
    """
    data = recipe.model_dump()
    for key, value in (("task", task), ("seed", seed), ("workers", workers)):
        if value is not None:
            data[key] = value
    if researcher is not None:
        data["inner"]["researcher"] = researcher
    if rung is not None:
        data["inner"]["rung"] = rung
    if not recipe.nested:
        if inner_budget is not None or outer_cycles is not None:
            raise InputError(f"recipe {recipe.name!r} has one level: use --trials instead of an inner or outer budget")
        if trials is not None:
            data["inner"]["trials"] = trials
    else:
        data["outer"] = [dict(level) for level in data["outer"]]
        if inner_budget is not None:
            data["outer"][0]["trials"] = inner_budget
        if trials is not None:
            data["evaluations"] = trials
            data["outer"][-1]["cycles"] = trials
        if outer_cycles is not None:
            data["outer"][-1]["cycles"] = outer_cycles
    return _validated(data, "the command line")


def unread(recipe: Recipe) -> list[str]:
    """Keys that the recipe's file sets and that nothing reads: a sentence each."""
    found = []
    if recipe.nested and "trials" in recipe.inner.model_fields_set:
        found.append("inner.trials: nothing reads it; the level above says how many trials a cycle has")
    for depth, level in enumerate(recipe.outer):
        others = {"most_mechanisms"} if level.level == "settings" else {"least_active", "most_changed"}
        found += [
            f"outer.{depth}.{key}: level {level.level!r} does not read it" for key in others & level.model_fields_set
        ]
        if "cycles" in level.model_fields_set and level is not recipe.outer[-1]:
            found.append(f"outer.{depth}.cycles: nothing reads it; the level above says how many trials a cycle has")
    return sorted(found)


def sources(recipe: Recipe, spec: LoopSpec) -> dict[str, str]:
    """The texts of the mechanisms that a recipe names, as they were when `spec` was built from it."""
    named = [recipe.inner.mechanisms, *(level.mechanisms for level in recipe.outer)]
    pairs = [
        pair
        for names, loop in zip(named, levels_of(spec), strict=True)
        for pair in zip(names, loop.mechanisms, strict=True)
    ]
    return {name: guest.source for name, guest in pairs}


def build(recipe: Recipe, stored: Mapping[str, str] = MappingProxyType({})) -> LoopSpec:
    """The loops of a recipe, wired to the task, the researchers and the mechanisms that it names.

    `stored` holds the texts of mechanisms as a run folder keeps them; the others are read. Raises InputError for names
    that do not exist and for extras that are not installed.
    """
    from bilevel.tasks.catalog import find as find_task

    names = [level.level for level in recipe.outer]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"recipe {recipe.name!r} has two levels {twice!r}; the upper one would undo the lower one's work"
        )
    task = find_task(recipe.task)
    spec = _inner(recipe, task, stored)
    for depth, level in enumerate(recipe.outer):
        spec = _outer(spec, level, depth, stored)
    if recipe.evaluations is not None:
        limit = Budget(spec.budget.trials, recipe.evaluations + leaf(spec).calibration)
        spec = replace(spec, budget=limit)
    return spec


def _inner(recipe: Recipe, task: Task, stored: Mapping[str, str]) -> LoopSpec:
    inner = recipe.inner
    names = [rung.name for rung in task.rungs]
    if inner.rung and inner.rung not in names:
        raise InputError(f"task {task.name!r} has no rung {inner.rung!r}; its rungs are: {', '.join(names)}")
    values = inner.settings.model_dump()
    unknown = [name for name in values["frozen"] if name not in task.space.domains]
    if unknown:
        raise InputError(f"inner.settings.frozen: task {task.name!r} has no parameter {unknown[0]!r}")
    values["frozen"] = dict.fromkeys(values["frozen"], "recipe")
    spec = LoopSpec(
        name="inner",
        task=task,
        researcher=_researcher(inner.researcher),
        settings=Settings(**values),
        budget=Budget(trials=inner.trials),
        seed=recipe.seed,
        rung=inner.rung,
        calibration=inner.calibration,
    )
    return _with_mechanisms(spec, inner.mechanisms, stored)


def _outer(inner: LoopSpec, level: Outer, depth: int, stored: Mapping[str, str]) -> LoopSpec:
    from bilevel.admission import door

    surface: Surface
    if level.level == "settings":
        surface = SettingsSurface(level.least_active, level.most_changed)
    else:
        surface = MechanismSurface(door, level.most_mechanisms)
    for _ in range(depth):
        surface = Inside(surface)
    researcher = _researcher(level.researcher, level)
    spec = nest(
        inner,
        surface,
        researcher,
        name=level.level,
        trials=level.trials,
        cycles=level.cycles,
        start=level.start,
    )
    return _with_mechanisms(spec, level.mechanisms, stored)


def _researcher(name: str, level: Outer | None = None) -> Researcher:
    """A researcher by name; `library:random` and `library:only:NAME` are modes of `library`."""
    from bilevel import mechanisms, researchers

    base, _, mode = name.partition(":")
    _check_level(base, name, "1" if level is None else LEVELS[level.level])
    if base == "settings_rules" and level is not None:
        return researchers.make(base, least_active=level.least_active, most_changed=level.most_changed)
    if base != "library" or level is None:
        return researchers.make(name)
    if mode not in ("", "diagnose", "random", *(f"only:{known}" for known in mechanisms.library())):
        known = ", ".join(mechanisms.library())
        raise InputError(
            f"there is no researcher {name!r}; write library, library:random, or library:only:NAME with one of: {known}"
        )
    return researchers.make(
        base,
        compose=mechanism_set,
        sources=mechanisms.source,
        entries=mechanisms.library(),
        mode=mode or "diagnose",
        most=level.most_mechanisms,
    )


def _check_level(base: str, name: str, level: str) -> None:
    """Raises InputError where a researcher works on another level. `scripted` is made by programs, with its replies."""
    from bilevel import researchers

    fit = [listed.name for listed in researchers.catalog() if listed.level == level and listed.name != "scripted"]
    if base not in fit:
        known = base in [listed.name for listed in researchers.catalog()]
        said = f"researcher {name!r} cannot work on level {level}" if known else f"there is no researcher {name!r}"
        raise InputError(f"{said}; level {level} has: {', '.join(fit)}")


def _with_mechanisms(spec: LoopSpec, names: tuple[str, ...], stored: Mapping[str, str]) -> LoopSpec:
    for name in names:
        spec = lift(Guest(Path(name).stem, stored[name]) if name in stored else _guest(name), spec)
    return spec


def _guest(name: str) -> Guest:
    """A mechanism of the library, or the one in a .py file, which must pass the door."""
    from bilevel import mechanisms
    from bilevel.admission import door

    path = Path(name)
    if path.suffix != ".py":
        return Guest(name, mechanisms.source(name))
    guest = Guest(path.stem, _text(path, "mechanism"))
    refusal = door(guest)
    if refusal is not None:
        raise InputError(f"mechanism file {name!r} was refused at the door: {refusal}")
    return guest


def _text(path: Path, what: str) -> str:
    if not path.is_file():
        raise InputError(f"there is no {what} file {str(path)!r}")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} file {str(path)!r} cannot be read: {error}") from error


def _parse(text: str, where: str) -> Recipe:
    try:
        return _validated(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error


def _validated(data: Mapping[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()]
        raise InputError(f"{where} cannot be used:\n" + "\n".join(lines)) from None
