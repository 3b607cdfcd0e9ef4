"""`bilevel mechanisms rehearse`: a race before a mechanism costs a measurement."""

import json

import pytest

HARM = '''from dataclasses import replace

from bilevel.mechanism import Mechanism


class Far(Mechanism):
    """Always to the ends of all ranges."""

    domain = "test"
    needs = frozenset({"numeric"})

    def propose(self, view, parent, proposals):
        found = []
        if len(view.space.active) < 3:
            return proposals
        for number, proposal in enumerate(proposals):
            rng, space = view.rng(f"far {number}"), view.space
            wide = [name for name in space.active if name != "shape"]
            ends = {name: space.domains[name].at(0.96 * rng.randrange(2) + 0.04 * rng.random()) for name in wide}
            found.append(replace(proposal, candidate=parent.with_params(**ends)))
        return found
'''


@pytest.mark.slow
def test_one_that_harms_is_refused_and_one_that_is_shipped_passes_with_an_interval(bilevel, work):
    (work / "far.py").write_text(HARM)
    done = bilevel("mechanisms", "rehearse", "far.py", "orthogonal", "--json")
    assert done.returncode == 1, done.stderr
    far, orthogonal = json.loads(done.stdout)
    assert far["outcome"] == "refused" and "worse than a placebo" in far["reason"]
    assert orthogonal["outcome"] == "passed"
    row = next(row for row in orthogonal["races"] if row["control"] == "placebo")
    assert row["low"] < row["gain"] < row["high"] and row["seeds"] > 2


@pytest.mark.slow
def test_with_a_run_there_is_a_surrogate_of_it_and_what_the_door_refuses_is_not_rehearsed(bilevel, work):
    assert bilevel("run", "a", "--task", "sphere", "--trials", "10", "--folder", "run").returncode == 0
    (work / "bad.py").write_text("import socket\n")
    done = bilevel("mechanisms", "rehearse", "bad.py", "tabu", "--run", "run")
    assert done.returncode == 1 and "at the door" in done.stdout
    assert "a surrogate of this run" in done.stdout and "a synthetic landscape" in done.stdout
