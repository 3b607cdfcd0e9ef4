"""Guidance says where to look; the values are the researcher's, unless a line says that it is a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.loop import LoopSpec
from bilevel.nesting import nest
from bilevel.objective import Objective
from bilevel.researchers import make
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable
from bilevel.tasks.function import FunctionTask

SPACE = Space({
    "DEPTH": Int(1, 16), "LR": Float(1e-4, 1.0, log=True), "TOTAL_BATCH": Int(2**10, 2**20, power_of_two=True),
    "x0": Float(0.0, 1.0), "SHAPE": Choice(("flat", "round", "L")), "HEADS": Choice((2, 4, 8)), "BIAS": Bool(),
    "BETAS": Choice(((0.9, 0.95), (0.8, 0.9))), "cycles": Int(1, 9),
})  # fmt: skip
START = Candidate({
    "DEPTH": 4, "LR": 0.01, "TOTAL_BATCH": 2**14, "x0": 0.5, "SHAPE": "flat", "HEADS": 4, "BIAS": True,
    "BETAS": (0.9, 0.95), "cycles": 1,
})  # fmt: skip
GIVES_A_VALUE = [
    "set DEPTH to 8",
    "LR=0.04",
    "LR: 4e-2",
    "use 2**19 for TOTAL_BATCH",
    "use 2^15 as the total batch",
    "a total batch of 32k is right",
    "TOTAL_BATCH should be 524,288",
    "- DEPTH 8 and LR 0.02",
    "1. DEPTH 8",
    "Depth of 12 was best in trial 7",
    "after 3 trials set DEPTH to 8",
    "keep DEPTH at least 6",
    "LR between 0.01 and 0.04",
    "x0 near .25",
    "| DEPTH | 8 |",
    "DEPTH was 2x better at 8",
    "SHAPE round",
    "try 'round' for SHAPE",
    "make the shape flat",
    'SHAPE = "L"',
    "SHAPE=L",
    "HEADS 8",
    "BIAS = False",
    "turn BIAS off",
    "disable BIAS",
    "set bias to no",
    "BETAS (0.8, 0.9)",
    "cycles 3",
    "my hint: DEPTH 8",
    "we hint: set DEPTH to 8",
]
IS_FINE = [
    "",
    "try larger DEPTH",
    "DEPTH and LR interact",
    "DEPTH was changed in trial 12 and again in trials 14, 15 and 17",
    "trials 3-9 show that a larger DEPTH fails",
    "leave DEPTH alone for 3 trials",
    "DEPTH: 5 changes in a row not kept",
    "change DEPTH at most 2 times",
    "3 of the 12 trials changed x0",
    "50% of the trials changed DEPTH",
    "DEPTH was kept in 2 of 7 trials",
    "LR was tried 5 times, kept 2.",
    "the last 5 discarded LR",
    "raise LR by a factor of 2",
    "raise LR by about 10%",
    "halve TOTAL_BATCH, or go 4x up",
    "smaller LR gained 0.003 (n=3)",
    "DEPTH up was better by 0.02, noise 0.007",
    "1. DEPTH first, then LR",
    "2) go on with x0",
    "x0 matters more than LR",
    "never changed so far: DEPTH, LR, TOTAL_BATCH",
    "the score was 0.93 at the start; stop at 0.9",
    "hint: set DEPTH to 8",
    "- Hint: LR = 0.04",
    "  * **HINT**: turn BIAS off",
    "the SHAPE has never been changed",
    "try a different SHAPE, a flatter one",
    "try BIAS both ways",
    "HEADS in 3 trials: nothing kept",
    "level 1.5 froze DEPTH",
]
SPEC = LoopSpec(
    "inner", FunctionTask("a", lambda params, seed: 0.0, SPACE, START, Objective("loss"), "a brief"), make("random")
)


def problems(text, before=""):
    surface = SettingsSurface()
    parent = Candidate(surface.read(SPEC).params, {"guidance.md": before})
    return surface.problems(SPEC, Candidate(parent.params, {"guidance.md": text}), parent)


@pytest.mark.parametrize("line", GIVES_A_VALUE)
def test_a_line_that_gives_a_value_is_refused(line):
    (problem,) = problems(f"Explore more.\n{line}\n")
    assert problem.startswith("line 2 of guidance.md gives a value for ") and "hint:" in problem
    assert line.strip() in problem.replace("\\'", "'")


@pytest.mark.parametrize("line", IS_FINE)
def test_a_line_about_direction_or_history_is_fine(line):
    assert problems(line) == []


def test_each_such_line_is_named_with_its_parameters():
    found = problems("DEPTH 8, LR 0.1\nfine\nHEADS: 2")
    assert len(found) == 2 and "line 1" in found[0] and "DEPTH, LR" in found[0] and "line 3" in found[1]


def test_lines_that_stood_there_before_are_left_alone():
    assert problems("set DEPTH to 8\nlook at LR", before="set DEPTH to 8") == []
    assert len(problems("set DEPTH to 9\nlook at LR", before="set DEPTH to 8")) == 1


def test_the_rule_holds_for_the_parameters_of_a_loop_that_is_itself_a_task():
    outer = nest(SPEC, MechanismSurface(admit_loadable), make("random"), name="outer", trials=2, cycles=2)
    start = SettingsSurface().read(outer)
    guided = Candidate(start.params, {"guidance.md": "domain tabu, 3 hooks, order"})
    assert SettingsSurface().problems(outer, guided, start) == []  # derived values cannot be set by anybody


WORDS = ["DEPTH", "LR", "SHAPE", "BETAS", "BIAS", "8", "2**19", "1e400", "9" * 5000, "2**" + "9" * 5000, "hint:",
         "trials", "3,", "of", "round", "(0.8,", "=", "**", "-", "\n", "\u2028", "to", "off"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=40))
def test_whatever_is_written_the_rule_answers_and_a_hint_may_say_anything(text):
    assert all("gives a value for" in problem for problem in problems(text))
    assert problems("".join(f"hint: {line}\n" for line in text.splitlines())) == []


def test_a_picker_is_a_setting_like_the_others():
    surface, start = SettingsSurface(), SettingsSurface().read(SPEC)
    assert start.params["picker"] == "first"
    assert surface.write(SPEC, start.with_params(picker="novelty")).settings.picker == "novelty"
    assert "picker" in surface.space(SPEC).problems(start.with_params(picker="best"), start)[0]
