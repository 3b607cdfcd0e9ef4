"""Researchers without a language model: deterministic, within the space, and each with its habit."""

import importlib
from collections import Counter
from itertools import pairwise

import pytest

from bilevel.budget import Budget
from bilevel.errors import InputError, MissingExtra
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.researchers import catalog, make
from bilevel.researchers.scripted import Scripted
from bilevel.settings import Settings
from bilevel.tasks.sphere import sphere
from bilevel.testing import check_researcher
from bilevel.trial import Status
from bilevel.view import Briefing

LEVEL_1 = ("bayesian", "coordinate", "random", "stuck", "optuna")
TASK = sphere(dimensions=3, noise=0.0, crash=False)


def loop(researcher, trials=12, settings=None, seed=5) -> Loop:
    spec = LoopSpec("inner", TASK, researcher, settings=settings or Settings(), budget=Budget(trials=trials), seed=seed)
    return Loop(spec, Lab())


def asked(researcher, after: Loop, settings=None, attempt=0):
    """What a researcher proposes after the trials of a loop."""
    on = loop(researcher, settings=settings)
    view = on.view(len(after.trace), after.trace)
    parent = after.trace.current or TASK.baseline()
    return view, parent, list(researcher.propose(view, parent, Briefing(attempt=attempt)))


def ran(trials: int) -> Loop:
    done = loop(make("random"), trials)
    done.run()
    return done


@pytest.mark.parametrize("name", LEVEL_1)
def test_a_researcher_conforms(name):
    assert check_researcher(make(name), TASK) == []


@pytest.mark.parametrize("name", LEVEL_1)
@pytest.mark.parametrize("strategy", ["balanced", "explore", "exploit"])
def test_equal_views_give_equal_proposals_that_fit_the_space(name, strategy):
    done = ran(15)
    settings = Settings(
        strategy=strategy, drafts=3, frozen={} if name == "stuck" else {"x0": "settled", "shape": "settled"}
    )
    view, parent, first = asked(make(name), done, settings)
    assert first and first == asked(make(name), done, settings)[2]
    for proposal in first:
        assert view.space.problems(proposal.candidate, parent) == []
        assert proposal.author == name and proposal.why


@pytest.mark.parametrize("name", ["bayesian", "coordinate", "random", "optuna"])
def test_as_many_different_drafts_as_asked_for(name):
    drafts = asked(make(name), ran(5), Settings(drafts=4))[2]
    assert len({proposal.candidate.id for proposal in drafts}) == 4


@pytest.mark.parametrize("name", ["bayesian", "coordinate", "random", "optuna"])
def test_caps_are_kept(name):
    done = ran(15)
    view = loop(make(name)).view(16, done.trace)
    parent, space = done.trace.current, view.space
    for parameter in ("x0", "x1", "x2", "depth"):
        space = space.cap(parameter, 0.1)
    capped = make(name).propose(type(view)(**{**vars(view), "space": space}), parent, Briefing())
    assert capped
    for proposal in capped:
        assert space.problems(proposal.candidate, parent) == []


def test_coordinate_goes_through_the_parameters_and_never_repeats():
    trace = loop(make("coordinate"), 60).run()
    assert all(len(trial.changes) == 1 for trial in trace[1:40])
    assert len({trial.candidate.id for trial in trace}) == 61
    assert not any(trial.turned_back for trial in trace)
    assert trace.incumbent.score < 0.6 * trace.baseline.score
    assert len({name for trial in trace for name in trial.changes}) == len(TASK.space.active)


def test_coordinate_steps_far_to_explore_and_short_to_exploit():
    step = {}
    for strategy in ("explore", "balanced", "exploit"):
        view, _, drafts = asked(make("coordinate"), ran(0), Settings(strategy=strategy))
        (changed,) = drafts[0].candidate.changes_from(TASK.baseline()).items()
        step[strategy] = view.space.step(changed[0], changed[1].old, changed[1].new)
    assert step["explore"] > step["balanced"] > step["exploit"]


