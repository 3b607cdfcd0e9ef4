"""Run folders: made once, written by one process, watched by any, and clear about what is wrong with them."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import store_examples
from store_examples import pending, trial

from bilevel.errors import BilevelError, DiskFull, InputError, StoreError
from bilevel.store.folder import RunFolder
from bilevel.store.migrations import MIGRATIONS


def writer(path: Path, *options: str) -> subprocess.Popen[str]:
    """Another process that writes example trials."""
    command = [sys.executable, store_examples.__file__, str(path), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_folder_keeps_its_configuration_for_the_program_and_for_people(path):
    config = {"recipe": {"name": "c", "limits": [1, 2.5, None]}, "seed": 3}
    RunFolder.create(path, config).close()
    watcher = RunFolder.read(path)
    assert watcher.config == config
    assert json.loads((path / "run.json").read_text("utf-8")) == config
    watcher.close()


def test_facts_about_the_run_can_be_stored_and_replaced_but_not_by_a_watcher(folder, path):
    assert folder.meta("ended") is None
    for value in ("no", {"why": "budget"}):
        folder.set_meta("ended", value)
    watcher = RunFolder.read(path)
    assert watcher.meta("ended") == {"why": "budget"}
    with pytest.raises(StoreError, match="opened for reading"):
        watcher.set_meta("ended", "now")
    watcher.close()


def test_a_second_run_and_a_folder_with_other_things_are_refused(folder, path, tmp_path):
    with pytest.raises(StoreError, match="holds a run already"):
        RunFolder.create(path, {})
    with pytest.raises(InputError, match="not an empty folder"):
        RunFolder.create(tmp_path, {})


@pytest.mark.parametrize("enter", [RunFolder.open, RunFolder.read])
def test_a_folder_without_a_run_is_refused(tmp_path, enter):
    with pytest.raises(InputError, match="no folder"):
        enter(tmp_path / "gone")
    with pytest.raises(InputError, match="no run in folder"):
        enter(tmp_path)


def test_a_second_writing_process_is_refused_and_told_who_writes(folder, path):
    second = writer(path)
    _, message = second.communicate(timeout=60)
    assert second.returncode != 0
    assert "StoreError" in message and f"process {os.getpid()}" in message and "--folder" in message


def test_the_lock_ends_with_the_process_that_held_it(folder, path):
    folder.close()
    first = writer(path)
    assert first.stdout is not None and first.stdout.readline() == "0\n"
    with pytest.raises(StoreError, match=f"process {first.pid}"):
        RunFolder.open(path)
    first.kill()
    first.communicate(timeout=60)
    RunFolder.open(path).close()


def test_a_watcher_sees_each_trial_while_another_process_writes(folder, path):
    folder.close()
    watcher, process = RunFolder.read(path), writer(path, "60")
    assert process.stdout is not None
    seen: list[int] = []
    for line in process.stdout:
        new = watcher.store.trials("root", after=seen[-1] if seen else -1)
        assert new == [trial(found.number) for found in new]
        seen += [found.number for found in new]
        assert seen == list(range(len(seen))) and seen[-1] >= int(line)
        assert len(watcher.store.pendings("root")) <= 1
    assert process.wait(timeout=60) == 0 and seen == list(range(60))
    watcher.close()


@pytest.mark.parametrize("enter", [RunFolder.open, RunFolder.read])
def test_a_folder_from_a_newer_version_is_refused(folder, path, enter):
    folder.close()
    database = sqlite3.connect(path / "run.sqlite3")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(StoreError, match=r"newer version of bilevel.*upgrade bilevel, or use another --folder"):
        enter(path)


@pytest.mark.parametrize("enter", [RunFolder.open, RunFolder.read])
def test_a_damaged_file_is_refused(folder, path, enter):
    folder.close()
    (path / "run.sqlite3").write_bytes(b"not a database " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        enter(path)


def fill(folder) -> int:
    """Write until the disk is full; returns the number of the trial that did not fit."""
    for number in range(10_000):
        try:
            folder.store.add_pending("root", pending(number))
            folder.store.add_trial("root", trial(number))
        except DiskFull as error:
            assert repr(str(folder.path)) in str(error) and "resume" in str(error)
            return number
    raise AssertionError("the disk never became full")


def test_a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space(folder, path):
    folder.store.limit_pages(24)
    stuck = fill(folder)
    assert stuck > 1 and folder.store.trials("root") == [trial(number) for number in range(stuck)]
    folder.store.limit_pages(1_000_000)
    folder.store.add_pending("root", pending(stuck))
    folder.store.add_trial("root", trial(stuck))
    folder.close()
    watcher = RunFolder.read(path)
    assert watcher.store.trials("root") == [trial(number) for number in range(stuck + 1)]
    assert watcher.store.pendings("root") == []
    watcher.close()


def test_every_error_of_a_folder_is_one_of_ours(tmp_path):
    (tmp_path / "file").write_text("text")
    for enter in (RunFolder.open, RunFolder.read, lambda path: RunFolder.create(path, {})):
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(BilevelError):
                enter(path)


def refuse(path: Path, what: str) -> sqlite3.Connection:
    """Let the database itself refuse one kind of statement, in the middle of a transaction of the store."""
    database = sqlite3.connect(path / "run.sqlite3", isolation_level=None)
    database.execute(f"CREATE TRIGGER refused BEFORE {what} ON pendings BEGIN SELECT RAISE(ABORT, 'refused'); END")
    return database


def test_a_trial_that_fails_half_way_leaves_nothing(folder, path):
    folder.store.add_pending("root", pending(0))
    database = refuse(path, "DELETE")
    with pytest.raises(StoreError, match="refused"):
        folder.store.add_trial("root", trial(0))
    assert folder.store.trials("root") == [] and folder.store.pendings("root") == [pending(0)]
    database.execute("DROP TRIGGER refused")
    folder.store.add_trial("root", trial(0))
    assert folder.store.trials("root") == [trial(0)] and folder.store.pendings("root") == []
    database.close()


def test_a_candidate_of_a_write_that_failed_is_written_with_the_next(folder, path):
    database = refuse(path, "INSERT")
    with pytest.raises(StoreError, match="refused"):
        folder.store.add_pending("root", pending(0))
    database.execute("DROP TRIGGER refused")
    folder.store.add_pending("root", pending(0))
    watcher = RunFolder.read(path)
    assert watcher.store.pendings("root") == [pending(0)]
    watcher.close()
    database.close()
