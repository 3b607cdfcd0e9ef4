"""The host's own guards, left out one by one, and the published protocol."""

import pytest

from bilevel.compare.notes import _without as without
from bilevel.guards import Guards
from bilevel.lab import Lab
from bilevel.levels import leaf
from bilevel.loop import Loop
from bilevel.overriding import override
from bilevel.recipe import find
from bilevel.researchers.history import Teller
from bilevel.tasks.catalog import find as find_task
from bilevel.trial import Status
from bilevel.wiring import build


def searched(name, trials=12, **options):
    """The innermost trials of a recipe on a quiet sphere, researched by rules."""
    recipe = override(find(name), task="sphere", trials=trials, **options)
    lab = Lab()
    loop = Loop(build(recipe), lab)
    loop.run()
    return loop, lab


def test_without_the_duplicate_check_a_repeat_takes_a_trial_is_charged_and_has_the_same_score():
    loop, _ = searched("no-check", researcher="stuck", trials=20)
    repeated = [trial for trial in loop.trace if loop.trace.of(trial.candidate.id).number != trial.number]
    assert repeated and all(trial.runs and trial.cost.evaluations == 1 for trial in repeated)
    for trial in repeated:
        assert trial.runs[0].metrics == loop.trace.of(trial.candidate.id).runs[0].metrics
    checked, _ = searched("a", researcher="stuck", trials=20)
    ran = [trial.candidate.id for trial in checked.trace if trial.runs]
    assert len(set(ran)) == len(ran)


def test_without_redrafts_what_is_turned_back_costs_the_trial():
    loop, _ = searched("no-redraft", researcher="stuck", trials=20)
    assert any(trial.status is Status.REFUSED and len(trial.turned_back) == 1 for trial in loop.trace)
    assert all(len(trial.turned_back) <= 1 for trial in loop.trace)


def test_without_a_briefing_a_researcher_knows_neither_earlier_trials_nor_what_was_turned_back():
    loop, _ = searched("no-briefing")
    back = [trial for trial in loop.trace if trial.turned_back]
    assert back and all(len({one.candidate for one in trial.turned_back}) == 1 for trial in back)  # it insists
    told, _ = searched("a")
    assert not any(trial.turned_back for trial in told.trace)


def test_prose_tells_a_model_words_and_outcomes_without_typed_changes_and_rules_nothing():
    loop, _ = searched("a", trials=3)
    trial = loop.trace[1]
    typed, prose = (Teller(loop.trace, "coordinate", {}, prose).line(trial) for prose in (False, True))
    (name,) = trial.changes
    assert f"{name}: " in typed and "from #0" in typed
    assert "from #0" not in prose and "coordinate search" in prose and f"{trial.score:.6g}" in prose
    assert build(find("paper-a")).guards == Guards(duplicate_check=False, history=False)
    model = override(find("paper-a"), models=("test:any",))
    assert build(model).guards.history and build(model).researcher.prose
    assert not build(override(find("a"), models=("test:any",))).researcher.prose


def test_by_the_published_protocol_each_cycle_begins_anew_and_no_mechanism_is_called():
    recipe = override(find("paper-c"), task="sphere", researcher="stuck", trials=15)
    lab = Lab()
    loop = Loop(build(recipe), lab)
    loop.run()
    inner = [branch for branch in lab.store.branches() if branch.level == "inner"]
    assert len(inner) == 3 and [branch.at for branch in inner] == [0, 1, 1]
    traces = [lab.traces.trace(branch.id, find_task("sphere").objective) for branch in inner]
    assert [len(trace) for trace in traces] == [6, 6, 6]
    assert all(trace[1].parent == trace[0].candidate for trace in traces)
    assert len({tuple(trial.candidate.id for trial in trace) for trace in traces}) == 3  # not the same five again
    later = traces[-1][1]
    assert later.ledger and all(hooks == {} for hooks in later.ledger.values())
    assert not any(trial.decision.keep for trial in loop.trace[1:])  # never called, never credited
    assert sum(trial.cost.evaluations for trial in loop.trace) == 15 + leaf(loop.spec).calibration


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a", []),
        ("no-check", ["no duplicate check"]),
        ("no-redraft", ["no redrafts"]),
        ("no-briefing", ["no history, not told what was turned back"]),
        ("paper-c", ["history in prose only", "never called"]),
    ],
)
def test_a_comparison_says_what_an_arm_does_without(name, said):
    found = list(without(find(name).model_dump(mode="json")))
    assert len(found) == len(said) and all(part in text for part, text in zip(said, found, strict=True))
    assert all("credited to no mechanism" in text or "never called" in text for text in found)


def test_only_a_level_right_above_the_innermost_loop_can_begin_anew_and_none_that_waits():
    upper, waiting = find("c").model_dump(), find("default").model_dump()
    upper["outer"][-1]["wipe"] = True
    with pytest.raises(Exception, match="only a level right above the innermost loop can begin anew"):
        build(type(find("c")).model_validate(upper))
    waiting["outer"] = [
        {**waiting["outer"][-1], "level": "mechanisms", "start": "fork", "stuck_after": 3, "wipe": True}
    ]
    with pytest.raises(Exception, match="wipe and stuck_after"):
        build(type(find("c")).model_validate(waiting))
