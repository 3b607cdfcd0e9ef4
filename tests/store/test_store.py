"""The run folder: durable, exclusive to one writer, readable beside it, and honest about what it cannot do."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from bilevel.budget import Cost
from bilevel.errors import DiskFull, Diverged, InputError, StoreError
from bilevel.lab import Branch, MemoryStore, RunKey
from bilevel.space import Candidate, Change
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.store.sqlite import SqliteStore
from bilevel.testing import check_store
from bilevel.trial import Count, Decision, Fault, Pending, Proposal, Run, Status, Step, Trial, TurnedBack

START = Candidate({"batch": 2**19, "betas": (0.8, 0.95), "window": "SSSL", "on": True}, {"train.py": "x = 1\n" * 1000})


def trial(number, keep=True):
    candidate = START.with_params(batch=2**19 + number, window=f"näive {number}")
    run = Run("full", 0, Status.OK, {"loss": 1.5 / (number + 1)}, Cost(1, 0.1), data={"arms": {"a": (1, 2.5)}})
    return Trial(
        number,
        START,
        Proposal(candidate, "why", "me", {"tuple": (1, "a"), "none": None}),
        (run,),
        Status.OK,
        1.5 / (number + 1),
        Decision(keep, "because"),
        {"batch": Change(2**19, 2**19 + number)},
        turned_back=(TurnedBack("abc", "reason", "me"),),
        ledger={"tabu": {"propose": Count(1, 1, 0, 0)}},
        faults=(Fault("tabu", "propose", "broke"),),
    )


def pending(number):
    made = trial(number)
    return Pending(number, number, START, made.proposal, (Step("full", 0),), made.changes)


@pytest.fixture
def folder(tmp_path):
    opened = RunFolder.create(tmp_path / "run", {"recipe": "a"})
    opened.store.open_branch(Branch("root", "inner"))
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_stores_keep_the_contract(tmp_path, kind):
    count = iter(range(1000))

    def make():
        if kind == "memory":
            return MemoryStore()
        path = tmp_path / str(next(count))
        path.mkdir()
        return SqliteStore(path)

    assert check_store(make) == []


def test_what_was_stored_comes_back_equal(folder):
    for number in range(3):
        folder.store.add_pending("root", pending(number))
        folder.store.add_trial("root", trial(number))
    folder.store.add_pending("root", pending(3))
    folder.close()
    again = RunFolder.open(folder.path)
    assert list(again.store.trials("root")) == [trial(number) for number in range(3)]
    assert list(again.store.pendings("root")) == [pending(3)]
    assert list(again.store.trials("root", after=1)) == [trial(2)]
    assert again.config == {"recipe": "a"}
    again.close()


def test_one_candidate_is_one_object_however_often_it_is_read(folder):
    for number in range(3):
        folder.store.add_trial("root", trial(number))
    first, *others = Reader(folder.path).trials("root")
    assert all(other.parent is first.parent for other in others)


def test_a_measurement_is_found_by_its_key_and_by_no_other(folder):
    key = RunKey("harness", START.id, "full", 7)
    run = Run("full", 0, Status.EXIT, log="boom")
    folder.store.add_run(key, run)
    assert folder.store.find_run(key) == run
    for other in (RunKey("other", START.id, "full", 7), RunKey("harness", START.id, "full", 8)):
        assert folder.store.find_run(other) is None


def test_storing_a_trial_twice_changes_nothing_and_another_one_is_refused(folder):
    folder.store.add_trial("root", trial(0))
    folder.store.add_trial("root", trial(0))
    with pytest.raises(Diverged, match="trial 0"):
        folder.store.add_trial("root", trial(0, keep=False))
    assert list(folder.store.trials("root")) == [trial(0)]


def test_a_second_writer_is_refused_and_a_reader_is_not(folder):
    code = f"import pathlib, bilevel.store.folder as f; f.RunFolder.open(pathlib.Path({str(folder.path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"process {os.getpid()}" in done.stderr and "--folder" in done.stderr
    reader = RunFolder.read(folder.path)
    folder.store.add_trial("root", trial(0))
    assert list(reader.store.trials("root")) == [trial(0)]
    with pytest.raises(StoreError, match="for reading"):
        reader.set_meta("state", "x")


def test_a_full_disk_is_said_and_nothing_stored_is_lost(folder):
    folder.store.limit_pages(60)
    stored = 0
    with pytest.raises(DiskFull, match="bilevel resume"):
        for stored in range(10_000):
            folder.store.add_trial("root", trial(stored))
    assert len(folder.store.trials("root")) == stored > 0
    folder.store.limit_pages(1_000_000)
    folder.store.add_trial("root", trial(stored))
    assert list(folder.store.trials("root")) == [trial(number) for number in range(stored + 1)]


def test_a_folder_with_other_things_and_a_file_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("important")
    (tmp_path / "file").write_text("")
    for name in ("mine", "file"):
        with pytest.raises(InputError, match=name):
            RunFolder.create(tmp_path / name, {})
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "important"


def test_a_damaged_file_is_said_so(folder):
    folder.close()
    for extra in folder.path.glob("run.sqlite3-*"):
        extra.unlink()
    (folder.path / "run.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="run"):
        RunFolder.open(folder.path)


WRITER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_store import pending, trial
    from bilevel.store.folder import RunFolder
    store = RunFolder.open(Path({folder!r})).store
    number = len(store.trials("root"))
    while True:
        store.add_pending("root", pending(number))
        store.add_trial("root", trial(number))
        print(number, flush=True)
        number += 1
"""


DURABLE = """
import sys
from pathlib import Path
from bilevel.store.folder import RunFolder

folder = RunFolder.create(Path(sys.argv[1]), {"recipe": "a"})
waits = lambda: folder.store._connection.execute("PRAGMA synchronous").fetchone()[0]
before = waits()
folder.store.put_meta_soon("state", "running")
print(before, waits())
"""


def test_a_transaction_that_has_returned_outlives_a_power_cut(tmp_path):
    # in a process of its own: those of the suite do not wait for the disk (`fixtures/lean.py`)
    done = subprocess.run([sys.executable, "-c", DURABLE, str(tmp_path / "run")], capture_output=True, text=True)
    full = "2"
    assert (done.stdout.split(), done.stderr) == ([full, full], "")


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(folder):
    folder.close()
    code = textwrap.dedent(WRITER.format(tests=os.path.dirname(__file__), folder=str(folder.path)))
    for kill_after in (1, 17, 60):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(kill_after):
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = [line, *writer.communicate()[0].splitlines()][-1]
        stored = list(Reader(folder.path).trials("root"))
        assert len(stored) >= int(acknowledged) + 1
        assert stored == [trial(number) for number in range(len(stored))]
