"""A driven run: commands in this process, where nothing else is under test, and a caller who measures the sphere."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from bilevel.tasks.sphere import sphere

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tasks"


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run `bilevel ARGS` in a scratch folder; gives what it said."""
    from bilevel import cli

    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def told(said):
    """The same with --json; the command must succeed."""

    def run(*args):
        done = said(*args, "--json")
        assert done.code == 0, done.err
        return done.data

    return run


@pytest.fixture
def caller(told):
    """Measure whatever a run asks for, on the sphere, until it asks no more; gives how many measurements that took."""
    task = sphere()

    def measure(run, most=1000):
        asked, count = told("suggest", run), 0
        while asked["state"] == "measure" and count < most:
            asked, count = told(*answer(run, asked))["next"], count + 1
        return count

    def answer(run, asked):
        try:
            value = task.function(asked["params"], asked["seed"])
        except (ValueError, MemoryError) as error:
            return "record", run, "--trial", asked["id"], "--failed", str(error)
        return "record", run, "--trial", asked["id"], "--metric", f"loss={value!r}"

    return measure


@pytest.fixture
def tiny(tmp_path):
    """A copy of the smallest folder task."""
    shutil.copytree(FIXTURES / "tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def trials():
    """The trials of a run's innermost loop, branch by branch."""
    from bilevel.levels import leaf
    from bilevel.report import own_trials
    from bilevel.run import recorded
    from bilevel.store.folder import RunFolder

    def read(run):
        folder = RunFolder.read(Path(run))
        try:
            _, spec = recorded(folder.config)
            return own_trials(folder.store, leaf(spec).name)
        finally:
            folder.close()

    return read
