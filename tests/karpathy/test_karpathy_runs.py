"""Whole runs over a checkout: searched, killed, resumed, applied, exported; the checkout is only read."""

import csv
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from autoresearch_stub import TRAIN, fingerprint, git

from bilevel.lab import Traces
from bilevel.levels import leaf, leaf_branch
from bilevel.run import recorded
from bilevel.store.folder import RunFolder


def opened(folder):
    """The trace on which a run's innermost loop ended."""
    run = RunFolder.read(Path(folder))
    try:
        _, spec = recorded(run.config)
        traces = Traces(run.store)
        return traces.trace(leaf_branch(traces, spec, "root"), leaf(spec).task.objective)
    finally:
        run.close()


def ref(number, branch="root"):
    """The git ref of a try."""
    return f"refs/trials/{branch}/{number:04d}"


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def test_a_search_by_coordinates_leaves_the_checkout_as_it_was(night, bilevel):
    trace = opened(night.folder)
    assert len(trace) == 15 and trace.incumbent.score < trace.baseline.score
    assert {"ok", "exit"} <= {trial.status.value for trial in trace}
    assert fingerprint(night.checkout) == night.before
    assert "trials" in bilevel("replay", night.folder) and fingerprint(night.checkout) == night.before


@pytest.mark.slow
def test_recipe_c_searches_it_with_three_levels(bilevel, checkout):
    before = fingerprint(checkout)
    args = ["--inner-budget", "2", "--outer-cycles", "2", "--time-budget", "7", "--folder", "run"]
    bilevel("run", "c", "--task", f"karpathy:{checkout}", *args)
    assert {run.metrics["training_seconds"] for trial in opened("run") for run in trial.runs if run.metrics} == {7.0}
    done = bilevel("export", "run")
    refs = git(Path("run/git"), "for-each-ref", "--format=%(refname)", "refs/trials").split()
    assert len({ref.split("/")[2] for ref in refs}) > 1  # the tries of the control are there too
    assert f"{len(refs)} tries under refs/trials" in done
    assert fingerprint(checkout) == before


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_the_unbroken_run(night, bilevel, home):
    command = [sys.executable, "-m", "bilevel", "run", "a", "--task", f"karpathy:{night.checkout}", "--trials", "14"]
    process = subprocess.Popen([*command, "--folder", "broken"], env=os.environ, stdout=subprocess.DEVNULL)
    kernels = home / ".triton" / "kernels"
    while not kernels.exists() or kernels.stat().st_size < 6 * len("compiled\n"):  # in the sixth measurement, or later
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(opened("broken")) < 15
    bilevel("resume", "broken")
    assert opened("broken").fingerprint() == opened(night.folder).fingerprint()
    for folder, out in (("broken", "one"), (night.folder, "two")):
        bilevel("export", folder, "--git", out, "--tag", "x")
    assert git(Path("one"), "show-ref") == git(Path("two"), "show-ref")
    assert fingerprint(night.checkout) == night.before


@pytest.fixture
def small(bilevel, checkout):
    """A run of a few trials of its own."""
    bilevel("run", "a", "--task", f"karpathy:{checkout}", "--trials", "2", "--folder", "run")
    assert opened("run").incumbent.number > 0


def test_best_is_applied_to_train_py_alone_and_the_run_can_still_be_read_resumed_and_exported(small, bilevel, checkout):
    trace = opened("run")
    bilevel("best", "run", "--apply", checkout)
    assert git(checkout, "status", "--porcelain") == " M train.py\n"
    text = (checkout / "train.py").read_text()
    (change,) = trace.incumbent.candidate.changes_from(trace.baseline.candidate).items()
    assert text == TRAIN.replace(f"{change[0]} = {change[1].old!r}", f"{change[0]} = {change[1].new!r}")
    bilevel("best", "run", "--apply", checkout)  # again is no change
    assert (checkout / "train.py").read_text() == text
    assert opened("run").fingerprint() == trace.fingerprint()
    bilevel("export", "run")
    bilevel("resume", "run")
    assert f"-{change[0]} = {change[1].old!r}" in bilevel("diff", "run")


def test_best_does_not_overwrite_other_changes_of_train_py(small, bilevel, checkout, tmp_path):
    (checkout / "train.py").write_text(TRAIN + "# mine\n")
    (checkout / "prepare.py").write_text("# mine\n")
    assert "has other changes, which would be lost" in bilevel("best", "run", "--apply", checkout, ends=2)
    assert (checkout / "train.py").read_text() == TRAIN + "# mine\n"
    (checkout / "train.py").write_text(TRAIN)
    bilevel("best", "run", "--apply", checkout)
    assert (checkout / "prepare.py").read_text() == "# mine\n"
    bilevel("best", "run", "--apply", tmp_path / "new")
    assert (tmp_path / "new" / "train.py").read_text() == (checkout / "train.py").read_text()
    assert "TIME_BUDGET = 300" in (tmp_path / "new" / "prepare.py").read_text()


