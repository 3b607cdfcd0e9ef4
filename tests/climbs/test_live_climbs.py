"""Whole climbs through the command: mechanisms in the usual stateful style, and what becomes of broken ones."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

from bilevel.store.folder import RunFolder
from bilevel.trial import Status

WRITTEN = Path(__file__).parents[1] / "behaviours" / "mechanisms"
RECIPE = """
name = "one"
title = "one mechanism, proposed once"
task = "gpt-table"
[inner]
researcher = "stuck"
[[outer]]
level = "mechanisms"
researcher = "library:only:./{file}"
trials = {trials}
cycles = {cycles}
start = "fork"
"""


def climbs(tmp_path, source, *, cycles=2, trials=8, name="guest"):
    """The climbs of a mechanism that level 2 proposes, from the store of a run of the command."""
    (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "one.toml").write_text(RECIPE.format(file=f"{name}.py", cycles=cycles, trials=trials))
    done = in_process.run("run", "one.toml", "--folder", "run", "--json", cwd=tmp_path)
    return done, tmp_path / "run"


def outer_trials(folder):
    reader = RunFolder.read(folder)
    try:
        return reader.store.trials("root")
    finally:
        reader.close()


@pytest.mark.parametrize(
    "name",
    [
        "tabu_list",
        pytest.param("gaussian_process_regressor_numpy", marks=pytest.mark.slow),
        pytest.param(
            "gaussian_process_regressor_sklearn",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"),
            ],
        ),
    ],
)
def test_a_stateful_mechanism_climbs_to_its_live_trial_from_within_the_sandbox(tmp_path, name):
    done, folder = climbs(tmp_path, (WRITTEN / f"{name}.py").read_text(), name=name)
    assert done.returncode == 0, done.stderr
    trial = outer_trials(folder)[1]
    assert [(climb.rung, climb.outcome) for climb in trial.climbs[:3]] == [
        ("door", "passed"), ("replay", "passed"), ("rehearsal", "off")
    ]  # fmt: skip
    assert trial.climbs[3].rung == "trial" and trial.climbs[3].outcome in ("helped", "hurt", "undecided")
    assert trial.runs[-1].data["arms"]["control"]["evaluations"] > 0
    ledger = trial.runs[-1].data["ledger"][name]
    assert sum(counts[2] for counts in ledger.values()) > 0  # decisive, live
    assert "mechanisms: " in trial.isolation and "shipped" not in trial.isolation
    again = in_process.run("replay", "run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


DIES = '''
from bilevel.mechanism import Mechanism


class Dies(Mechanism):
    """Sound for a while; then it never comes back."""

    domain = "sabotage"

    def propose(self, view, parent, proposals):
        if view.number > 17 and view.brief != "a synthetic task":
            while True:
                pass
        return tuple(p.drop("every third is left out") if view.number % 3 == 0 else p for p in proposals)
'''


@pytest.mark.slow
def test_a_mechanism_that_hangs_in_mid_run_is_a_fault_and_the_run_goes_on(tmp_path):
    (tmp_path / "dies.py").write_text(DIES)
    (tmp_path / "slow.toml").write_text(
        'name = "slow"\ntitle = "t"\ntask = "gpt-table"\n[inner]\ntrials = 24\nresearcher = "coordinate"\n'
        'mechanisms = ["./dies.py"]\n[sandbox]\ncall_seconds = 0.3\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "bilevel", "run", "slow.toml", "--folder", "run", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["state"] == "finished"
    trials = outer_trials(tmp_path / "run")
    assert len(trials) == 25 and all(trial.status is not Status.INFRASTRUCTURE for trial in trials)
    faults = [fault for trial in trials for fault in trial.faults]
    assert len(faults) == 3 and all("CPU" in fault.message for fault in faults)  # then it is retired
