"""Runs with sandboxed mechanisms that are killed, gone on with, and replayed: always the run that would have been."""

import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bilevel.recipe import resolve
from bilevel.store.folder import RunFolder
from bilevel.store.records import dump_record

pytestmark = pytest.mark.slow

WRITTEN = Path(__file__).parents[1] / "behaviours" / "mechanisms"
COUNTED = """
import os
from dataclasses import dataclass
from bilevel.tasks.catalog import find
from bilevel.tasks.delegating import Delegating

@dataclass(frozen=True)
class Counted(Delegating):
    def run(self, candidate, bench):
        done = self.task.run(candidate, bench)
        with open(os.environ["COUNTED"], "a") as file:
            file.write(f"{candidate.id} {bench.rung} {bench.seed}\\n")
        return done

TASK = Counted(find("gpt-table"))
"""
CLIMBING = """
name = "climbing"
title = "a mechanism on trial, and one in force, neither of which comes with the package"
task = "python:counted:TASK"
workers = {workers}
[inner]
researcher = "coordinate"
mechanisms = ["./tabu_list.py"]
{middle}
[[outer]]
level = "mechanisms"
researcher = "library:only:./momentum_nudge.py"
trials = {trials}
cycles = {cycles}
start = "fork"
controls = ["restart", "placebo", "again"]
proof_share = 0.5
"""
MIDDLE = '[[outer]]\nlevel = "settings"\nresearcher = "settings_rules"\ntrials = 3\n'
SLOW = '''
from bilevel.mechanism import Mechanism


class Slow(Mechanism):
    """Counts trials and starts from the best after an even number; takes long in two of its calls."""

    def remember(self, memory, trial):
        if trial.number == 20:
            sum(i * i for i in range(6_000_000))
        return (memory or 0) + 1

    def select(self, view, parent):
        if view.number == 22:
            sum(i * i for i in range(6_000_000))
        best = view.trace.incumbent
        return best.candidate if best and (view.memory or 0) % 2 == 0 else parent
'''
IMPATIENT = """
name = "impatient"
title = "two calls of a mechanism take longer than they may"
task = "sphere"
[inner]
researcher = "random"
mechanisms = ["./slow.py"]
trials = 27
[sandbox]
call_seconds = 0.1
"""


class Home:
    """A folder with recipes and mechanisms, and the command in it."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("tabu_list", "momentum_nudge"):
            shutil.copy(WRITTEN / f"{name}.py", folder)
        (folder / "counted.py").write_text(COUNTED)
        (folder / "slow.py").write_text(SLOW)

    def popen(self, *args, **streams):
        env = {**os.environ, "COUNTED": str(self.folder / "counted.log")}
        command = [sys.executable, "-m", "bilevel", *map(str, args)]
        return subprocess.Popen(command, cwd=self.folder, text=True, env=env, **streams)

    def bilevel(self, *args):
        with self.popen(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return out

    def measured(self):
        log = self.folder / "counted.log"
        return log.read_text().splitlines() if log.exists() else []

    def records(self, run):
        """Each branch's trials as they are stored, without times and the name of the sandbox."""
        reader = RunFolder.read(self.folder / run)
        try:
            return {
                branch.id: [_timeless(trial) for trial in reader.store.trials(branch.id)]
                for branch in reader.store.branches()
            }
        finally:
            reader.close()


def _timeless(trial):
    climbs = tuple(replace(climb, seconds=0.0) for climb in trial.climbs)
    record = json.loads(dump_record(replace(trial, isolation="", climbs=climbs)))
    return _without(record, {"seconds", "cpu_seconds"})