# ---- the log of commits ----


def test_the_branch_holds_the_kept_commits_on_top_of_the_users_history(night, bilevel):
    said = bilevel("export", night.folder, "--git", "log", "--tag", "nov21")
    repository, trace = Path("log"), opened(night.folder)
    kept = [trial for trial in trace if trial.decision.keep and trial.number > 0]
    assert f"branch autoresearch/nov21 with {len(kept)} kept commits on the history of its source" in said
    head = git(night.checkout, "rev-parse", "HEAD").strip()
    log = git(repository, "log", "--reverse", "--format=%s", f"{head}..autoresearch/nov21").splitlines()
    assert len(log) == len(kept) > 0
    for trial, subject in zip(kept, log, strict=True):
        ((name, change),) = trial.changes.items()
        assert subject == f"{name}: {change.old!r} -> {change.new!r} · val_bpb {trial.score:.6f}"
    assert git(repository, "log", "--format=%s", head).splitlines() == ["the script", "first"]
    assert git(repository, "status", "--porcelain", "--ignored") == "!! results.tsv\n"
    assert git(repository, "fsck", "--strict") == ""
    assert fingerprint(night.checkout) == night.before
    git(repository, "clone", "-q", str(night.checkout), str(repository.resolve()) + "-2")
    git(Path("log-2"), "fetch", "-q", str(repository.resolve()), "autoresearch/nov21")  # a user can take it over
    assert git(Path("log-2"), "diff", "--stat", "HEAD", "FETCH_HEAD").count("|") == 1


def test_each_try_is_on_top_of_the_commit_that_it_changed(night, bilevel):
    bilevel("export", night.folder, "--git", "log")
    repository, trace = Path("log"), opened(night.folder)
    refs = dict(
        line.split()[::-1] for line in git(repository, "show-ref").splitlines() if line.split()[1].startswith("refs/tr")
    )
    assert len(refs) == len(trace) - 1
    commits = {trace.baseline.candidate.id: git(night.checkout, "rev-parse", "HEAD").strip()}
    for trial in trace[1:]:
        commit = refs[ref(trial.number)]
        assert git(repository, "rev-parse", f"{commit}^").strip() == commits[trial.parent.id]
        commits.setdefault(trial.candidate.id, commit)
        text = git(repository, "show", f"{commit}:train.py")
        assert f"MATRIX_LR = {trial.candidate.params['MATRIX_LR']!r}" in text
    assert (repository / "train.py").read_text() == git(repository, "show", f"{commits[trace.current.id]}:train.py")


def test_the_table_is_his(night, bilevel, tmp_path):
    bilevel("export", night.folder, "--git", "log", "--tsv", tmp_path / "mine.tsv")
    trace, table = opened(night.folder), rows("log/results.tsv")
    assert rows(tmp_path / "mine.tsv") == table
    assert table[0] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert table[1][1:] == ["0.981645", "44.0", "keep", "baseline"]
    assert [len(row) for row in table] == [5] * (len(trace) + 1)
    for row, trial in zip(table[1:], trace, strict=True):
        assert len(row[0]) == 7 and git(Path("log"), "cat-file", "-t", row[0]) == "commit\n"
        if trial.score is None:
            assert row[1:4] == ["0.000000", "0.0", "crash"]
        else:
            assert (row[1], row[3]) == (f"{trial.score:.6f}", "keep" if trial.decision.keep else "discard")
    assert all(run.metrics is None or run.metrics["val_bpb"] > 0 for trial in trace for run in trial.runs)


def test_exporting_again_adds_what_is_new(night, bilevel):
    shutil.copytree(night.folder, "part")
    with sqlite3.connect("part/run.sqlite3") as store:
        store.execute("DELETE FROM trials WHERE number > 6")
    assert "6 tries under refs/trials, 6 of them new" in bilevel("export", "part", "--git", "log", "--tag", "t")
    first = git(Path("log"), "show-ref", "--hash", ref(3))
    assert ", 0 of them new" in bilevel("export", "part", "--git", "log", "--tag", "t")
    assert "14 tries under refs/trials, 8 of them new" in bilevel("export", night.folder, "--git", "log", "--tag", "t")
    assert git(Path("log"), "show-ref", "--hash", ref(3)) == first
    bilevel("export", night.folder, "--git", "other", "--tag", "t")
    assert git(Path("log"), "show-ref") == git(Path("other"), "show-ref")


