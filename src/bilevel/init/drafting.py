"""The texts of a task folder: task.toml, brief.md and recipe.toml, with what was guessed said beside it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bilevel.init.plan import Parameter, Plan
from bilevel.init.roles import Roles


@dataclass(frozen=True)
class Limits:
    """What one measurement may use."""

    wall_seconds: float
    memory_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Draft:
    """All that a task folder says. `metric` is the metric's name, `table` how it is read, `baseline` what it was."""

    name: str
    title: str
    about: str
    source: str
    plan: Plan
    roles: Roles
    metric: str
    table: Mapping[str, Any]
    goal: str
    limits: Limits
    python: str = ""
    env: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    tree_bytes: int = 0
    exclude: tuple[str, ...] = ()
    baseline: float | None = None
    seconds: float = 0.0
    errors: bool = False

    @property
    def orders(self) -> dict[str, Any]:
        """What the launcher is to do; empty where none is needed."""
        return {**self.plan.orders, **({"errors": True} if self.errors else {})}

    @property
    def command(self) -> tuple[str, ...]:
        launched = ("{python}", "{harness}/launch.py") if self.orders else ()
        return (*launched, *self.plan.words)


def task_toml(draft: Draft, command: Iterable[str] | None = None) -> str:
    """The task's description; `command` takes the place of the draft's own."""
    plan, roles = draft.plan, draft.roles
    lines = [
        "# Written by `bilevel init`. Everything here may be changed; `bilevel check` says what is wrong with it.",
        f"name = {value(draft.name)}",
        f"title = {value(draft.title)}",
        "",
        "[objective]",
        f"metric = {value(draft.metric)}",
        f"direction = {value(draft.goal)}",
        "self_reported = true  # the program prints its own score; a scorer in harness/ would check it",
        "",
        f"[metrics.{key(draft.metric)}]  # {_said(draft)}",
        *(f"{name} = {value(item)}" for name, item in draft.table.items()),
        "",
        "[source]  # the tree that candidates are changes of; it is only read",
        f"path = {value(draft.source)}",
    ]
    if plan.include:
        lines.append(f"include = {value(plan.include)}")
    if exclude := (*plan.apart, *draft.exclude):
        lines.append(f"exclude = {value(exclude)}")
    if draft.tree_bytes:
        lines.append(f"tree_bytes = {draft.tree_bytes}")
    lines += ["", "[command]", f"run = {value(tuple(draft.command if command is None else command))}"]
    if draft.python:
        lines.append(f"python = {value(draft.python)}")
    if plan.command.env:
        lines.append(f"env = {value(dict(plan.command.env))}")
    if draft.env:
        lines.append(f"env_pass = {value(draft.env)}")
    if read := tuple(dict.fromkeys((*plan.read_paths, *draft.read))):
        lines.append(f"read_paths = {value(read)}  # linked into each run's working copy or HOME")
    if draft.write:
        lines.append(f"write_paths = {value(draft.write)}")
    if draft.network:
        lines.append('network = "on"')
    if plan.seed:
        lines.append(f"seed = {{ {plan.seed[0]} = {value(plan.seed[1])} }}")
    lines += ["", "[candidate]", "editable = [", *(f"  {value(path)}," for path in roles.editable), "]"]
    lines += ["protected = [", *(f"  {value(path)},  # {why}" for path, why in roles.protected.items()), "]"]
    lines += _space(plan)
    limits = draft.limits
    measured = f"  # the baseline took {draft.seconds:.3g} s" if draft.seconds else ""
    lines += [
        "", "[[rungs]]", 'name = "full"', f"wall_seconds = {limits.wall_seconds:.1f}{measured}",
        f"memory_bytes = {limits.memory_bytes}", f"output_bytes = {limits.output_bytes}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _said(draft: Draft) -> str:
    return "the draft of a first run" if draft.baseline is None else f"was {draft.baseline:g} in the first run"


def _space(plan: Plan) -> list[str]:
    if not plan.free:
        return []
    lines = ["", "[space]  # bounds are guesses from names and values: widen or narrow them, or remove a line"]
    if plan.constants:
        lines.append(f"constants = {value(plan.constants)}")
    lines += ["", "[space.parameters]"]
    for parameter in plan.free:
        guess = parameter.guess
        table = dict(guess.table) if plan.constants else {**guess.table, "default": guess.value}
        lines.append(f"{key(guess.name)} = {value(table)}  # {guess.value!r} in {parameter.where}: {guess.why}")
    fixed = [p for p in plan.fixed if isinstance(p.guess.value, int | float)][:20]
    lines += [f"# {p.guess.name} stays {p.guess.value!r}: {p.guess.why}" for p in fixed]
    return lines


def brief(draft: Draft, changes: Iterable[str]) -> str:
    """What a researcher is told: what it is, what is measured, what may be changed and what not."""
    what = "higher" if draft.goal == "maximize" else "lower"
    now = "" if draft.baseline is None else f" It is {draft.baseline:g} as the program stands."
    often = sorted({pattern for pattern in draft.roles.protected})
    fixed = ", ".join(f"`{pattern}`" for pattern in often[:12]) or "nothing is protected by name"
    limits = draft.limits
    return f"""# {draft.title}

{draft.about}

## What is measured

`{draft.plan.command.text}` is run in a fresh copy of the files; its `{draft.metric}` counts, and {what} is better.{now}

## What may be changed

{chr(10).join(f"- {line}" for line in changes)}

## What is fixed

- How `{draft.metric}` is computed, and on which data: a better number from an easier measurement is no improvement.
- Files: {fixed}.
- One run may take {limits.wall_seconds:g} s of wall time and {limits.memory_bytes / 2**30:.3g} GiB of memory.
"""


def recipe_toml(draft: Draft, task: Path) -> str:
    """A recipe for an evening; without parameters only a language model can research."""
    lines = [
        "# Written by `bilevel init`; docs/recipes.md says what each key means.",
        f"name = {value(draft.name)}",
        f"title = {value(f'{draft.title}: levels 1 and 2')}",
        f"task = {value(str(task))}",
        "",
        "[inner]",
    ]
    if not draft.plan.free:
        lines.append('researcher = "llm"  # nothing numeric was found, so somebody who writes code is needed: --model')
    lines += ["calibration = 3  # the baseline is measured on so many seeds, to know the noise", "", "[[outer]]"]
    lines += ['level = "mechanisms"', 'researcher = "library"', "trials = 5", "cycles = 4", 'start = "fork"']
    return "\n".join(lines) + "\n"


def key(name: str) -> str:
    """A key of TOML, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else value(name)


def value(item: Any) -> str:
    """A value of TOML in one line."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, str):
        if "\\" in item and "'" not in item and item.isprintable():
            return f"'{item}'"
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(item, Mapping):
        return "{ " + ", ".join(f"{key(str(name))} = {value(inner)}" for name, inner in item.items()) + " }"
    return "[" + ", ".join(value(inner) for inner in item) + "]"


def changes(draft: Draft) -> list[str]:
    """What may be changed, a line each."""
    names = [p.guess.name for p in draft.plan.free]
    lines = [f"parameters: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}"] if names else []
    files = ", ".join(f"`{path}`" for path in list(draft.roles.editable)[:20])
    return [*lines, *([f"files: {files}"] if files else [])]


def where(parameters: Iterable[Parameter]) -> dict[str, list[Parameter]]:
    """Parameters by the file or the command that they stand in."""
    found: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        place = "options of the command" if parameter.where.startswith("-") else parameter.where
        found.setdefault(place, []).append(parameter)
    return found
