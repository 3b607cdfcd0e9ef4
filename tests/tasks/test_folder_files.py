"""Candidates as files: patches, written-out folders, and back."""

import subprocess

import pytest

from bilevel.errors import HarnessError, InputError
from bilevel.execution.workspace import snapshot
from bilevel.space import Candidate


def changed(task) -> Candidate:
    """A candidate with a parameter and code changed, and a new file."""
    text = (task.folder / "start/train.py").read_text().replace('print("loss: 99")\n', "import parts.more\n")
    files = {"train.py": text, "parts/more.py": "MORE = 1"}
    return Candidate(task.baseline().with_params(LAYERS=2).params, files)


def test_the_baseline_has_no_patch(opened):
    task = opened("tiny")
    assert task.patch(task.baseline()) == ""


def test_a_patch_leads_from_the_start_to_what_is_written_out(opened, tmp_path):
    task = opened("tiny")
    patch = task.patch(changed(task))
    assert "-LAYERS = 2**2\n+LAYERS = 2\n" in patch and "--- /dev/null\n+++ b/parts/more.py" in patch
    task.write_out(task.baseline(), tmp_path / "patched")
    task.write_out(changed(task), tmp_path / "written")
    (tmp_path / "the.patch").write_text(patch)
    subprocess.run(["git", "apply", "../the.patch"], cwd=tmp_path / "patched", check=True)
    assert snapshot(tmp_path / "patched") == snapshot(tmp_path / "written")


def test_an_untouched_constant_keeps_its_text_and_comment(opened, tmp_path):
    task = opened("tiny")
    task.write_out(task.baseline().with_params(LAYERS=2), tmp_path / "out")
    text = (tmp_path / "out/train.py").read_text()
    assert "RATE = 1e-1  # the best is 0.01\n" in text and "LAYERS = 2\n" in text


def test_writing_out_goes_over_the_start_and_leaves_other_files_alone(opened):
    task = opened("tiny")
    start = task.folder / "start"
    task.write_out(task.baseline().with_params(LAYERS=2), start)
    assert "LAYERS = 2\n" in (start / "train.py").read_text()
    with pytest.raises(HarnessError, match="changed since"):
        task.write_out(task.baseline(), start)


def test_writing_out_never_goes_over_other_changes(opened, tmp_path):
    task = opened("tiny")
    folder = tmp_path / "out"
    task.write_out(task.baseline(), folder)
    (folder / "notes.txt").write_text("mine")
    task.write_out(task.baseline().with_params(LAYERS=2), folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "train.py").write_text("# my own work\n")
    with pytest.raises(InputError, match=r"train\.py"):
        task.write_out(task.baseline().with_params(LAYERS=3), folder)
    assert (folder / "train.py").read_text() == "# my own work\n"


def test_a_written_candidate_reads_back(opened, tmp_path):
    task = opened("tiny")
    for number, candidate in enumerate((task.baseline(), task.baseline().with_params(RATE=0.5), changed(task))):
        task.write_out(candidate, tmp_path / f"{number}")
        found = task.candidate(tmp_path / f"{number}")
        assert found.params == candidate.params and set(found.files) == set(candidate.files)
        task.write_out(found, tmp_path / f"{number} again")
        assert snapshot(tmp_path / f"{number}") == snapshot(tmp_path / f"{number} again")
        assert task.candidate(tmp_path / f"{number} again") == found


def test_a_constant_edited_in_a_working_copy_is_a_parameter_not_a_file(opened, tmp_path):
    task = opened("tiny")
    task.write_out(task.baseline(), tmp_path / "out")
    script = tmp_path / "out/train.py"
    script.write_text(script.read_text().replace("RATE = 1e-1", "RATE = 0.02"))
    (tmp_path / "out/data.py").write_text("TARGET = 0.02  # protected, so left out\n")
    assert task.candidate(tmp_path / "out") == task.baseline().with_params(RATE=0.02)
