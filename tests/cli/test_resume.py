"""The same seed gives the same trace; a run that was killed at any instant resumes to the run that would have been."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.lab import Traces
from bilevel.levels import leaf, leaf_branch
from bilevel.mechanisms import source
from bilevel.recipe import resolve
from bilevel.store.folder import RunFolder
from bilevel.wiring import build


def fingerprints(folder):
    """Hashes of the outermost trace and of the innermost one it ended on."""
    opened = RunFolder.read(folder)
    try:
        spec, traces = build(resolve(opened.config["recipe"])), Traces(opened.store)
        inner = leaf_branch(traces, spec, "root")
        root = traces.trace("root", spec.task.objective)
        return root.fingerprint(), traces.trace(inner, leaf(spec).task.objective).fingerprint()
    finally:
        opened.close()


@pytest.mark.parametrize("recipe", ["a", "b", "c", "static"])
def test_the_same_seed_gives_the_same_trace(bilevel, tmp_path, recipe):
    for folder in ("one", "two"):
        assert bilevel("run", recipe, "--seed", "5", "--folder", folder).returncode == 0
    assert fingerprints(tmp_path / "one") == fingerprints(tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["a", "c", "static"])
def test_the_same_seed_gives_the_same_trace_with_two_workers(bilevel, tmp_path, recipe):
    for folder in ("one", "two"):
        assert bilevel("run", recipe, "--seed", "5", "--workers", "2", "--folder", folder).returncode == 0
    assert fingerprints(tmp_path / "one") == fingerprints(tmp_path / "two")


def test_another_seed_gives_another_trace(bilevel, tmp_path):
    for seed in ("1", "2"):
        assert bilevel("run", "random", "--seed", seed, "--folder", seed).returncode == 0
    assert fingerprints(tmp_path / "1") != fingerprints(tmp_path / "2")


def killed_and_resumed(tmp_path, recipe, options, kills, seed):
    """Run until it has been killed -9 so many times at random instants, then let it finish; returns real kills."""
    rng, real = random.Random(seed), 0
    command = [sys.executable, "-m", "bilevel"]
    first = [*command, "run", recipe, *options, "--folder", "broken"]
    for attempt in range(kills + 1):
        args = first if not (tmp_path / "broken" / "run.sqlite3").exists() else [*command, "resume", "broken"]
        process = subprocess.Popen(
            args, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
        )
        try:
            wait = rng.uniform(0.3, 1.6) if attempt < kills else 120
            _, error = process.communicate(timeout=wait)
            assert process.returncode == 0, error.decode()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            real += 1
    return real


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_fork_resumes_to_the_unbroken_one(bilevel, tmp_path):
    options = ["--seed", "3", "--inner-budget", "60", "--outer-cycles", "4"]
    assert bilevel("run", "c", *options, "--folder", "whole").returncode == 0
    assert killed_and_resumed(tmp_path, "c", options, kills=3, seed=1) >= 1
    assert fingerprints(tmp_path / "broken") == fingerprints(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_twenty_kills_at_random_instants_lose_nothing(bilevel, tmp_path, workers):
    options = ["--seed", "4", "--inner-budget", "250", "--outer-cycles", "5", "--workers", workers]
    assert bilevel("run", "c", *options, "--folder", "whole").returncode == 0
    assert killed_and_resumed(tmp_path, "c", options, kills=20, seed=2) >= 5
    assert fingerprints(tmp_path / "broken") == fingerprints(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, 400 KB small; `grow` makes it large."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")

    def grow():
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)

    yield disk, grow
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_cleanly_and_it_resumes(bilevel, tmp_path, small_disk):
    disk, grow = small_disk
    options = ["--trials", "600", "--seed", "3"]
    assert bilevel("run", "random", *options, "--folder", "whole").returncode == 0
    stopped = bilevel("run", "random", *options, "--folder", disk / "run")
    assert stopped.returncode == 3, stopped.stderr
    assert "full" in stopped.stderr and "bilevel resume" in stopped.stderr and "Traceback" not in stopped.stderr
    grow()
    assert bilevel("resume", disk / "run").returncode == 0
    assert fingerprints(disk / "run") == fingerprints(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_stops_after_what_runs_and_resume_goes_on(bilevel, tmp_path):
    options = ["--seed", "3", "--inner-budget", "40", "--outer-cycles", "3"]
    assert bilevel("run", "c", *options, "--folder", "whole").returncode == 0
    command = [sys.executable, "-m", "bilevel", "run", "c", *options, "--folder", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "trial" not in (line := process.stdout.readline()) and "level 1" not in line:
        assert line, process.stderr.read()
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert "bilevel resume run" in output
    assert bilevel("resume", "run").returncode == 0
    assert fingerprints(tmp_path / "run") == fingerprints(tmp_path / "whole")


@pytest.mark.slow
def test_a_resume_needs_neither_the_mechanism_file_nor_the_same_working_folder(bilevel, tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text(source("tabu"))
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "tasks" / "tiny", tmp_path / "task")
    recipe = 'name = "mine"\ntitle = "a test"\ntask = "task"\n[inner]\ntrials = 3\nmechanisms = ["rule.py"]\n'
    (tmp_path / "mine.toml").write_text(recipe)
    assert bilevel("run", "mine.toml", "--folder", "run").returncode == 0
    rule.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "bilevel", "resume", "../run"]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bilevel("show", "run", "--mechanism", "rule").returncode == 0


@pytest.fixture
def endless(tmp_path):
    """A run whose first measurement has begun and does not end by itself."""
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "tasks" / "tiny", tmp_path / "task")
    begun = tmp_path / "begun"
    script = tmp_path / "task" / "start" / "train.py"
    script.write_text(f"{script.read_text()}\nimport time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(1000)\n")
    rungs = tmp_path / "task" / "task.toml"
    rungs.write_text(re.sub(r"(wall|cpu)_seconds = .*", r"\1_seconds = 2000.0", rungs.read_text()))
    command = [sys.executable, "-m", "bilevel", "run", "a", "--task", "task", "--workers", "2", "--folder", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not begun.exists():  # looked at now and then: the processor is for the run
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            pytest.fail(f"it ended before it measured: {process.communicate()}")
    yield process
    process.kill()
    process.communicate()


def test_the_second_ctrl_c_ends_what_is_running(endless, bilevel_json):
    endless.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in endless.stderr.readline()
    endless.send_signal(signal.SIGINT)
    output, error = endless.communicate(timeout=60)
    assert endless.returncode == 3, error
    assert "bilevel resume run" in output
    assert bilevel_json("status", "run")["state"] == "stopped"


def test_a_run_that_was_killed_is_not_said_to_be_running(endless, bilevel_json):
    assert bilevel_json("status", "run")["state"] == "running"
    endless.kill()
    endless.wait()
    assert bilevel_json("status", "run")["state"] == "interrupted"
