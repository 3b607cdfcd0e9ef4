"""When trials were measured and by whom: taken down by a live run, and read by nothing that decides."""

import contextlib
import itertools
import json
import sqlite3
import threading
import time

import in_process
import pytest
from store_examples import trial

from bilevel.lab import Branch
from bilevel.stints import Stint
from bilevel.store import sqlite
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Run


def beside_another(run):
    """Measurements that wait a moment for company until two have met: else one worker may be done with all."""
    inside, met = threading.Semaphore(1), threading.Event()

    def measured(*args):
        alone = inside.acquire(blocking=False)
        if not alone:
            met.set()
        met.wait(timeout=0.3)
        try:
            return run(*args)
        finally:
            if alone:
                inside.release()

    return measured


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder with a run on three workers, with level 2; and the times around it."""
    folder = tmp_path_factory.mktemp("timed")
    before = time.time()
    args = ("run", "d", "--task", "sphere", "--researcher", "stuck", "--trials", 16, "--workers", 3, "--folder", "r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SYNCHRONOUS", "FULL")  # workers take turns while one waits for the disk
        patch.setattr(FunctionTask, "run", beside_another(FunctionTask.run))
        assert in_process.run(*args, cwd=folder).returncode == 0
    return folder, before, time.time()


def test_each_trial_that_was_measured_has_a_worker_and_a_time_of_its_own(ran):
    folder, before, after = ran
    with contextlib.closing(Reader(folder / "r")) as store:
        stints = {(one.branch, one.number): one for one in store.stints()}
        branches = store.branches()
        trials = {(b.id, t.number): t for b in branches for t in store.trials(b.id)}
        level = {branch.id: branch.level for branch in branches}
    assert {place for place, found in trials.items() if found.runs} <= stints.keys() <= trials.keys()
    assert all(before - 1 <= one.began <= one.ended <= after + 1 and one.session == 1 for one in stints.values())
    inner = [one for one in stints.values() if level[one.branch] == "inner"]
    assert {one.worker for one in inner} > {0} and max(one.worker for one in inner) < 3
    for worker in range(3):
        own = sorted((one.began, one.ended) for one in inner if one.worker == worker)
        assert all(end <= begin + 0.01 for (_, end), (begin, _) in itertools.pairwise(own))
    for (branch, number), outer in stints.items():  # an outer trial lasts as long as its arms
        arms = [one for one in inner if one.branch.startswith(f"{branch}/{number}.")]
        assert all(outer.began <= one.began and one.ended <= outer.ended + 0.01 for one in arms)


def test_nothing_that_decides_or_verifies_reads_them(ran):
    folder, _, _ = ran
    with contextlib.closing(sqlite3.connect(folder / "r" / "run.sqlite3")) as other, other:
        other.execute("UPDATE stints SET began = 1, ended = 0, worker = 99, session = 7")
        other.execute("DELETE FROM stints WHERE number % 2 = 1")
    for command in ("verify", "replay"):
        done = in_process.run(command, "r", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_stint_is_written_with_its_trial_or_not_at_all(tmp_path):
    path = tmp_path / "run"
    for session in (1, 2):
        folder = RunFolder.create(path, {}) if session == 1 else RunFolder.open(path)
        folder.store.open_branch(Branch("root", "inner"))
        for number in (2 * session, 2 * session + 1):
            folder.store.worked(Stint("root", number, 1, 10.0 * number, 10.0 * number + 1))
        folder.store.add_trial("root", trial(2 * session))
        folder.close()  # the other one was measured and is not told: a kill
    with contextlib.closing(Reader(path)) as store:
        assert store.stints() == [Stint("root", 2, 1, 20.0, 21.0, 1), Stint("root", 4, 1, 40.0, 41.0, 2)]


def test_an_older_folder_has_none_is_read_and_gets_them_when_it_goes_on(tmp_path, ran):
    done = in_process.run("run", "a", "--task", "sphere", "--researcher", "random", "--trials", 3, "--folder", "old",
                          cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0
    file = tmp_path / "old" / "run.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as older:
        older.executescript("DROP TABLE stints; PRAGMA user_version = 3")
    with contextlib.closing(Reader(tmp_path / "old")) as watcher:
        assert watcher.stints() == []
        done = in_process.run("steer", "budget", "old", "--trials", 5, cwd=tmp_path)
        assert done.returncode == 0, done.stderr  # it knows acts
        assert in_process.run("resume", "old", cwd=tmp_path).returncode == 0
        assert [one.number for one in watcher.stints()] == [4, 5]
    assert in_process.run("verify", "old", cwd=tmp_path).returncode == 0


def test_a_driven_run_has_none_since_others_measure(tmp_path):
    begun = in_process.run("suggest", "--task", "sphere", "--folder", "led", "--json", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    question = json.loads(begun.stdout)
    told = in_process.run("record", "led", "--trial", question["id"], "--metric", "loss=1.5", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    with contextlib.closing(Reader(tmp_path / "led")) as store:
        assert store.stints() == []


def test_records_are_the_same_whoever_was_faster(tmp_path):
    records = []
    for name in ("one", "two"):
        args = ("run", "a", "--task", "sphere", "--researcher", "random", "--trials", 6, "--workers", 2)
        assert in_process.run(*args, "--folder", name, cwd=tmp_path).returncode == 0
        with contextlib.closing(sqlite3.connect(tmp_path / name / "run.sqlite3")) as file:
            rows = file.execute("SELECT branch, number, record FROM trials ORDER BY branch, number").fetchall()
        records.append([(branch, number, _without_cost(json.loads(record))) for branch, number, record in rows])
    assert records[0] == records[1]


def _without_cost(record):
    assert not {"began", "ended", "worker", "session"} & (record.keys() | set(Run.__dataclass_fields__))
    for run in record["runs"]:
        run.pop("cost")
    return record
