"""The same recipe gives the same run: in the sandbox or beside it, at each level, whatever the host's hash seed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bilevel.sandbox.levels import available
from bilevel.store.folder import RunFolder
from bilevel.store.records import dump_record

pytestmark = pytest.mark.slow

WRITTEN = Path(__file__).parents[1] / "behaviours" / "mechanisms"
RECIPE = """
name = "climbing"
title = "a mechanism on trial, and one in force, neither of which comes with the package"
task = "gpt-table"
workers = {workers}
[inner]
researcher = "coordinate"
mechanisms = ["./tabu_list.py"]
{middle}
[[outer]]
level = "mechanisms"
researcher = "{researcher}"
trials = {trials}
cycles = {cycles}
start = "fork"
controls = ["restart", "placebo", "again"]
proof_share = 0.5
[sandbox]
shipped = {shipped}
isolation = "{isolation}"
"""
MIDDLE = '[[outer]]\nlevel = "settings"\nresearcher = "settings_rules"\ntrials = 3\n'
ONE = "library:only:./momentum_nudge.py"
TIMES = {"seconds", "cpu_seconds"}


def run(folder, name, *, shape="d", cycles=2, hash_seed="0", isolation="auto", shipped=False, workers=1, **recipe):
    """The records of a run of the command, by branch, without times and the name of the sandbox."""
    for mechanism in ("tabu_list", "momentum_nudge"):
        shutil.copy(WRITTEN / f"{mechanism}.py", folder)
    given = {"researcher": ONE, "middle": MIDDLE if shape == "c" else "", "trials": 1 if shape == "c" else 3, **recipe}
    values = {"cycles": cycles, "isolation": isolation, "shipped": str(shipped).lower(), "workers": workers, **given}
    (folder / f"{name}.toml").write_text(RECIPE.format(**values))
    done = subprocess.run(
        [sys.executable, "-m", "bilevel", "run", f"{name}.toml", "--folder", name, "--json"],
        cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reader = RunFolder.read(folder / name)
    try:
        return {branch.id: list(map(_timeless, reader.store.trials(branch.id))) for branch in reader.store.branches()}
    finally:
        reader.close()


def _timeless(trial):
    climbs = tuple(replace(climb, seconds=0.0) for climb in trial.climbs)
    return _without_times(json.loads(dump_record(replace(trial, isolation="", climbs=climbs))))


def _without_times(data):
    if isinstance(data, dict):
        return {key: _without_times(value) for key, value in data.items() if key not in TIMES}
    return [_without_times(item) for item in data] if isinstance(data, list) else data


def climbed(records):
    return [climb["rung"] for trial in records["root"] for climb in _listed(trial["climbs"])]


def _listed(data):
    return data["()"] if isinstance(data, dict) else data


def test_the_record_is_the_same_in_the_weakest_sandbox_and_with_shipped_mechanisms_in_it_too(tmp_path):
    usual = run(tmp_path, "usual")
    assert {"door", "replay", "trial"} <= set(climbed(usual))
    assert run(tmp_path, "walled", isolation="limits", shipped=True, hash_seed="7") == usual


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["c", "d"])
@pytest.mark.parametrize("researcher", [ONE, "library"])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_record_is_the_same_at_every_level_of_the_sandbox(tmp_path, shape, researcher, workers):
    given = {"shape": shape, "researcher": researcher, "workers": workers, "cycles": 8}
    usual = run(tmp_path, "usual", **given)
    assert run(tmp_path, "shipped", shipped=True, hash_seed="99", **given) == usual
    for level in available():
        assert run(tmp_path, level, isolation=level, hash_seed="7", **given) == usual


@pytest.mark.slow
def test_the_record_is_the_same_on_a_machine_that_is_busy_with_other_things(tmp_path):
    idle = run(tmp_path, "idle", cycles=8)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert run(tmp_path, "busy", cycles=8) == idle
    finally:
        for process in busy:
            process.kill()
            process.wait()
