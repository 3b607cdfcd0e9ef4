"""Guardrails and fronts as a user meets them: a script task through the command line, and a function."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bilevel
from bilevel.errors import InputError
from bilevel.guardrails import Guardrail
from bilevel.mechanisms import source
from bilevel.objective import Further
from bilevel.shelf.storing import refusals
from bilevel.tasks.catalog import find
from bilevel.trial import Status

TINY = Path(__file__).parents[1] / "fixtures/tasks/tiny"
MORE = """
[[guardrails]]
metric = "steps"
at_most = 100

[[guardrails]]
metric = "diff_lines"
at_most = {lines}

[[also]]
metric = "diff_bytes"
unit = "bytes"
reference = 500.0
"""


def command(*args, cwd):
    line = [sys.executable, "-m", "bilevel", *map(str, args)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=120)


def tiny(tmp_path, more, **changes):
    folder = tmp_path / "task"
    shutil.copytree(TINY, folder)
    text = (folder / "task.toml").read_text() + more
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "task.toml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BILEVEL_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_script_task_holds_its_guardrails_and_shows_its_front(tmp_path):
    folder = tiny(tmp_path, MORE.format(lines=2))
    shown = command("check", folder, cwd=tmp_path)
    assert shown.returncode == 0 and "guardrail: diff_lines at most 2" in shown.stdout, shown
    assert "further objective: diff_bytes (minimize)" in shown.stdout
    ran = command(
        "run", "a", "--task", folder, "--researcher", "random", "--trials", 4, "--folder", "run", cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    trials = json.loads(command("show", "run", "--json", cwd=tmp_path).stdout)
    broken = [one for one in trials if one["status"] == "guardrail"]
    assert broken and all(not one["keep"] and one["score"] is None for one in broken)
    assert all("diff_lines is" in one["reason"] and "more than 2" in one["reason"] for one in broken)
    status = json.loads(command("status", "run", "--json", cwd=tmp_path).stdout)
    assert [one["text"] for one in status["guardrails"]] == ["steps at most 100", "diff_lines at most 2"]
    assert [one["broken"] for one in status["guardrails"]] == [0, len(broken)]
    front = json.loads(command("show", "run", "--front", "--json", cwd=tmp_path).stdout)
    assert status["front"] == front
    assert [axis["name"] for axis in front["axes"]] == ["loss", "diff_bytes"]
    assert front["axes"][1]["reference"] == 500.0 and front["axes"][1]["unit"] == "bytes"
    assert not {point["trial"] for point in front["points"]} & {f"root#{one['number']}" for one in broken}
    assert "hypervolume" in command("show", "run", "--front", cwd=tmp_path).stdout
    assert "diff_lines at most 2; broken in" in command("status", "run", cwd=tmp_path).stdout


@pytest.mark.slow
def test_a_baseline_that_breaks_its_own_guardrail_is_refused_before_anything_is_searched(tmp_path):
    folder = tiny(tmp_path, '\n[[guardrails]]\nmetric = "steps"\nat_least = 1000\n')
    ran = command("run", "a", "--task", folder, "--trials", 2, "--folder", "run", cwd=tmp_path)
    assert ran.returncode != 0
    assert "steps is 100, less than 1000" in ran.stderr and "loosen the bound" in ran.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[guardrails]]\nmetric = "nothing"\nat_most = 1.0', "no table \\[metrics.nothing\\]"),
        ('[[guardrails]]\nmetric = "steps"', "exactly one of at_most"),
        ('[[guardrails]]\nmetric = "steps"\nat_most = 1.0\ndirection = "maximize"', "belongs to worse_by_at_most"),
        ('[[guardrails]]\nmetric = "diff_lines"\nworse_by_at_most = 0.1', "give at_most"),
        ('[[guardrails]]\nmetric = "steps"\nat_mots = 1.0', "at_mots"),
        ('[[also]]\nmetric = "loss"', "is an objective twice"),
        ('[metrics.run_seconds]\nread = "line"', "kept for what the host measures"),
        ('[seal]\nmetrics = ["steps"]\ncommand = ["{python}"]\n[[guardrails]]\nmetric = "steps"\nat_most = 1.0',
         "that the search may see"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told_with_its_key(tmp_path, more, said):
    with pytest.raises(InputError, match=said):
        find(tiny(tmp_path, f"\n{more}\n"))


def test_every_key_reaches_the_task_and_its_harness(tmp_path):
    more = (
        '[[guardrails]]\nmetric = "steps"\nworse_by_at_most = 0.2\ndirection = "maximize"\n'
        '[[also]]\nmetric = "run_seconds"\nunit = "s"\ndirection = "maximize"\nreference = 2.0\n'
    )
    plain = find(tiny(tmp_path / "plain", "")).harness
    task = find(tiny(tmp_path, more, **{'direction = "minimize"': 'direction = "minimize"\nreference = 9.0'}))
    assert task.objective.guardrails == (Guardrail("steps", worse_by_at_most=0.2, minimize=False),)
    assert task.objective.also == (Further("run_seconds", "s", False, 2.0),)
    assert task.objective.reference == 9.0 and task.harness != plain


def cost(params):
    return {"score": params["rate"], "bytes": 1.0 - params["rate"]}


@pytest.mark.slow
def test_a_function_in_worker_processes_holds_guardrails_and_has_a_front(tmp_path):
    result = bilevel.optimize(
        cost, {"rate": (0.0, 1.0)}, trials=5, recipe="a", researcher="random", folder=tmp_path / "run",
        guardrails=[Guardrail("bytes", at_most=0.7), Guardrail("run_cpu_seconds", at_most=500)],
        also=[Further("bytes"), Further("run_seconds")],
    )  # fmt: skip
    assert all(trial.status is Status.GUARDRAIL for trial in result.trials if trial.candidate.params["rate"] < 0.3)
    assert result.score >= 0.3
    front = json.loads(command("show", tmp_path / "run", "--front", "--json", cwd=tmp_path).stdout)
    assert [axis["name"] for axis in front["axes"]] == ["score", "bytes", "run_seconds"]
    with pytest.raises(InputError, match="diff_lines"):
        bilevel.optimize(cost, {"rate": (0.0, 1.0)}, trials=1, guardrails=[Guardrail("diff_lines", at_most=1)])


def test_the_mechanism_front_passes_the_sandboxed_door_like_any_other():
    assert not refusals(source("front"))
