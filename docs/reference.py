"""The reference pages of the docs site, from the code: commands, keys of recipes and of tasks, the Python interface.

They are made when the site is built (`make docs`), so they cannot be older than the code; its hook calls `pages`.
"""

import json
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bilevel.cli import load_commands
from bilevel.cli.program import app
from bilevel.recipe import Recipe
from bilevel.tasks.model import TaskModel

PYTHON = {
    "For scripts and notebooks": (
        "bilevel.optimizing.optimize", "bilevel.optimizing.Result", "bilevel.notebook.Run", "bilevel.notebook.RunTrace",
        "bilevel.notebook.Rows",
    ),
    "The loops": (
        "bilevel.loop.Loop", "bilevel.loop.LoopSpec", "bilevel.nesting.nest", "bilevel.nesting.lift",
        "bilevel.levels.LoopTask", "bilevel.lab.Lab", "bilevel.budget.Budget", "bilevel.settings.Settings",
    ),
    "What guests implement and see": (
        "bilevel.mechanism.Mechanism", "bilevel.researcher.Researcher", "bilevel.task.Task", "bilevel.view.View",
        "bilevel.trace.Trace", "bilevel.objective.Objective",
    ),
    "Values": (
        "bilevel.space.Candidate", "bilevel.space.Space", "bilevel.space.Float", "bilevel.space.Int",
        "bilevel.space.Choice", "bilevel.space.Bool", "bilevel.trial.Trial", "bilevel.trial.Run",
        "bilevel.trial.Proposal", "bilevel.trial.Status", "bilevel.trial.Decision",
    ),
    "Suites that admit guests": (
        "bilevel.testing.check_mechanism", "bilevel.testing.check_researcher", "bilevel.testing.check_task",
        "bilevel.testing.check_surface", "bilevel.testing.check_store",
    ),
    "Errors": ("bilevel.errors",),
}  # fmt: skip


def pages() -> dict[str, str]:
    """The pages' texts by path below the docs folder."""
    return {
        "reference/commands.md": commands(),
        "reference/recipes.md": keys(Recipe, "Keys of a recipe", "A recipe is explained in [Recipes](../recipes.md)."),
        "reference/tasks.md": keys(TaskModel, "Keys of a task", "A `task.toml` is explained in [Tasks](../tasks.md)."),
        "reference/python.md": python(),
    }


def commands() -> str:
    """Every command with its options, from the help that it prints."""
    load_commands()
    text: str = app.generate_docs(output_format="markdown")
    text = re.sub(
        r"## Table of Contents\n.*?(?=\n\*\*Commands\*\*)", "", text, count=1, flags=re.DOTALL
    )  # the site has one
    return text.replace("# bilevel\n", "# Commands\n", 1)


def python() -> str:
    """What a program may use, by mkdocstrings: signatures and docstrings."""
    lines = ["# Python", "", "How to use it: [From Python](../python.md), [Exports](../export.md#python)."]
    for title, names in PYTHON.items():
        lines += ["", f"## {title}", "", *(f"::: {name}" for name in names)]
    return "\n".join(lines) + "\n"


def keys(model: type[BaseModel], title: str, said: str) -> str:
    """Every key of a TOML file with its type, bounds and default, a section for each table."""
    lines = [f"# {title}", "", said]
    for path, table in _tables(model, ""):
        lines += ["", f"## `{path}`" if path else "## Top level", "", _paragraphs(table.__doc__ or ""), ""]
        lines += ["| key | type | if not given |", "|---|---|---|"]
        for name, field in table.model_fields.items():
            kind = _kind(field.annotation, field.metadata)
            lines.append(f"| `{name}` | {kind} | {_default(field)} |")
    return "\n".join(lines) + "\n"


def _tables(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        for inner, many in _models(field.annotation):
            deeper = f"{path}.{name}".strip(".").replace("[[", "").replace("]]", "")
            yield from _tables(inner, f"[[{deeper}]]" if many else deeper)


def _models(annotation: Any, many: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, many
    for part in get_args(annotation):
        yield from _models(part, many or get_origin(annotation) is tuple)


def _kind(annotation: Any, metadata: list[Any]) -> str:
    bounds = "".join(f", {text}" for one in metadata if (text := _bound(one)))
    return _name(annotation).replace("|", "\\|") + bounds


def _name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(parts[0], [one for part in parts[1:] for one in getattr(part, "metadata", [part])])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(part)}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_name(part) for part in parts if part is not NoneType)
    if origin is tuple:
        inner = _name(parts[0])
        return "tables" if inner == "table" else f"list of {inner}"
    if origin is not None and len(parts) == 2:
        return f"table of {_name(parts[1])}"
    known = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return known.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _bound(constraint: Any) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "pattern": "like"}
    return " and ".join(
        f"{word} `{getattr(constraint, name)}`"
        for name, word in words.items()
        if getattr(constraint, name, None) is not None
    )


def _default(field: Any) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, BaseModel):
        return "the table's own"
    if isinstance(value, dict | frozenset):
        return "none" if not value else f"`{value!r}`"
    return f"`{json.dumps(value, default=str)}`".replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return re.sub(r"\n +", "\n", text.strip())