def _without(data, names):
    if isinstance(data, dict):
        return {key: _without(value, names) for key, value in data.items() if key not in names}
    return [_without(item, names) for item in data] if isinstance(data, list) else data


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def descendants(pid):
    """A descriptor of each process below one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, front = set(), {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front}
        found |= front
    watched = []
    for child in found:
        try:
            watched.append(os.pidfd_open(child))
        except OSError:
            continue
    return watched


def end_within(descriptors, seconds):
    """Whether all those processes are over within some time."""
    left = set(descriptors)
    poll = select.poll()
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    while left and (over := poll.poll(seconds * 1000)):
        for descriptor, _ in over:
            poll.unregister(descriptor)
            left.discard(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)
    return not left


def killed_after(home, wait, *args):
    """Start the command and kill it after so many seconds; whether it was still going, and nothing of it is left."""
    process = home.popen(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(wait)
        return False
    except subprocess.TimeoutExpired:
        below = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert end_within(below, 20)
        return True


needs_linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches processes as Linux lets it")


@needs_linux
@pytest.mark.parametrize(
    ("shape", "workers", "cycles", "waits"),
    [
        ("d", 1, 2, (1.1, 1.4)),
        pytest.param("d", 1, 4, (0.9, 1.3, 1.1, 1.7), marks=pytest.mark.slow),
        pytest.param("d", 2, 4, (0.8, 0.9, 1.0, 1.1, 1.2, 1.4), marks=pytest.mark.slow),
        pytest.param("c", 1, 4, (1.0, 1.1, 1.2, 1.3, 1.4, 1.5), marks=pytest.mark.slow),
        pytest.param("c", 2, 4, (0.7, 1.1, 0.9, 1.3, 1.6, 1.2), marks=pytest.mark.slow),
    ],
)
def test_a_climb_that_is_killed_at_any_instant_becomes_the_run_that_would_have_been(
    home, shape, workers, cycles, waits
):
    nested = {"middle": MIDDLE if shape == "c" else "", "trials": 1 if shape == "c" else 3}
    (home.folder / "climbing.toml").write_text(CLIMBING.format(workers=workers, cycles=cycles, **nested))
    home.bilevel("run", "climbing.toml", "--folder", "whole", "--json")
    once = home.measured()
    assert len(once) == len(set(once))
    (home.folder / "counted.log").unlink()
    kills = 0
    for wait in waits:
        begun = (home.folder / "cut" / "run.json").exists()
        if not begun:
            shutil.rmtree(home.folder / "cut", ignore_errors=True)
        kills += killed_after(
            home, wait, *(("resume", "cut") if begun else ("run", "climbing.toml", "--folder", "cut"))
        )
    if not (home.folder / "cut" / "run.json").exists():
        home.bilevel("run", "climbing.toml", "--folder", "cut", "--json")
    home.bilevel("resume", "cut", "--json")
    assert kills
    assert home.records("cut") == home.records("whole")
    twice = len(home.measured()) - len(set(home.measured()))
    assert twice <= kills * workers and set(home.measured()) == set(once)  # what was under way when it was killed
    before = home.measured()
    for run in ("whole", "cut"):
        assert "byte for byte" in home.bilevel("replay", run)
    assert home.measured() == before


@needs_linux
def test_a_run_that_was_killed_in_the_middle_is_replayed_as_far_as_it_came(home):
    (home.folder / "climbing.toml").write_text(CLIMBING.format(workers=1, middle="", trials=3, cycles=4))
    wait = 1.5
    while True:
        shutil.rmtree(home.folder / "cut", ignore_errors=True)
        assert killed_after(home, wait, "run", "climbing.toml", "--folder", "cut")
        if (home.folder / "cut" / "run.json").exists() and (told := sum(map(len, home.records("cut").values()))):
            break
        wait *= 1.5
    assert json.loads(home.bilevel("replay", "cut", "--json"))["trials"] == told


# ---- faults that depend on the machine ----


def on_a_faster_machine(folder):
    """What a stored run would meet there: its mechanisms take no longer than they may."""
    stored = json.loads((folder / "run.json").read_text())
    stored["recipe"]["sandbox"]["call_seconds"] = 30.0
    store_config(folder, stored)


def store_config(folder, stored):
    with closing(sqlite3.connect(folder / "run.sqlite3")) as store, store:
        assert list(store.execute("UPDATE meta SET value = ? WHERE key = 'config' RETURNING 1", (json.dumps(stored),)))


def faults(records):
    return [(trial["number"], fault["hook"]) for trial in records["root"] for fault in _listed(trial["faults"])]


def _listed(data):
    return data["()"] if isinstance(data, dict) else data


@pytest.fixture
def impatient(home):
    (home.folder / "impatient.toml").write_text(IMPATIENT)
    home.bilevel("run", "impatient.toml", "--folder", "whole", "--json")
    assert faults(home.records("whole")) == [(21, "remember"), (22, "select")]
    return home


def test_a_fault_of_the_machine_is_replayed_from_the_record_and_the_replay_says_so(impatient):
    assert "2 faults of mechanisms are taken from the record" in impatient.bilevel("replay", "whole")
    on_a_faster_machine(impatient.folder / "whole")
    assert json.loads(impatient.bilevel("replay", "whole", "--json"))["mishaps"] == 2


def test_a_fault_of_the_machine_stays_one_when_the_run_goes_on_where_there_is_time(impatient):
    home = impatient
    shutil.copytree(home.folder / "whole", home.folder / "cut")
    with closing(sqlite3.connect(home.folder / "cut" / "run.sqlite3")) as store, store:
        store.execute("DELETE FROM trials WHERE number > 22")
    on_a_faster_machine(home.folder / "cut")
    home.bilevel("resume", "cut", "--json")
    assert home.records("cut") == home.records("whole")


# ---- runs of a version that knew no ladder ----


def test_a_run_from_before_the_ladder_goes_on_without_it_and_is_not_replayed(home):
    home.bilevel("run", "d", "--task", "sphere", "--folder", "old", "--json")
    stored = json.loads((home.folder / "old" / "run.json").read_text())
    for level in stored["recipe"]["outer"]:
        for key in ("ladder", "controls", "proof_share"):
            del level[key]
    del stored["recipe"]["sandbox"], stored["format"]
    store_config(home.folder / "old", stored)
    with closing(sqlite3.connect(home.folder / "old" / "run.sqlite3")) as store, store:
        store.execute("DELETE FROM trials WHERE branch = 'root' AND number > 0")
    home.bilevel("resume", "old", "--json")
    for trial in home.records("old")["root"][1:]:
        before = [(climb["rung"], climb["outcome"]) for climb in _listed(trial["climbs"])][:2]
        assert before == [("door", "passed"), ("replay", "off")]
    for command in (("status", "old"), ("show", "old"), ("export", "old", "--tsv", "old.tsv")):
        assert home.bilevel(*command)
    with home.popen("replay", "old", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said = process.communicate(timeout=100)[1]
    assert process.returncode == 1 and "made by an older version" in said


def test_the_stored_recipe_of_an_older_version_has_no_probation_and_no_further_controls():
    outer = {"level": "mechanisms", "researcher": "library", "trials": 5, "cycles": 3, "start": "fork"}
    (level,) = resolve({"name": "d", "title": "as it was", "outer": [outer]}).outer
    assert (level.ladder, level.controls, level.proof_share) == (("door",), (), 0.0)
