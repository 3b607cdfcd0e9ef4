"""A candidate's working copy: what may be written, what stays as it was, and what gives a meddler away."""

import os
import subprocess

import pytest

from bilevel.errors import HarnessError, InputError
from bilevel.execution.workspace import Refusal, Workspace, irregular, snapshot, tree_hash


@pytest.fixture
def task(tmp_path):
    """A start folder and a harness folder."""
    start, harness = tmp_path / "task" / "start", tmp_path / "task" / "harness"
    for folder, files in (
        (start, {"train.py": "LR = 1\n", "data/a.bin": "a", "prepare.py": "x\n", "__pycache__/train.pyc": "old"}),
        (harness, {"score.py": "print(1)\n", "labels/y.txt": "1\n"}),
    ):
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    (start / "out").mkdir()
    (start / "run.sh").write_text("#!/bin/sh\n")
    (start / "run.sh").chmod(0o755)
    return start, harness


def make(task, tmp_path, files=None, **options):
    start, harness = task
    return Workspace.create(start, tmp_path / "runs", files or {}, **{"harness": harness, **options})


def left(tmp_path):
    return list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []


def test_a_working_copy_holds_start_and_the_candidates_files(task, tmp_path):
    _, harness = task
    before = {folder: tree_hash(folder, ignore=()) for folder in task}
    with make(task, tmp_path, {"train.py": "LR = 2\n", "new/deep/ä.py": "é\r\n"}) as space:
        assert (space.work / "train.py").read_text() == "LR = 2\n"
        assert (space.work / "new/deep/ä.py").read_bytes() == "é\r\n".encode()
        assert (space.work / "data/a.bin").read_text() == "a"
        assert (space.work / "out").is_dir()
        assert os.access(space.work / "run.sh", os.X_OK)
        assert not (space.work / "__pycache__").exists()
        assert space.scratch.is_dir()
        assert not list(space.scratch.iterdir())
        assert snapshot(space.harness) == snapshot(harness)
        assert (space.harness / "score.py").stat().st_mode & 0o777 == 0o444
        assert not space.harness.is_relative_to(space.work)
        (space.work / "data/a.bin").write_text("the copy is the candidate's own")
        assert space.tampering() is None
    assert left(tmp_path) == []
    assert {folder: tree_hash(folder, ignore=()) for folder in task} == before


def test_two_working_copies_share_nothing(task, tmp_path):
    with make(task, tmp_path) as one, make(task, tmp_path) as other:
        (one.work / "train.py").write_text("x")
        assert (other.work / "train.py").read_text() == "LR = 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x.py",
        "../x.py",
        "a/../../x.py",
        "a/../x.py",
        "",
        ".",
        "./x.py",
        "a//b.py",
        "a/",
        "a\\b.py",
        "a\0b.py",
        "a\nb.py",
        "x\ud800.py",
        "e\u0301.py",
        "x" * 300 + ".py",
        "train.py/x.py",
        "data",
        "prepare.py",
        "PREPARE.py",
        "secret/a.py",
        "a.txt",
    ],
)
def test_a_file_that_may_not_be_written_is_refused_with_a_reason(task, tmp_path, path):
    options = {"editable": ("**/*.py", "data"), "protected": ("prepare.py", "secret/**")}
    refusal = make(task, tmp_path, {"train.py": "fine", path: "x"}, **options)
    assert isinstance(refusal, Refusal)
    assert refusal.path == path
    assert refusal.reason
    assert left(tmp_path) == []


def test_text_that_is_no_utf8_is_refused(task, tmp_path):
    assert isinstance(make(task, tmp_path, {"train.py": "\ud800"}), Refusal)