def test_random_changes_few_parameters_all_of_them_or_one_nearby():
    done, active = ran(0), TASK.space.active
    counts = {
        strategy: [
            len(p.candidate.changes_from(TASK.baseline()))
            for p in asked(make("random"), done, Settings(strategy=strategy, drafts=8))[2]
        ]
        for strategy in ("balanced", "explore", "exploit")
    }
    assert max(counts["balanced"]) <= 3 and max(counts["exploit"]) <= 1
    assert min(counts["explore"]) >= len(active) - 4


def test_stuck_repeats_a_few_favourites_in_long_streaks_whatever_was_tried():
    researcher, distinct, longest, batches = make("stuck"), [], [], 0
    for seed in range(8):
        on = loop(researcher, seed=seed)
        start = TASK.baseline()
        views = [on.view(number, on.trace) for number in range(1, 41)]
        ids = [researcher.propose(view, start, Briefing())[0].candidate.id for view in views]
        distinct.append(len(set(ids)))
        streak = best = 1
        for a, b in pairwise(ids):
            streak = streak + 1 if a == b else 1
            best = max(best, streak)
        longest.append(best)
        changed = Counter(
            name
            for view in views
            for name in researcher.propose(view, start, Briefing())[0].candidate.changes_from(start)
        )
        batches += changed["batch"]
    assert all(5 <= count <= 14 for count in distinct)
    assert max(longest) >= 8
    assert batches > 0.2 * 8 * 40


def test_stuck_is_held_up_by_the_host_which_does_not_run_a_candidate_twice():
    trace = loop(make("stuck"), 40).run()
    refused = [trial for trial in trace if trial.status is Status.REFUSED]
    assert len(refused) > 10
    assert "already measured" in refused[0].reason
    assert "imitation" in next(listed.title for listed in catalog() if listed.name == "stuck")


def test_stuck_ignores_freezes_and_sometimes_moves_on_when_turned_back():
    frozen = Settings(frozen=dict.fromkeys(TASK.space.active, "a test"))
    assert asked(make("stuck"), ran(0), frozen)[2]
    seen = {asked(make("stuck"), ran(0), attempt=attempt)[2][0].candidate.id for attempt in range(8)}
    assert 2 <= len(seen) < 8


def test_optuna_learns_from_the_trace():
    best = {name: loop(make(name), 60, seed=2).run().incumbent.score for name in ("optuna", "stuck")}
    assert best["optuna"] < best["stuck"]


def test_optuna_that_is_not_installed_is_named_with_the_way_to_install_it(monkeypatch):
    module = importlib.import_module("bilevel.researchers.optuna")
    researcher, view = make("optuna"), loop(make("random")).view(1, ran(0).trace)

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=r"bilevel\[optuna\]"):
        researcher.propose(view, TASK.baseline(), Briefing())


def test_scripted_replays_its_replies_and_ends():
    replies = ({"depth": 3}, [{"depth": 4}, {"depth": 5}], TASK.baseline().with_params(depth=6))
    trace = loop(Scripted(replies), 4).run()
    assert [trial.candidate.params["depth"] for trial in trace][1:4] == [3, 4, 6]
    assert trace[4].status is Status.REFUSED and "had nothing to propose" in trace[4].reason
    with pytest.raises(InputError, match="3 replies and was asked for number 4"):
        loop(Scripted(replies, strict=True), 4).run()


def test_the_catalogue_makes_what_it_lists_and_explains_what_it_does_not():
    assert {listed.level for listed in catalog()} == {"1", "1.5", "2"}
    assert [make(name).name for name in LEVEL_1] == list(LEVEL_1)
    assert make("stuck", streak=3).streak == 3
    with pytest.raises(InputError, match="no researcher 'stock'; there are: coordinate"):
        make("stock")
    with pytest.raises(InputError, match="streek"):
        make("stuck", streek=3)
