"""A run whose candidates break a guardrail on a further seed: what it keeps, shows, verifies and replays."""

import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import in_process

import bilevel
from bilevel.replay import replay
from bilevel.verifying.verify import verify

WILD = """
import random

from bilevel.guardrails import Guardrail
from bilevel.objective import Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask


def measured(params, seed):
    rng = random.Random(f"{seed}/{params}")
    heavy = params != {"x": 0.2, "y": 0.2} and rng.random() < 0.3
    loss = (params["x"] - 0.7) ** 2 + (params["y"] - 0.6) ** 2 + rng.gauss(0, 0.01)
    return {"loss": loss, "size": 5.0 if heavy else 2.0}


space, start = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)}), Candidate({"x": 0.2, "y": 0.2})
objective = Objective("loss", guardrails=(Guardrail("size", at_most=3.0),))
task = FunctionTask("wild", measured, space, start, objective, "Lower it.")
"""
MORE = '{"candidate":"nobody","reason":"I say so"},'
RECIPE = 'name = "mine"\ntitle = "mine"\ntask = "python:wild:task"\n[inner]\nrules = {rules}\ntrials = 15\n'


@pytest.fixture
def ran(tmp_path, monkeypatch):
    def run(rules):
        (tmp_path / "wild.py").write_text(WILD)
        (tmp_path / "mine.toml").write_text(RECIPE.format(rules=rules))
        done = in_process.run("run", "mine.toml", "--seed", 3, "--folder", "night", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / "night"

    yield run
    sys.modules.pop("wild", None)


def broken(trace):
    """The candidates with a run beyond the bound, and a score."""
    runs = [(t.candidate.id, run) for t in trace for run in t.runs]
    runs += [(t.parent.id, run) for t in trace for run in t.parent_runs]
    return {name for name, run in runs if run.metrics["size"] > 3 and trace.of(name).score is not None}


@pytest.mark.slow
def test_a_run_goes_back_to_what_holds_says_so_and_comes_again_byte_for_byte(ran, tmp_path):
    folder = ran(3)
    with bilevel.Run.open(folder) as run:
        trace = run.trace
        (fall,) = [trial for trial in trace if trial.fallen]
        assert broken(trace) == {*trace.out} == {fall.parent.id} and fall.parent.id != trace[0].candidate.id
        assert trace.upto(fall.number).incumbent.candidate == fall.parent
        assert all(trial.parent.id not in trace.out for trial in trace[fall.number + 1 :])
        assert trace.incumbent.candidate.id not in trace.out
    assert verify(folder).differences == () and replay(folder).trials == 16
    shown = in_process.run("show", "night", "--trial", fall.number, cwd=tmp_path).stdout
    assert "its parent is out, by all its runs: guardrail: size is 5 (the worst of 2 runs), more than 3" in shown


def test_an_old_run_folder_goes_on_without_it(ran):
    folder = ran(2)
    with bilevel.Run.open(folder) as run:
        assert broken(run.trace) and not run.trace.out and not any(trial.fallen for trial in run.trace)
    assert verify(folder).differences == () and replay(folder).trials == 16


def test_verify_finds_that_somebody_put_a_candidate_out(ran):
    folder = ran(3)
    with sqlite3.connect(folder / "run.sqlite3") as store:
        store.execute("UPDATE trials SET record = replace(record, '\"fallen\":[', '\"fallen\":[' || ?)", (MORE,))
    (found, *_) = verify(folder).differences
    assert "candidates out" in str(found)
