"""From a repository or a script to a task folder that works: find, ask what cannot be found, run once, write."""

import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bilevel.errors import InputError
from bilevel.init import baseline, commands, drafting, numbers, plan, roles
from bilevel.init.asking import Ask
from bilevel.init.commands import Command
from bilevel.init.drafting import Draft, Limits
from bilevel.init.guesses import slug
from bilevel.init.numbers import Number, Output
from bilevel.init.tree import Tree
from bilevel.tasks.folder import FolderTask

FOLDER = ".bilevel"
OWN = ("task.toml", "brief.md", "recipe.toml", "harness/launch.py", "harness/launch.json")
TRIES = 3
TREE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Wishes:
    """What a person said beforehand; empty is not said."""

    path: Path
    out: Path | None = None
    command: str = ""
    metric: str = ""
    goal: str = ""
    python: str = ""
    env: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    time_limit: float = 1800.0
    force: bool = False


@dataclass(frozen=True)
class Made:
    """What was made: the folder, its files, the draft behind them, and what else was found."""

    folder: Path
    files: tuple[str, ...]
    draft: Draft
    found: tuple[Command, ...]
    number: Number
    others: tuple[Number, ...]
    notes: tuple[str, ...]


def make(wishes: Wishes, ask: Ask, say: Callable[[str], None]) -> Made:
    """Write a task folder. Raises InputError, before anything is written, for what cannot be found or does not work."""
    path = wishes.path.resolve()
    if not path.exists():
        raise InputError(f"there is no {str(wishes.path)!r}; give the folder of a repository, or a script")
    if wishes.goal not in ("", "minimize", "maximize"):
        raise InputError(f"--goal {wishes.goal!r} is not one of minimize, maximize")
    root = path if path.is_dir() else _project_of(path)
    folder = wishes.out.resolve() if wishes.out else root / FOLDER
    _check_free(folder, root, wishes.force)
    tree = Tree.of(root, without=folder) if path.is_dir() or _is_project(root) else _shallow(root, path)
    script = "" if path.is_dir() else path.relative_to(root).as_posix()
    found, command = _command(tree, wishes, script, ask)
    alone = bool(script) and not _is_project(root)
    for attempt in range(TRIES):
        planned = plan.make(tree, command, alone)
        tree = replace(tree, files=planned.include) if planned.include else tree
        first = _first(tree, planned, folder, wishes)
        try:
            output = _measured(first, folder, wishes, say)
            break
        except InputError as error:
            if attempt == TRIES - 1 or not ask.present:
                raise
            say(str(error))
            command = commands.given(ask.text("Which command measures it?", "--command COMMAND"), tree)
    number = _number(output, wishes, ask)
    goal = wishes.goal or number.goal or _asked_goal(number, ask)
    draft = _final(first, tree, output, number, goal)
    _write(draft, folder, wishes.force)
    others = [n for n in numbers.everything(output) if n.name != number.name and n.worth > 0]
    notes = [*planned.notes, *_notes(draft, tree, command)]
    return Made(folder, _files(draft), draft, tuple(found), number, tuple(others), tuple(notes))


