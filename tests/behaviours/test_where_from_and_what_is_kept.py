"""Where from, what is kept, how it is run: another parent, another decision, another run than without the mechanism."""

from dataclasses import replace

from searches import TASK, count, guest, loss, scripted

from bilevel.codec import derive_seed
from bilevel.mechanism import Guest
from bilevel.trial import Run, Status

BETTER = [{"decay": 0.4}, {"depth": 5}, {"decay": 0.3}, {"depth": 6}, {"decay": 0.2}, {"depth": 7}]


def parents(trace):
    """For each trial but the baseline the number of the trial that its parent comes from."""
    return [trace.of(trial.parent.id).number for trial in trace[1:]]


def decisions(trace):
    return [trial.decision.keep for trial in trace[1:]]


def test_islands_go_on_side_by_side_and_a_migrant_comes_now_and_then():
    trace = scripted(BETTER, guest("islands", islands=2, migrate=6))
    assert parents(trace) == [0, 0, 1, 2, 3, 5]  # the sixth is the migrant: the incumbent
    assert parents(scripted(BETTER)) == [0, 1, 2, 3, 4, 5]
    assert count(trace, "islands", "select").decisive == 4


def test_map_elites_starts_from_the_best_of_any_cell():
    replies = [
        {"decay": 0.9},
        {"rate": 0.002},
        {"rate": 0.9},
        {"decay": 0.8},
        {"decay": 0.45},
        {"depth": 5},
        {"depth": 6},
    ]
    trace = scripted(replies, guest("map_elites", axes=("rate", "decay")))
    assert any(not trace[number].decision.keep for number in parents(trace))  # a worse one, alone in its cell
    assert count(trace, "map_elites", "select").decisive > 0


def test_best_first_expands_the_best_open_candidate_a_discarded_one_too():
    replies = [{"decay": 0.52}, {"rate": 0.5}, {"depth": 3}, {"mix_a": 0.1}]
    trace = scripted(replies, guest("best_first", width=2))
    assert parents(trace) == [0, 0, 1, 1]
    assert decisions(trace)[0] is False  # the better of two discarded children
    assert count(trace, "best_first", "select").decisive == 1


def test_uct_goes_down_the_branch_that_was_kept_and_looks_at_the_other_too():
    replies = [{"decay": 0.4}, {"decay": 0.9}, {"depth": 5}, {"depth": 6}, {"mix_a": 0.1}, {"mix_a": 0.3}, {"depth": 7}]
    trace = scripted(replies, guest("uct", width=2))
    assert parents(trace)[:3] == [0, 0, 1]
    assert {1, 2} <= set(parents(trace))
    assert count(trace, "uct", "select").decisive > 0


def test_a_regression_cap_discards_what_a_restart_would_keep():
    replies = [{"decay": 0.1}, {"decay": 0.45}, {"depth": 5}]
    restart = guest("restart", every=2, patience=0, reset=("parent",))
    free, capped = scripted(replies, restart), scripted(replies, restart, guest("regression_cap", cap=0.05))
    assert parents(free) == [0, 1, 0] and free[3].decision.keep
    assert not capped[3].decision.keep and "at most 0.05 is allowed" in capped[3].decision.reason
    assert count(capped, "regression_cap", "decide").decisive == 1


def test_a_minimal_gain_discards_a_gain_that_is_too_small():
    replies = [{"decay": 0.495}, {"decay": 0.3}]
    trace = scripted(replies, guest("minimal_gain", least=0.01))
    assert decisions(trace) == [False, True] and decisions(scripted(replies)) == [True, True]
    assert "is less than the least that counts (0.01)" in trace[1].decision.reason
    assert count(trace, "minimal_gain", "decide").decisive == 1


def test_a_pareto_rule_weighs_memory_and_the_size_of_the_change():
    replies = [{"batch": 64}, {"batch": 256, "mix_a": 0.1}, {"decay": 0.4}, {"decay": 0.52, "batch": 64}]
    trace = scripted(replies, guest("pareto", metric="memory", slack=0.05))
    assert decisions(trace) == [True, False, True, False] and decisions(scripted(replies)) == [
        False,
        False,
        True,
        False,
    ]
    assert trace[1].runs[-1].metrics["memory"] == 64 and trace[1].score == trace[0].score
    assert trace[2].decision.reason == "trial 0 is at least as good in everything"
    assert count(trace, "pareto", "decide").decisive == 1


