"""Folder tasks for tests: copies of the fixtures, with changes, and a cache of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bilevel.lab import Bench, Lab
from bilevel.space import Candidate
from bilevel.task import Task
from bilevel.tasks.catalog import find
from bilevel.tasks.folder import FolderTask
from bilevel.trial import Run

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tasks"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BILEVEL_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a fixture with texts of its files replaced: copied("tiny", {"task.toml": {"old": "new"}})."""

    def copy(name: str, changes: dict[str, dict[str, str]] | None = None) -> Path:
        folder = tmp_path / f"{name}-task"
        shutil.copytree(FIXTURES / name, folder)
        for path, replacements in (changes or {}).items():
            text = (folder / path).read_text()
            for old, new in replacements.items():
                assert old in text, f"{old!r} is not in {path}"
                text = text.replace(old, new)
            (folder / path).write_text(text)
        return folder

    return copy


@pytest.fixture
def opened(copied: Callable[..., Path]) -> Callable[..., FolderTask]:
    """The task of such a copy."""

    def open_task(name: str, changes: dict[str, dict[str, str]] | None = None) -> FolderTask:
        task = find(copied(name, changes))
        assert isinstance(task, FolderTask)
        return task

    return open_task


@pytest.fixture
def run() -> Callable[..., Run]:
    """One measurement, of the baseline and on the cheapest rung unless said: run(task, candidate, rung, seed)."""

    def measure(task: Task, candidate: Candidate | None = None, rung: str = "", seed: int = 0) -> Run:
        return task.run(candidate or task.baseline(), Bench(Lab(), rung or task.rungs[0].name, 0, seed))

    return measure


TRAIN = """import mine

RATE = 0.5
print("---")
print("loss:", RATE * mine.FACTOR)
"""
TASK = """name = "mine"
title = "A script of somebody's repository"

[objective]
metric = "loss"
direction = "minimize"

[metrics.loss]
read = "line"

{source}

[candidate]
editable = ["train.py", "src/mine/*.py"]

[space]
constants = ["train.py"]

[space.parameters.RATE]
type = "float"
low = 0.001
high = 1.0

{more}

[command]
run = ["{{python}}", "train.py"{arguments}]
{command}

[[rungs]]
name = "full"
wall_seconds = 60.0
{rung}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Somebody's project: a script, and a package in src/ that it imports."""
    folder = tmp_path / "repository"
    (folder / "src/mine").mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "src/mine/__init__.py").write_text("FACTOR = 1\n")
    return folder


@pytest.fixture
def described(tmp_path: Path, repository: Path) -> Callable[..., Path]:
    """A task folder over that project, with more keys: described(source, command=..., more=..., rung=...)."""

    def describe(source: str = '[source]\npath = "../repository"', *, name: str = "described", **parts: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "brief.md").write_text("Lower the loss.\n")
        texts = {"command": "", "more": "", "rung": "", "arguments": "", **parts}
        (folder / "task.toml").write_text(TASK.format(source=source, **texts))
        return folder

    return describe