def test_a_file_and_a_folder_of_one_name_are_refused(task, tmp_path):
    assert isinstance(make(task, tmp_path, {"a": "x", "a/b": "x"}), Refusal)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda space, task: (space.harness / "score.py").write_text("print(0)"), "'score.py' was modified"),
        (lambda space, task: (space.harness / "labels/y.txt").unlink(), "'labels/y.txt' was removed"),
        (lambda space, task: (space.harness / "sitecustomize.py").write_text(""), "'sitecustomize.py' was added"),
        (lambda space, task: (space.harness / "score.pyc").touch(), "'score.pyc' was added"),
        (lambda space, task: (space.harness / "x.py").symlink_to("/etc/passwd"), "'x.py' was added"),
        (lambda space, task: (task[1] / "score.py").write_text("print(0)"), "harness folder"),
        (lambda space, task: (task[0] / "train.py").write_text("LR = 9\n"), "start folder"),
        (lambda space, task: (space.work / "prepare.py").write_text("y\n"), "'prepare.py' was modified"),
        (lambda space, task: (space.work / "lib.py").write_text("y\n"), "'lib.py' was added"),
    ],
)
def test_meddling_is_found(task, tmp_path, act, told):
    with make(task, tmp_path, {"train.py": "x"}, protected=("prepare.py", "lib.py")) as space:
        assert space.tampering() is None
        space.harness.chmod(0o755)
        for path in space.harness.rglob("*"):
            path.chmod(0o755)
        act(space, task)
        assert told in space.tampering()


def test_a_harness_replaced_by_a_link_is_found(task, tmp_path):
    with make(task, tmp_path) as space:
        space.harness.rename(space.folder / "elsewhere")
        space.harness.symlink_to(space.work)
        assert "harness copy" in space.tampering()


def test_a_run_without_a_harness(task, tmp_path):
    with make(task, tmp_path, harness=None) as space:
        assert space.harness is None
        assert space.tampering() is None


def test_links_and_special_files_in_a_task_are_the_users_fault(task, tmp_path):
    start, _ = task
    (start / "data" / "link").symlink_to("/etc")
    assert irregular(start) == {"data/link": "link to /etc"}
    assert "data/link" not in snapshot(start)
    with pytest.raises(InputError, match="data/link"):
        make(task, tmp_path)
    (start / "data" / "link").unlink()
    os.mkfifo(start / "pipe")
    with pytest.raises(InputError, match="pipe"):
        make(task, tmp_path)
    assert left(tmp_path) == []


def test_missing_folders_and_a_root_inside_the_task_are_the_users_fault(task, tmp_path):
    with pytest.raises(InputError, match="missing"):
        Workspace.create(tmp_path / "no", tmp_path / "runs", {})
    with pytest.raises(InputError, match="inside"):
        Workspace.create(task[0], task[0] / "runs", {})
    assert not (task[0] / "runs").exists()


def test_a_root_that_cannot_be_made_is_the_machines_fault(task, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(HarnessError):
        make(task, tmp_path)


@pytest.mark.slow
def test_whatever_a_run_leaves_is_deleted(task, tmp_path):
    space = make(task, tmp_path)
    (space.work / "link").symlink_to(task[0])
    os.mkfifo(space.work / "fifo")
    (space.work / "locked" / "in").mkdir(parents=True)
    (space.work / "locked").chmod(0)
    code = "import os\nfor _ in range(1500): os.mkdir('deeper'); os.chdir('deeper')"
    subprocess.run(["python3", "-c", code], cwd=space.work, check=True)
    space.close()
    space.close()
    assert left(tmp_path) == []
    assert (task[0] / "train.py").exists()


def test_the_hash_of_a_tree_follows_names_and_contents_only(task):
    start, _ = task
    first = tree_hash(start)
    (start / "__pycache__" / "more.pyc").touch()
    os.utime(start / "train.py", (1, 1))
    assert tree_hash(start) == first
    (start / "train.py").rename(start / "train2.py")
    renamed = tree_hash(start)
    (start / "train2.py").write_text("LR = 1 \n")
    assert len({first, renamed, tree_hash(start)}) == 3
    assert list(snapshot(start)) == ["data/a.bin", "prepare.py", "run.sh", "train2.py"]