def test_of_two_equal_scores_the_smaller_change_is_kept():
    replies = [{"mix_a": 0.1, "mix_b": 0.1, "batch": 64}, {"mix_a": 0.2, "mix_b": 0.3}]
    trace = scripted(replies, guest("pareto"))
    assert decisions(trace) == [True, True]  # the same memory, and one parameter changed in place of three
    assert count(trace, "pareto", "decide").decisive == 2


# ---- the machine's failures ----


def unlucky(params, seed):
    """A decay of 0.2 meets a broken environment on the first evaluation seed only; a batch of 1024 is too large."""
    if params["decay"] == 0.2 and params["depth"] == 4 and seed == derive_seed(3, "evaluation", 0):
        raise ModuleNotFoundError("No module named 'kernels'")
    if params["batch"] == 1024:
        raise MemoryError("CUDA out of memory")
    return loss(params, seed)


UNLUCKY = replace(TASK, function=unlucky)
CRASHES = [{"decay": 0.2}, {"batch": 1024}, {"depth": 5}]


def test_an_import_error_is_the_machines_and_measured_again_and_out_of_memory_is_the_candidates():
    trace = scripted(CRASHES, guest("machine_failures"), task=UNLUCKY)
    assert [trial.status for trial in trace] == [Status.OK, Status.EXIT, Status.OK, Status.OK]
    assert trace[2].candidate == trace[1].candidate and trace[2].decision.keep
    assert trace[2].proposal.notes["retry"] == "ModuleNotFoundError"
    assert trace[3].parent == trace[2].candidate
    assert count(trace, "machine_failures", "propose").decisive == 1
    plain = scripted(CRASHES, task=UNLUCKY)
    assert [trial.status for trial in plain] == [Status.OK, Status.EXIT, Status.OUT_OF_MEMORY, Status.OK]
    crashed = scripted([CRASHES[1], {"depth": 5}], guest("machine_failures"), task=UNLUCKY)
    assert crashed[1].status is Status.OUT_OF_MEMORY and crashed[2].changes.keys() == {"depth"}


class Flaky:
    """The small task on a machine that loses the second candidate's run, twice, and then works again."""

    def __init__(self):
        self.lost = 0

    def __getattr__(self, name):
        return getattr(TASK, name)

    def run(self, candidate, bench):
        if candidate.params["decay"] == 0.2 and self.lost < 2:
            self.lost += 1
            return Run(bench.rung, bench.seed, Status.INFRASTRUCTURE, log="the disk is full")
        return TASK.run(candidate, bench)


def test_what_the_host_calls_infrastructure_is_tried_again_too():
    trace = scripted([{"decay": 0.2}, {"depth": 5}], guest("machine_failures"), task=Flaky())
    assert trace[1].status is Status.INFRASTRUCTURE and not trace[1].decision.keep
    assert trace[2].candidate == trace[1].candidate and trace[2].decision.keep
    assert count(trace, "machine_failures", "propose").decisive == 1


def test_a_candidate_that_was_measured_after_a_crash_is_judged_by_its_score():
    replies = [*CRASHES[:2], {"decay": 0.9}]
    trace = scripted(replies, guest("machine_failures"), task=UNLUCKY)
    assert trace[2].decision.keep
    assert not trace[3].decision.keep, trace[3].decision.reason  # much worse than its parent


RUN_AGAIN = """
from bilevel.mechanism import Mechanism
from bilevel.trial import Status, Step


class RunAgain(Mechanism):
    domain = "fault tolerance"

    def plan(self, view, proposal, partial, steps):
        if partial and partial[-1].status is Status.INFRASTRUCTURE and len(partial) < 3:
            return [Step(partial[-1].rung, len(partial))]
        return steps
"""


def test_a_run_that_the_machine_lost_is_planned_again_within_the_trial():
    trace = scripted([{"decay": 0.2}], Guest("run_again", RUN_AGAIN), task=Flaky())
    assert [run.status for run in trace[1].runs][:2] == [Status.INFRASTRUCTURE, Status.OK]
    assert count(trace, "run_again", "plan").decisive == 1
    assert trace[1].status is Status.OK and trace[1].decision.keep
