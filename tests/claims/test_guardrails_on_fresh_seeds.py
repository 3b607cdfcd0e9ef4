"""Guardrails hold on fresh seeds as in the search: an answer that breaks one there is not confirmed."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import in_process

from bilevel.verifying.verify import verify

WILD = (
    "import random\n"
    "from bilevel.guardrails import Guardrail\nfrom bilevel.objective import Objective\n"
    "from bilevel.space import Candidate, Float, Space\nfrom bilevel.tasks.function import FunctionTask\n"
    "space, start = Space({'x': Float(0.0, 1.0)}), Candidate({'x': 0.2})\n"
    "first = {}\n"
    "def measured(params, seed):\n"
    "    x, rng = params['x'], random.Random(f'{seed}/{params}')\n"
    "    seen = first.setdefault(x, set())\n"
    "    seen.add(seed)\n"
    "    heavy = x != 0.2 and len(seen) > 2\n"  # a race is two deep: only fresh seeds see it
    "    return {'loss': (x - 0.7) ** 2 + rng.gauss(0, 0.01), 'size': 5.0 if heavy else 2.0 + rng.gauss(0, 0.1)}\n"
    "def task(name, *guardrails):\n"
    "    objective = Objective('loss', guardrails=guardrails)\n"
    "    return FunctionTask(name, measured, space, start, objective, 'Lower it.')\n"
    "free = task('free')\n"
    "bound = task('bound', Guardrail('size', at_most=3.0))\n"
    "share = task('share', Guardrail('size', worse_by_at_most=0.5))\n"
)


@pytest.fixture
def ran(tmp_path):
    (tmp_path / "wild.py").write_text(WILD)

    def run(name, pairs=4):
        (tmp_path / "wild.py").write_text(WILD)
        done = in_process.run(
            *("run", "a", "--task", f"python:wild:{name}", "--trials", 12, "--seed", 3, "--folder", name), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        if pairs:
            done = in_process.run("confirm", name, "--pairs", pairs, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        sys.path.insert(0, str(tmp_path))
        try:
            assert verify(tmp_path / name).differences == ()
        finally:
            sys.path.remove(str(tmp_path))
            sys.modules.pop("wild", None)
        return json.loads((tmp_path / name / "claims.json").read_text())["claims"], done.stdout

    return run


def test_without_guardrails_it_is_confirmed_and_so_is_the_only_change(ran):
    (answer, change), _ = ran("free")
    assert answer["status"] == change["status"] == "confirmed"
    assert change["effect"] == answer["effect"] and change["tries"]["pairs"] == answer["tries"]["pairs"]
    assert "the answer's" in change["note"] and change["rests_on"]["seeds"] == answer["rests_on"]["seeds"]


@pytest.mark.parametrize(("name", "said"), [("bound", "more than 3"), ("share", "allowed")])
def test_an_answer_that_breaks_a_guardrail_on_fresh_seeds_is_not_confirmed(ran, name, said):
    claims, printed = ran(name)
    assert [claim["status"] for claim in claims] == ["provisional"] * len(claims)
    assert "on fresh seeds: guardrail: size is " in claims[0]["note"] and said in claims[0]["note"]
    assert "on fresh seeds: guardrail" in " ".join(printed.split())


def test_in_a_comparison_it_counts_as_the_baseline(tmp_path):
    (tmp_path / "wild.py").write_text(WILD)
    options = ("--task", "python:wild:bound", "--replicates", 1, "--budget", 10, "--folder", "it", "--json")
    done = in_process.run("compare", "--arms", "a,random", *options, cwd=tmp_path)
    result = json.loads(done.stdout)
    assert done.returncode == 0 and [arm["gains"] for arm in result["arms"]] == [{"1": 0.0}, {"1": 0.0}]
    assert any("failed on a fresh seed" in note and "guardrail: size is 5" in note for note in result["notes"])


# ---- where no seed moves the score ----

EXACT = WILD.replace(" + rng.gauss(0, 0.01)", "")


def test_the_answer_of_a_deterministic_task_is_looked_at_and_not_confirmed_where_it_breaks_one(ran, monkeypatch):
    monkeypatch.setitem(globals(), "WILD", EXACT)
    (answer, *changes), printed = ran("bound", pairs=0)
    assert answer["status"] == "provisional" and "on fresh seeds: guardrail: size is 5" in answer["note"]
    assert {change["status"] for change in changes} == {"provisional"}
    assert "on fresh seeds: guardrail" in " ".join(printed.split())
    (answer, *changes), _ = ran("free", pairs=0)
    assert {claim["status"] for claim in (answer, *changes)} == {"confirmed"} and "guardrail" not in answer["note"]


@pytest.mark.slow
def test_in_a_comparison_on_a_deterministic_task_it_counts_as_the_baseline(tmp_path):
    (tmp_path / "wild.py").write_text(EXACT)

    def compared(name, *options):
        options = ("--task", f"python:wild:{name}", "--replicates", 1, "--budget", 10, *options)
        options = (*options, "--folder", f"{name}{len(options)}")
        done = in_process.run("compare", "--arms", "a,random", *options, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    for name, said in (("bound", "more than 3"), ("share", "worse than")):
        result = compared(name)
        assert [arm["gains"] for arm in result["arms"]] == [{"1": 0.0}, {"1": 0.0}]
        assert any("failed on a fresh seed" in note and said in note for note in result["notes"])
    for result in (compared("free"), compared("bound", "--fresh", 0)):
        assert all(arm["gains"]["1"] > 0 for arm in result["arms"])
