"""Finds a task by name or by path: the shipped ones, or any folder with a `task.toml`."""

import importlib.resources
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import UnionType
from typing import NamedTuple

from bilevel.errors import InputError
from bilevel.named import PREFIX, made
from bilevel.task import Task
from bilevel.tasks.article import article
from bilevel.tasks.external import External, external
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.gpt_table import gpt_table
from bilevel.tasks.hpo import TABLES, hpo
from bilevel.tasks.hpo import title as table_title
from bilevel.tasks.karpathy import find_karpathy, is_reference
from bilevel.tasks.known import KnownTask
from bilevel.tasks.landscapes import KINDS, landscape
from bilevel.tasks.landscapes import title as landscape_title
from bilevel.tasks.learning import STUDIES, learning
from bilevel.tasks.learning import title as study_title
from bilevel.tasks.model import TASK_FILE, read_model
from bilevel.tasks.page import page
from bilevel.tasks.sphere import sphere
from bilevel.tasks.worker import WorkerTask

MADE: Mapping[str, Callable[..., Task]] = {"sphere": sphere, "gpt-table": gpt_table, "page": page, "article": article}
TITLES = {
    "sphere": "A synthetic task with a known optimum; costs microseconds",
    "gpt-table": "A surrogate of gpt, fitted to measured runs; needs no torch and costs microseconds",
    "article": "Articles, judged by a language model with a rubric of five dimensions",
    "page": "A page of documentation, measured by rules for how readable it is; needs no model",
}


class Family(NamedTuple):
    """Tasks that share a builder, whose first option is written right after the colon: `hpo:vehicle`."""

    build: Callable[..., Task]
    option: str
    names: tuple[str, ...]
    title: Callable[[str], str]


FAMILIES: Mapping[str, Family] = {
    "hpo": Family(hpo, "table", tuple(TABLES), table_title),
    "landscape": Family(landscape, "kind", tuple(KINDS), landscape_title),
    "sklearn": Family(learning, "study", tuple(STUDIES), study_title),
}
BY_RULES = {"page": "page_rules"}
BY_MODEL = {"page": "workflow", "article": "workflow"}
"""For tasks without parameters: who proposes where nobody is named, asking no model, and asking one."""
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_unpacked = ExitStack()  # package data that had to be unpacked from an archive stays until the process ends


class Shipped(NamedTuple):
    """A task that comes with the program."""

    name: str
    title: str


def shipped() -> list[Shipped]:
    """The tasks that come with the program, by name."""
    made = [Shipped(name, TITLES[name]) for name in MADE]
    made += [Shipped(f"{name}:{one}", kind.title(one)) for name, kind in FAMILIES.items() for one in kind.names]
    folders = [Shipped(name, read_model(folder).title) for name, folder in _folders().items()]
    return sorted(made + folders, key=lambda task: task.name)


def find_seeded(name_or_path: str | os.PathLike[str], seed: int) -> Task:
    """The task as a run with this seed searches it: where it starts at random, the seed draws the start."""
    task = find(name_or_path)
    if isinstance(task, External) and isinstance(task.task, KnownTask):
        return external(task.task.from_seed(seed))
    return task.from_seed(seed) if isinstance(task, KnownTask) else task


def find(name_or_path: str | os.PathLike[str], **options: object) -> Task:
    """A task by its shipped name, or the one in a folder; `./sphere` is the folder where `sphere` is the shipped task.

    `python:module:attribute` is a task of somebody else's module. A name may carry options,
    `sphere:noise=0.1,dimensions=6`; `options` wins over those. Raises InputError for an unknown name or option and for
    a value of the wrong type, with what there is.
    """
    text = os.fspath(name_or_path)
    name, _, given = text.partition(":")
    if name == "article":  # its files stand right after the colon
        return article(**{"files": given, **options})  # type: ignore[arg-type]
    if name in MADE:
        return MADE[name](**_typed(name, MADE[name], {**_pairs(text, given), **options}))
    if name in FAMILIES and not Path(text, TASK_FILE).is_file():
        family = FAMILIES[name]
        first, _, rest = given.partition(",")
        pairs = {family.option: first, **_pairs(text, rest)}
        return family.build(**_typed(name, family.build, {**pairs, **options}))
    if text.startswith(PREFIX):  # python:module:attribute; see docs/domains.md
        _no_options(text, options)
        task: Task = made(text, Task, "task")
        return task
    if name == "worker":  # a Python function; see bilevel.optimize
        return WorkerTask.parse(given)
    if name == "external":  # another task, measured from outside; see docs/driving.md
        return external(find(given))
    if is_reference(text):  # a checkout of Karpathy's autoresearch; see docs/karpathy.md
        return find_karpathy(text, **options)
    folders = _folders()
    if name in folders:
        _no_options(name, {**_pairs(text, given), **options})
        return FolderTask.open(folders[name])
    if (Path(text) / TASK_FILE).is_file():
        _no_options(text, options)
        return FolderTask.open(Path(text))
    known = ", ".join([*sorted([*MADE, *folders]), *(f"{family}:NAME" for family in FAMILIES)])
    found = f"the folder {text!r} has no {TASK_FILE}" if Path(text).is_dir() else f"there is no task {text!r}"
    raise InputError(
        f"{found}; the shipped tasks are {known}; for your own, give the path of the folder with its {TASK_FILE}"
    )


def _folders() -> dict[str, Path]:
    """The shipped folder tasks."""
    root = importlib.resources.files("bilevel.catalog").joinpath("tasks")
    found = {}
    for entry in sorted(root.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.joinpath(TASK_FILE).is_file():
            found[entry.name] = _unpacked.enter_context(importlib.resources.as_file(entry))
    return found


def _pairs(text: str, given: str) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for part in filter(None, given.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"task {text!r}: {part!r} is not an option; write name:option=value,option=value")
        pairs[key.strip()] = value.strip()
    return pairs


def _no_options(name: str, options: Mapping[str, object]) -> None:
    if options:
        raise InputError(f"task {name!r} takes no options, but got {', '.join(map(repr, options))}")


def _typed(name: str, build: Callable[..., Task], options: Mapping[str, object]) -> dict[str, object]:
    """Options with the types that the builder's signature says; text is converted."""
    known = inspect.signature(build).parameters
    typed: dict[str, object] = {}
    for key, value in options.items():
        if key not in known:
            raise InputError(f"task {name!r} has no option {key!r}; its options are: {', '.join(known) or 'none'}")
        kind = known[key].annotation
        typed[key] = _convert(f"option {key!r} of task {name!r}", kind, value)
    return typed


def _convert(what: str, kind: type | UnionType, value: object) -> object:
    if kind is str:
        return str(value)
    if kind is bool:
        found = TRUTHS.get(str(value).lower())
        if found is None:
            raise InputError(f"{what} needs true or false, not {value!r}")
        return found
    try:
        number = float(str(value))
    except ValueError:
        raise InputError(f"{what} needs a number, not {value!r}") from None
    if kind in (int, int | None):
        if not number.is_integer():
            raise InputError(f"{what} needs a whole number, not {value!r}")
        return int(number)
    return number
