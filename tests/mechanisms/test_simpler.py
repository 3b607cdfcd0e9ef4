"""Simpler: a shorter program that is equal within the noise is kept, and nothing else is."""

from dataclasses import dataclass

import pytest

from bilevel.budget import Budget, Cost
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.objective import Objective
from bilevel.researchers.scripted import Scripted
from bilevel.rules import Rule
from bilevel.settings import Settings
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Run, Status

SPACE = Space({"rate": Float(0.0, 1.0)})
LONG = "a program of more than a few characters, some of which do nothing at all\n"
SHORT = "a program of a few characters\n"


@dataclass(frozen=True)
class Programs(FunctionTask):
    """A task with one file: the loss is what the text says after `loss`, or 1, and the seeds scatter around it."""

    recorded: bool = True

    def problems(self, candidate, parent):
        return []

    def run(self, candidate, bench):
        text = candidate.files.get("program", LONG)
        if "crash" in text:
            return Run(bench.rung, bench.seed, Status.EXIT, cost=Cost(1))
        loss = float(text.partition("loss ")[2] or 1.0) + 0.01 * (bench.seed_index == 1)
        data = {"program_characters": len(text)} if self.recorded else {}
        return Run(bench.rung, bench.seed, Status.OK, {"loss": loss}, Cost(1), data=data)


def search(*texts, recorded=True, calibration=2, least=20, params=None):
    """One trial per text; with two seeds of the baseline 0.01 apart, the margin is about 0.016."""
    start = Candidate({"rate": 0.5})
    task = Programs("programs", lambda params, seed: 1.0, SPACE, start, Objective("loss"), "shorten", recorded=recorded)
    replies = [Candidate(params or start.params, {"program": text} if text else {}) for text in texts]
    guest = Guest("simpler", source("simpler", least=least))
    budget = Budget(trials=len(texts))
    spec = LoopSpec(
        "inner", task, Scripted(replies), (guest,), Settings(), budget,
        seed=3, calibration=calibration, noise=None, keep=Rule("margin"),
    )  # fmt: skip
    trace = Loop(spec, Lab()).run()
    assert [fault for trial in trace for fault in trial.faults] == []
    return trace


def test_a_shorter_program_within_the_noise_is_kept_and_the_ledger_says_that_it_was_decisive():
    trace = search(SHORT + "loss 1.005")
    assert trace[1].decision.keep
    assert "equal to its parent (trial 0) within the noise margin" in trace[1].decision.reason
    assert f"its code is {len(LONG) - len(SHORT) - 10} characters shorter" in trace[1].decision.reason
    assert trace.ledger()["simpler"]["decide"].decisive == 1


def test_a_gain_within_the_noise_is_kept_only_where_the_program_is_shorter():
    assert search(SHORT + "loss 0.995")[1].decision.keep
    assert not search(LONG + "loss 0.995")[1].decision.keep


@pytest.mark.parametrize("text", [SHORT + "loss 1.1", LONG[:-8], LONG + SHORT, SHORT + "crash"])
def test_worse_hardly_shorter_longer_and_crashed_programs_stay_discarded(text):
    assert not search(text)[1].decision.keep


def test_what_is_better_anyway_is_kept_for_that_reason():
    trace = search(SHORT + "loss 0.5")
    assert trace[1].decision.keep and "better than its parent" in trace[1].decision.reason
    assert trace.ledger()["simpler"]["decide"].decisive == 0


def test_many_small_losses_do_not_add_up():
    """Each is equal to its parent within the noise; the second one is not equal to the best any more."""
    trace = search(SHORT + "and no more loss 1.012", "loss 1.024", calibration=2, least=5)
    assert [trial.decision.keep for trial in trace] == [True, True, False]


def test_without_noise_only_equal_scores_are_equal():
    assert search(SHORT + "loss 1.0", calibration=1)[1].decision.keep
    assert not search(SHORT + "loss 1.000001", calibration=1)[1].decision.keep


def test_values_of_parameters_make_no_program_shorter():
    assert not search("", params={"rate": 0.25})[1].decision.keep


def test_a_task_that_records_no_lengths_is_judged_by_the_files_that_both_have():
    trace = search(LONG + "loss 0.9", SHORT + "loss 0.9", recorded=False)
    assert [trial.decision.keep for trial in trace] == [True, True, True]
    assert not search(SHORT + "loss 1.0", recorded=False)[1].decision.keep  # how long was the baseline's?