@pytest.mark.slow
def test_changes_that_were_not_committed_are_a_commit_of_their_own(bilevel, checkout):
    (checkout / "train.py").write_text(TRAIN.replace("DEPTH = 8", "DEPTH = 9"))
    (checkout / "notes.md").write_text("new")
    bilevel("run", "a", "--task", f"karpathy:{checkout}", "--trials", "1", "--folder", "run")
    bilevel("export", "run")
    repository, head = Path("run/git"), git(checkout, "rev-parse", "HEAD").strip()
    (base,) = git(repository, "rev-parse", "refs/bilevel/base").split()
    assert git(repository, "rev-parse", f"{base}^").strip() == head
    assert git(repository, "show", "--stat", "--format=%s", base).count("|") == 2
    assert (repository / "notes.md").read_text() == "new"
    assert rows("run/git/results.tsv")[1][0] == base[:7]


@pytest.mark.slow
def test_after_a_restart_the_branch_is_where_the_search_stands_and_the_best_has_a_reference(bilevel, checkout):
    bilevel("run", "restart", "--task", f"karpathy:{checkout}", "--trials", "10", "--folder", "run")
    trace, head = opened("run"), git(checkout, "rev-parse", "HEAD").strip()
    assert trace.current.id == trace.baseline.candidate.id != trace.incumbent.candidate.id
    bilevel("export", "run", "--tag", "t")
    repository = Path("run/git")
    assert git(repository, "rev-parse", "autoresearch/t").strip() == head
    assert git(repository, "rev-parse", "refs/bilevel/best^").strip() == head
    bilevel("best", "run", "--apply", checkout)
    assert git(repository, "show", "refs/bilevel/best:train.py") == (checkout / "train.py").read_text()


@pytest.mark.slow
def test_a_checkout_without_git_begins_its_own_history(bilevel, checkout):
    shutil.rmtree(checkout / ".git")
    bilevel("run", "a", "--task", f"karpathy:{checkout}", "--trials", "1", "--folder", "run")
    assert "on the files that the run began with" in bilevel("export", "run")
    assert "The files as the run began with them" in git(Path("run/git"), "log", "--format=%s", "--all")
    assert (Path("run/git") / "train.py").is_file()


@pytest.mark.slow
def test_an_export_never_writes_into_what_is_not_its_own(small, bilevel, checkout, tmp_path):
    before = fingerprint(checkout)
    assert "task's own folder" in bilevel("export", "run", "--git", checkout, ends=2)
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    assert "no repository that an export made" in bilevel("export", "run", "--git", tmp_path / "other", ends=2)
    assert "no name of a branch" in bilevel("export", "run", "--tag", "a..b", ends=2)
    bilevel("export", "run", "--tag", "t")
    (Path("run/git") / "train.py").write_text("mine")
    git(Path("run/git"), "commit", "-qam", "mine")
    assert "commits that are not ours" in bilevel("export", "run", "--tag", "t", ends=2)
    bilevel("export", "run", "--tag", "u")
    bilevel("run", "random", "--task", f"karpathy:{checkout}", "--trials", "2", "--folder", "second")
    assert "log of another run" in bilevel("export", "second", "--git", "run/git", ends=2)
    assert fingerprint(checkout) == before


@pytest.mark.slow
def test_hooks_and_filters_of_the_source_run_nothing(bilevel, checkout, tmp_path):
    trap = tmp_path / "trapped"
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        hook = checkout / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", f"touch {trap}; false")
    git(checkout, "config", "filter.trap.smudge", f"touch {trap}; cat")
    (checkout / ".gitattributes").write_text("*.py filter=trap eol=crlf\n")
    trap.unlink(missing_ok=True)
    bilevel("run", "a", "--task", f"karpathy:{checkout}", "--trials", "1", "--folder", "run")
    bilevel("export", "run")
    bilevel("best", "run", "--apply", checkout)
    assert not trap.exists()
    assert b"\r\n" not in (Path("run/git") / "train.py").read_bytes()


def test_a_task_without_files_has_a_table_only(bilevel):
    bilevel("run", "a", "--trials", "3", "--folder", "run")
    assert "has no files" in bilevel("export", "run", ends=2)
    bilevel("export", "run", "--tsv", "table.tsv")
    assert len(rows("table.tsv")) == 5
