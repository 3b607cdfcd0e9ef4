"""When it may be said that level 2 helps."""

from types import SimpleNamespace

import pytest

from bilevel.compare.claims import claims_of, level_two
from bilevel.compare.plan import Wishes, make
from bilevel.compare.resampling import Estimate

ALL = ("a", "d", "restart", "static", "shuffle")


def claim(arms, effects, incomplete=()):
    """The claim of arm d where its differences from the controls are these, as (value, corrected p)."""
    plan = make(Wishes(arms=arms, tasks=("sphere",), budget=15))

    def compared(pairs):
        return [
            SimpleNamespace(
                other=other, difference=Estimate(effects[other][0], None, None), corrected=effects[other][1]
            )
            for _, other in pairs
        ]

    (found,) = claims_of(plan, compared, set(incomplete))
    return found


BETTER = {"restart": (0.2, 0.01), "static": (0.1, 0.03), "shuffle": (0.1, 0.04)}


def test_it_may_be_said_where_all_three_controls_are_beaten():
    found = claim(ALL, BETTER)
    assert found.allowed and "level 2 helped here" in found.text and "restart, static and shuffle" in found.text


@pytest.mark.parametrize("control", ["restart", "static", "shuffle"])
@pytest.mark.parametrize("effect", [(-0.1, 0.01), (0.1, 0.06), (None, None)])
def test_one_control_that_is_not_beaten_forbids_it(control, effect):
    found = claim(ALL, {**BETTER, control: effect})
    assert not found.allowed and found.unbeaten == (control,) and f"does not beat {control}" in found.text


@pytest.mark.parametrize("control", ["restart", "static", "shuffle"])
def test_one_control_that_is_not_there_forbids_it(control):
    found = claim([arm for arm in ALL if arm != control], BETTER)
    assert not found.allowed and found.absent == (control,) and f"{control} is not in this comparison" in found.text


def test_missing_runs_forbid_it():
    assert not claim(ALL, BETTER, incomplete=["static"]).allowed
    assert claim(ALL, BETTER, incomplete=["a"]).allowed


def test_the_controls_themselves_are_no_arms_with_level_2():
    plan = make(Wishes(arms=("a", "b", "c", "d", "shuffle", "placebo", "restart", "static"), tasks=("sphere",)))
    assert [arm for arm, recipe in plan.arms.items() if level_two(recipe)] == ["c", "d"]
