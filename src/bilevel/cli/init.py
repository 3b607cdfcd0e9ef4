"""`init`: a task folder and a recipe from a repository or a script, with what was guessed and how to change it."""

import os
import shlex
import sys
from pathlib import Path

from bilevel.cli.printing import print_json, visible
from bilevel.errors import BilevelError, InputError
from bilevel.init import drafting
from bilevel.init.asking import Ask, Nobody, Person
from bilevel.init.making import Made, Wishes, make
from bilevel.length import planned_evaluations
from bilevel.recipe import find
from bilevel.wiring import build

SHOWN = 12


def run_init(wishes: Wishes, yes: bool, as_json: bool) -> None:
    """Make the task folder and print what came of it; asks only at a terminal and without --yes."""
    asks = not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    ask: Ask = Person(input, _say) if asks else Nobody()
    try:
        made = make(wishes, ask, _whisper if as_json else _say)
    except KeyboardInterrupt:
        raise InputError("stopped before anything was written") from None
    if as_json:
        print_json(_as_data(made))
    else:
        for line in _report(made):
            _say(line)


def _say(line: str) -> None:
    print(visible(line), flush=True)


def _whisper(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)


def _shown(folder: Path) -> str:
    """A folder as one would type it here."""
    here = os.path.relpath(folder)
    return here if not here.startswith("..") else str(folder)


def next_commands(made: Made) -> list[str]:
    """The commands to go on with, in their order."""
    task = shlex.quote(_shown(made.folder))
    model = "" if made.draft.plan.free else " --model PROVIDER:MODEL"
    return [f"bilevel check {task}", f"bilevel run {task}/recipe.toml{model}"]


def _as_data(made: Made) -> dict[str, object]:
    draft = made.draft
    return {
        "folder": str(made.folder),
        "files": list(made.files),
        "command": draft.plan.command.text,
        "found": [{"command": c.text, "places": list(c.places)} for c in made.found],
        "metric": {"name": draft.metric, "value": draft.baseline, "read": dict(draft.table), "goal": draft.goal},
        "parameters": {
            p.guess.name: {**p.guess.table, "value": p.guess.value, "where": p.where} for p in draft.plan.free
        },
        "fixed": {p.guess.name: p.guess.why for p in draft.plan.fixed},
        "editable": list(draft.roles.editable),
        "protected": dict(draft.roles.protected),
        "limits": vars(draft.limits),
        "notes": list(made.notes),
        "next": next_commands(made),
    }


def _report(made: Made) -> list[str]:
    draft, folder = made.draft, _shown(made.folder)
    command = draft.plan.command
    lines = ["", f"wrote {', '.join(made.files)} into {folder}/", ""]
    lines += [f"command    {command.text}", f"           found: {', '.join(command.places)}"]
    lines += [f"           also found: {c.text} ({', '.join(c.places)})" for c in made.found[1 : SHOWN // 2]]
    lines.append(f"metric     {made.number}")
    lines.append(f"           {draft.goal} (change: --goal, or objective.direction)")
    lines += [f"           also found: {n}" for n in made.others[:4]]
    lines += _parameters(made)
    lines.append(f"editable   {_some(list(draft.roles.editable))}")
    shut = [f"{pattern} ({why})" for pattern, why in draft.roles.protected.items()]
    lines.append(f"protected  {_some(shut)}")
    limits = draft.limits
    lines.append(
        f"limits     {limits.wall_seconds:g} s and {limits.memory_bytes / 2**30:g} GiB for one run; the baseline took "
        f"{draft.seconds:.3g} s"
    )
    lines += [f"note       {note}" for note in made.notes]
    lines += ["", f"All of this stands in {folder}/task.toml and {folder}/brief.md and may be changed there. Next:"]
    return lines + [f"  {command}" for command in next_commands(made)] + _estimate(made)


def _estimate(made: Made) -> list[str]:
    """How long the recipe takes at the most, if it can be run as it is; as long as each measurement takes."""
    try:
        planned = planned_evaluations(build(find(str(made.folder / "recipe.toml"))))
    except BilevelError:  # it needs a model that nobody has named yet
        return []
    if planned is None:
        return []
    took = planned * made.draft.seconds
    said = f"{took / 3600:.1f} hours" if took > 5400 else f"{took / 60:.0f} minutes" if took > 90 else f"{took:.0f} s"
    return [
        f"It makes {planned} measurements and repeats what leads; about {said}; --trials N makes it shorter or longer."
    ]


def _parameters(made: Made) -> list[str]:
    if not made.draft.plan.free:
        return ["parameters none"]
    lines = []
    for place, parameters in drafting.where(made.draft.plan.free).items():
        lines.append(f"parameters in {place}:")
        for parameter in parameters:
            guess = parameter.guess
            table = guess.table
            bounds = f"{_bound(table['low'])} to {_bound(table['high'])}" if "low" in table else ""
            bounds = bounds or ", ".join(map(str, table.get("options", ("true", "false"))))
            lines.append(f"           {guess.name} = {guess.value}: {bounds} ({guess.why})")
    fixed = [f"{p.guess.name} ({p.guess.why})" for p in made.draft.plan.fixed if not isinstance(p.guess.value, tuple)]
    return lines + ([f"           not searched: {_some(fixed)}"] if fixed else [])


def _bound(number: int | float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return (", ".join(items[:SHOWN]) or "nothing") + more
