"""The trace: immutable, shared, branching."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.objective import Objective
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Trial

LOSS = Objective("loss")


def trial(number, value=0.0, keep=False, status=Status.OK, state=None, parent=None, name=None):
    score = value if status is Status.OK else None
    metrics = {"loss": value} if status is Status.OK else None
    run_status = Status.OK if status in (Status.OK, Status.PRUNED) else status
    runs = (Run("full", 0, run_status, metrics or ({"x": 1.0} if run_status is Status.OK else None), state=state),)
    candidate = Candidate({"x": name if name is not None else value})
    decision = Decision(keep, "")
    return Trial(
        number,
        parent or Candidate(),
        Proposal(candidate),
        runs if status != Status.REFUSED else (),
        status,
        score,
        decision,
        moved=True,
    )


class Model:
    """A trace as a plain list."""

    def __init__(self, trials=()):
        self.trials = list(trials)

    def incumbent(self):
        scored = [t for t in self.trials if t.score is not None]
        return min(scored, key=lambda t: (t.score, t.number)) if scored else None

    def current(self):
        last = self.trials[-1] if self.trials else None
        return last and (last.candidate if last.decision.keep else last.parent)

    def state(self):
        return next((t.state for t in reversed(self.trials) if t.state is not None), None)

    def measured(self, id):
        uncounted = (Status.PRUNED, Status.INFRASTRUCTURE)
        return [t for t in self.trials if t.runs and t.status not in uncounted and t.candidate.id == id]


def agree(trace, model):
    assert len(trace) == len(model.trials)
    assert list(trace) == model.trials and trace[:] == model.trials
    assert list(trace.newest()) == model.trials[::-1]
    assert trace.incumbent == model.incumbent()
    assert trace.current == model.current()
    assert trace.state == model.state()
    assert trace.last == (model.trials[-1] if model.trials else None)
    for x in range(4):
        id = Candidate({"x": float(x)}).id
        assert list(trace.measured(id)) == model.measured(id)
        scored = [t for t in model.measured(id) if t.score is not None]
        assert trace.of(id) == next(iter([*scored, *model.measured(id)]), None)


statuses = st.sampled_from([Status.OK, Status.OK, Status.EXIT, Status.PRUNED, Status.INFRASTRUCTURE, Status.REFUSED])
operations = st.one_of(
    st.tuples(
        st.just("add"),
        st.integers(0, 20),
        st.integers(0, 3),
        st.booleans(),
        statuses,
        st.sampled_from([None, "s", "t"]),
    ),
    st.tuples(st.just("upto"), st.integers(0, 20), st.integers(-1, 12)),
)


@given(st.lists(operations, max_size=40))
def test_any_interleaving_of_adding_and_branching_agrees_with_plain_lists(steps):
    made = [(Trace(LOSS), Model())]
    for kind, which, *rest in steps:
        trace, model = made[which % len(made)]
        if kind == "add":
            value, keep, status, state = rest
            new = trial(len(model.trials), float(value), keep, status, state, parent=model.current())
            made.append((trace + new, Model([*model.trials, new])))
        else:
            made.append((trace.upto(rest[0]), Model(model.trials[: max(rest[0], 0)])))
    for trace, model in made:
        agree(trace, model)
        assert trace.fingerprint() == _built(model.trials).fingerprint()


def _built(trials):
    trace = Trace(LOSS)
    for item in trials:
        trace = trace + item
    return trace


def test_trials_are_numbered_in_order():
    with pytest.raises(ValueError, match="cannot follow 0 trials"):
        Trace(LOSS) + trial(1)


def test_a_crash_was_measured_and_a_failure_of_the_machine_was_not():
    trace = _built([trial(0, 1.0), trial(1, 2.0, status=Status.EXIT), trial(2, 3.0, status=Status.INFRASTRUCTURE),
                    trial(3, 0.0, status=Status.PRUNED)])  # fmt: skip
    assert trace.of(Candidate({"x": 2.0}).id).number == 1
    assert trace.of(Candidate({"x": 3.0}).id) is None
    assert trace.of(Candidate({"x": 0.0}).id) is None


def test_the_incumbent_follows_the_direction():
    trace = Trace(Objective("accuracy", minimize=False))
    for number, value in enumerate([1.0, 3.0, 2.0, 3.0]):
        trace = trace + trial(number, value)
    assert trace.incumbent.number == 1
    assert trace.since_improvement() == 2


def test_where_scores_are_gains_the_incumbent_is_the_last_one_kept():
    trace = Trace(Objective("gain", minimize=False, relative=True))
    for number, (value, keep) in enumerate([(5.0, True), (1.0, True), (3.0, False)]):
        trace = trace + trial(number, value, keep)
    assert trace.incumbent.number == 1


def test_the_fingerprint_ignores_costs_and_logs_and_nothing_that_matters():
    base = _built([trial(0, 1.0)])
    assert base.fingerprint() == _built([trial(0, 1.0)]).fingerprint()
    assert base.fingerprint() != _built([trial(0, 1.0, keep=True)]).fingerprint()
    assert base.fingerprint() != _built([trial(0, 2.0)]).fingerprint()


def stale(number, parent, value, keep, sees):
    """A trial of a search with workers: its parent may not be where the search stands."""
    return replace(trial(number, value, keep, parent=parent, name=float(number)), moved=False, sees=sees)


def test_with_workers_a_trial_from_a_parent_left_behind_moves_the_search_only_if_it_is_better():
    start = Candidate({"x": 0.0})
    trace = Trace(LOSS) + trial(0, 5.0, True, name=0.0) + stale(1, start, 4.0, True, 1)
    here = trace.current
    assert (trace + stale(2, start, 4.5, True, 1)).current == here
    assert (trace + stale(2, start, 6.0, False, 1)).current == here
    assert (trace + stale(2, start, 3.0, True, 1)).current == Candidate({"x": 2.0})


def test_with_workers_a_trial_asked_before_a_restart_does_not_undo_it():
    start = Candidate({"x": 0.0})
    trace = Trace(LOSS) + trial(0, 5.0, True, name=0.0) + stale(1, start, 1.0, True, 1)
    moved = trace + replace(trial(2, 9.0, False, parent=start, name=2.0), sees=2)
    assert moved.current == start
    late = replace(trial(3, 0.5, True, parent=Candidate({"x": 1.0}), name=3.0), moved=False, sees=2)
    assert (moved + late).current == start
    assert (moved + late).incumbent.number == 3