def _check_free(folder: Path, root: Path, force: bool) -> None:
    if folder == root or root.is_relative_to(folder):
        raise InputError(f"--out {str(folder)!r} holds the source itself; give a folder of its own")
    if (folder / "task.toml").exists() and not force:
        raise InputError(
            f"{str(folder)!r} has a task.toml already, and nothing was changed; look at it with `bilevel check`, write "
            "it anew with --force, or another one with --out FOLDER"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; give a folder with --out")


def _is_project(root: Path) -> bool:
    marks = (".git", "pyproject.toml", "setup.py", "Makefile", "package.json", "Cargo.toml")
    return any((root / mark).exists() for mark in marks)


def _project_of(script: Path) -> Path:
    """The project that a script belongs to: the nearest folder above it that looks like one, else its own folder."""
    above = [folder for folder in script.parents if folder not in (Path.home(), *Path.home().parents)]
    return next(filter(_is_project, above), script.parent)


def _shallow(root: Path, script: Path) -> Tree:
    """What a script in some folder may need: the files beside it, and the modules of packages beside it."""
    beside = [p for p in root.iterdir() if p.is_file() and not p.name.startswith(".")]
    packages = [p for p in root.iterdir() if (p / "__init__.py").is_file()]
    inner = [file for package in packages for file in package.rglob("*.py")]
    small = [file for file in (*beside, *inner) if not file.is_symlink() and file.stat().st_size <= 16 * 2**20]
    return Tree(root, tuple(sorted({file.relative_to(root).as_posix() for file in (*small, script)})))


def _command(tree: Tree, wishes: Wishes, script: str, ask: Ask) -> tuple[list[Command], Command]:
    """All commands that were found, and the one to take."""
    if wishes.command:
        command = commands.given(wishes.command, tree)
        return [command], command
    if script:
        command = commands.of_script(script, tree)
        return [command], command
    found = commands.find(tree)
    if not found:
        text = ask.text(
            f"No command was found (Makefile, README, pyproject.toml, package.json, {len(tree.files)} files). Which "
            "command measures it?",
            '--command "python my_script.py"',
        )
        command = commands.given(text, tree)
        return [command], command
    if best := commands.clear(found):
        return found, best
    near = [command for command in found if found[0].worth - command.worth < commands.CLOSE]
    place = ask.choose("Which command measures it?", list(commands.everything(near)), '--command "COMMAND"')
    return [near[place], *(command for command in found if command != near[place])], near[place]


def _first(tree: Tree, planned: plan.Plan, folder: Path, wishes: Wishes) -> Draft:
    """The draft for the first run, whose metric is not known yet."""
    held = roles.assign(tree, planned.command.script, planned.configs, (), planned.constants)
    title, about = _about(tree)
    return Draft(
        name=slug(tree.root.name if not planned.include else Path(planned.command.script or tree.root.name).stem),
        title=title or tree.root.name or "a program",
        about=about or f"A program that is run with `{planned.command.text}`.",
        source=_relative(tree.root, folder),
        plan=planned,
        roles=held,
        metric="seconds",
        table={"read": "seconds"},
        goal="minimize",
        limits=Limits(wishes.time_limit, baseline.machine_memory(), baseline.MOST_OUTPUT),
        python=_python(planned.command, tree, wishes),
        env=wishes.env,
        read=wishes.read,
        write=wishes.write,
        network=wishes.network,
        tree_bytes=2 * tree.size if tree.size > TREE_BYTES else 0,
    )  # fmt: skip


def _relative(root: Path, folder: Path) -> str:
    """The source as the task names it: relative where the task lies in it, so that both can be moved together."""
    return os.path.relpath(root, folder) if folder.is_relative_to(root) else str(root)


def _python(command: Command, tree: Tree, wishes: Wishes) -> str:
    """The interpreter to write down; empty where the tree's own, or ours, is found by itself."""
    if wishes.python:
        return _absolute(wishes.python)
    if command.interpreter:
        return command.interpreter
    if any((tree.root / place).exists() for place in (".venv/bin/python", "venv/bin/python")):
        return ""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(name)
        if (
            prefix
            and (Path(prefix) / "bin" / "python").exists()
            and Path(prefix).resolve() != Path(sys.prefix).resolve()
        ):
            return str(Path(prefix) / "bin" / "python")
    return ""


def _absolute(text: str) -> str:
    """A path as the current folder means it; the name of a program stays."""
    return os.path.abspath(os.path.expanduser(text)) if "/" in text else text


def _measured(draft: Draft, folder: Path, wishes: Wishes, say: Callable[[str], None]) -> Output:
    """The one run of the baseline, by a draft in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bilevel-init-") as scratch:
        place = Path(scratch).resolve() / "task"
        here = replace(draft, source=str((folder / draft.source).resolve()))
        (place / "harness").mkdir(parents=True)
        shutil.copyfile(Path(__file__).with_name("probe.py"), place / "harness" / "probe.py")
        _lay_out(here, place, ["{python}", "{harness}/probe.py", *here.command])
        return baseline.measure(place, draft.plan.command.text, say)


def _number(output: Output, wishes: Wishes, ask: Ask) -> Number:
    """The metric: as it was named, or what is clearly it, or as a person says."""
    found = numbers.everything(output)
    if wishes.metric:
        number = numbers.named(wishes.metric, output)
        if number is None:
            seen = ", ".join(n.name for n in found[:12]) or "none"
            raise InputError(
                f"--metric {wishes.metric!r}: the run printed no such number; it printed {seen}; `--metric seconds` is "
                "the wall time of the command"
            )
    else:
        number = numbers.clear(found)
    if number is None:
        wall = numbers.seconds(output)
        likely = [n for n in found if n.worth > 0] or found[:8]
        offered = [*likely[:8], *([] if any(n.name == "seconds" for n in likely) else [wall])]
        what = "Which number is to be improved?"
        if not found:
            near = numbers.not_finite(output)
            seen = (
                f"The run printed {near!r}, which is no number to start from"
                if near
                else "The run printed no `name: number`"
            )
            what = f"{seen}. What is to be improved?"
        number = offered[ask.choose(what, [str(n) for n in offered], "--metric NAME")]
    if numbers.read_back(number, output) is None:
        raise InputError(
            f"{number.name!r} was seen in the output, but a run could not read it; print it as a line "
            f"`{number.name}: NUMBER`, or give another one with --metric"
        )
    return number


def _asked_goal(number: Number, ask: Ask) -> str:
    answers = ["minimize: lower is better", "maximize: higher is better"]
    place = ask.choose(f"Is {number.name} better when it is lower or higher?", answers, "--goal minimize or maximize")
    return ("minimize", "maximize")[place]


def _final(first: Draft, tree: Tree, output: Output, number: Number, goal: str) -> Draft:
    """The draft with what the first run showed: metric, limits, and that nothing the run writes is protected."""
    file = str(number.table.get("file", "")).removeprefix("workdir/")
    wall = max(60.0, float(math.ceil(3 * output.seconds)))
    memory = max(2, math.ceil(2 * output.memory_bytes / 2**30)) * 2**30
    printed = max(2 * output.printed, min(8 * output.printed, baseline.MOST_OUTPUT))
    return replace(
        first,
        roles=roles.assign(
            tree, first.plan.command.script, first.plan.configs, output.written, first.plan.constants
        ),
        metric=number.name,
        table=number.table,
        goal=goal,
        baseline=number.value,
        seconds=output.seconds,
        errors=number.by_error,
        limits=Limits(wall, memory, max(2**20, printed)),
        exclude=(file,) if file and tree.has(file) else (),
    )  # fmt: skip


def _lay_out(draft: Draft, folder: Path, command: list[str] | None = None) -> None:
    """Write the files of a draft into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(drafting.task_toml(draft, command), "utf-8")
    (folder / "brief.md").write_text(drafting.brief(draft, drafting.changes(draft)), "utf-8")
    if draft.orders:
        (folder / "harness").mkdir(exist_ok=True)
        shutil.copyfile(Path(__file__).with_name("launcher.py"), folder / "harness" / "launch.py")
        text = json.dumps(draft.orders, indent=2) + "\n"
        (folder / "harness" / "launch.json").write_text(text, "utf-8")


def _files(draft: Draft) -> tuple[str, ...]:
    return OWN if draft.orders else OWN[:3]


def _write(draft: Draft, folder: Path, force: bool) -> None:
    """Write the task folder, after a copy of it elsewhere was opened without problems."""
    with tempfile.TemporaryDirectory(prefix="bilevel-init-") as scratch:
        trial = Path(scratch).resolve() / "task"
        _lay_out(replace(draft, source=str((folder / draft.source).resolve())), trial)
        problems = FolderTask.open(trial).check()
    if problems:
        raise InputError("the task that was made has problems:\n" + "\n".join(f"  - {text}" for text in problems))
    if force:
        for name in OWN:
            (folder / name).unlink(missing_ok=True)
    try:
        _lay_out(draft, folder)
        (folder / "recipe.toml").write_text(drafting.recipe_toml(draft, folder), "utf-8")
    except OSError as error:
        raise InputError(
            f"the task cannot be written into {str(folder)!r}: {error.strerror}; give a folder of yours with --out"
        ) from error


def _about(tree: Tree) -> tuple[str, str]:
    """A title and a first paragraph from the README."""
    for path in tree.named("README.md", "README.rst", "README.txt", "README"):
        text = re.sub(r"<!--.*?-->", "", tree.text(path), flags=re.S)
        title = next((line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("# ")), "")
        for block in re.split(r"\n\s*\n", text):
            plain = block.strip()
            decor = plain.startswith(("#", "[!", "![", "<", "```", "|", "---", "===", "- ", "* ", "    "))
            if plain and not decor and not re.search(r"\n[=\-~]{3,}\s*$", plain):
                return title[:120], plain[:2000]
        return title[:120], ""
    return "", ""


def _notes(draft: Draft, tree: Tree, command: Command) -> list[str]:
    """What a person should know about what was guessed."""
    notes = []
    if not draft.plan.free:
        notes.append(
            "no number to turn was found, so only a language model can research it: add --model PROVIDER:MODEL "
            "(`bilevel models` lists them)"
        )
    if command.script in draft.roles.paths:
        notes.append(
            f"{command.script} both is changed and prints the score; a model could change how it is measured, so read "
            "what `bilevel diff` shows, or move the measurement into a file of its own and protect it"
        )
    if "params.json" in tree.files:
        notes.append("options and config values are no parameters, because runs get a params.json and the tree has one")
    if draft.plan.apart:
        left = [path for path in draft.plan.apart if path not in draft.plan.read_paths]
        linked = [path for path in draft.plan.read_paths if path in draft.plan.apart]
        if linked:
            notes.append(f"too large to be copied, or a link, so linked into each run: {', '.join(linked[:5])}")
        if left:
            notes.append(f"links to folders, which runs do not have: {', '.join(left[:5])}")
    return notes
