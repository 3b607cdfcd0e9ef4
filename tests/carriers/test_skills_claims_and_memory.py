"""What skills, claims and memory rules mean, on traces that are made up."""

from dataclasses import replace

import pytest
from tiny import START, TinyTask, spec_of

from bilevel.carrying import carrier_of
from bilevel.errors import InputError
from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.researchers.claimed import read_claim, standing
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.researchers.remembering import read_memory
from bilevel.researchers.scripted import Scripted
from bilevel.researchers.skills import read_skill
from bilevel.researchers.workflow import Workflow
from bilevel.shelf.shelves import find, shipped_texts
from bilevel.trial import Lesson

SPACE = TinyTask().space
SPEC_OF = {
    **dict.fromkeys(("prompt", "skill", "memory"), ModelResearcher()),
    "workflow": Workflow(),
    "step": Workflow(),
}


def searched(*changes):
    """The search after some trials: each a change of where it stood then; the tiny loss has no noise."""
    spec = replace(spec_of(TinyTask()), researcher=Scripted(changes), keep=None, noise=None)
    loop = Loop(spec, Lab())
    for _ in range(len(changes) + 1):
        loop.step()
    return loop


def stands(text, *changes):
    return standing(read_claim(text, SPACE), searched(*changes).trace)


BETTER, WORSE = {"shift": 2.0}, {"shift": 3.0}  # the start has 2.5, the best is at -0.5


@pytest.mark.parametrize(
    ("text", "changes", "holds", "against"),
    [
        ("smaller shift is better", [BETTER, {"rate": 0.5}], (1,), ()),
        ("larger shift is better", [BETTER, {"rate": 0.5}], (), (1,)),
        ("smaller shift is better", [WORSE], (1,), ()),
        ("larger shift is better in [-2, 1]", [BETTER], (), ()),
        ("larger shift is better in [1, 2.5]", [BETTER, WORSE], (), (1,)),
        ("larger shift is better", [{"shift": 2.0, "rate": 0.5}], (), ()),  # of two changes none can be told
        ("edition does not matter", [BETTER], (), ()),
        ("shift does not matter", [BETTER], (), (1,)),
        ("best shift is in [0, 1]", [{"shift": 0.5}, {"shift": 2.9}], (1, 2), ()),
        ("best shift is in [2.2, 3]", [{"shift": 0.5}], (), (1,)),
        ("shift and rate interact", [{"shift": 3.0}, {"rate": 1.0}, {"shift": 3.0, "rate": 1.0}], (), (3,)),
        ("shift and rate interact", [{"shift": 3.0}, {"shift": 3.0, "rate": 1.0}], (), ()),
    ],
)
def test_a_claim_stands_as_the_trials_say(text, changes, holds, against):
    found = stands(text, *changes)
    assert (found.holds, found.against) == (holds, against)
    assert found.contradicted == bool(against)
    assert ("CONTRADICTED" in found.sentence) == bool(against)
    assert ("not tested yet" in found.sentence) == (not holds and not against)


def test_gains_within_the_noise_say_nothing_for_or_against_a_direction():
    spec = replace(spec_of(TinyTask(noise=3.0)), researcher=Scripted([BETTER]), keep=None, noise=None)
    loop = Loop(spec, Lab())
    loop.step()
    loop.step()
    assert standing(read_claim("larger shift is better", SPACE), loop.trace).against == ()
    assert standing(read_claim("shift does not matter", SPACE), loop.trace).holds == (1,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shift is important", "cannot be checked by code"),
        ("larger width is better", "no parameter"),
        ("larger shape is better", "needs a parameter that is a number"),
        ("larger shift is better in [2, 1]", "in no range"),
        ("shift and shift interact", "two parameters"),
    ],
)
def test_a_claim_that_cannot_be_checked_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        read_claim(text, SPACE)


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ("always", True), ("trials >= 3", True), ("trials > 3", False), ("stuck >= 2", True), ("stuck >= 3", False),
        ("failed >= 1", True), ("failed >= 2", False), ("refused < 1", True), ("free rate", True),
        ("free edition", False), ("stuck >= 1 and trials < 3", False),
    ],
)  # fmt: skip
def test_a_skill_is_retrieved_where_its_conditions_hold(when, fits):
    loop = searched(BETTER, {"depth": 12}, WORSE)
    view = loop.view(4, loop.trace)
    skill = read_skill(Guest("skill:mine", f"---\nwhen: {when}\n---\nLook."), SPACE)
    assert skill.fits(view) == fits
    used = ModelResearcher().carrying([Guest("skill:mine", f"---\nwhen: {when}\n---\nLook.")]).used(view, START, None)
    assert used == (frozenset({"skill:mine"}) if fits else frozenset())


LESSONS = (
    Lesson("works", "rate was lowered", "lower rate", 0.9, (1,)),
    Lesson("fails", "depth failed", "leave depth alone", 0.4, (2,)),
    Lesson("method", "go slowly", "small steps", 0.7, (3,)),
    Lesson("works", "shift was lowered", "lower shift", 0.6, ()),
)


@pytest.mark.parametrize(
    ("head", "left"),
    [
        ("confidence: 0.6", (0, 2, 3)), ("keep: works", (0, 3)), ("keep: works, fails", (0, 1, 3)), ("most: 2", (0, 2)),
        ("most: 2\nretrieve: recent", (2, 3)), ("newest: 2", (1, 2)), ("retrieve: free", (0, 1, 2, 3)),
    ],
)  # fmt: skip
def test_a_memory_rule_says_which_lessons_are_shown(head, left):
    loop = searched(BETTER, {"depth": 12}, WORSE)
    view = replace(loop.view(4, loop.trace), lessons=LESSONS)
    rule = read_memory(Guest("memory:mine", f"---\n{head}\n---\n"))
    assert rule.of(LESSONS, view) == tuple(LESSONS[n] for n in left)


def test_memory_rules_know_what_is_free_what_to_show_and_apply_one_after_the_other():
    loop = searched(BETTER)
    view = replace(loop.view(2, loop.trace), lessons=LESSONS, space=SPACE.freeze(["rate"], "test"))
    free = Guest("memory:free", "---\nretrieve: free\n---\n")
    sure = Guest("memory:sure", "---\nconfidence: 0.5\nshow: rule\n---\n")
    idle = Guest("memory:idle", "---\nmost: 50\n---\n")
    assert read_memory(free).of(LESSONS, view) == LESSONS[1:]
    researcher = ModelResearcher().carrying([free, sure, idle])
    assert researcher.used(view, START, None) == {"memory:free", "memory:sure"}
    assert [lesson.summary for lesson in researcher._carried.remembered(view)] == ["", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words alone", "has a head"), ("---\nkeep: luck\n---", "no kind 'luck'"), ("---\nmost: 0\n---", "most:"),
        ("---\nconfidence: 2\n---", "confidence:"), ("---\nshow: all\n---", "show:"), ("---\nmost: 2\n", "no end"),
        ("---\ncolour: red\n---", "its keys are: keep"), ("---\nmost:\n- 2\n- 3\n---", "takes one value"),
        ("x" * 7000, "at most 6,000 characters"),
        ("---\nmost: 2\nmost: 3\n---", "twice"), ("---\nmost: 2\n---\0", "NUL"),
    ],
)  # fmt: skip
def test_a_memory_rule_that_cannot_be_read_says_why(text, said):
    with pytest.raises(ValueError, match=said):
        read_memory(Guest("memory:mine", text))


def test_the_mark_of_an_encoding_is_no_part_of_a_text():
    assert read_memory(Guest("memory:mine", "\ufeff---\r\nmost: 2\r\n---\r\n")).most == 2


@pytest.mark.parametrize("name", ["Mine", "my own", "a-b", "m" * 41])
def test_a_file_whose_name_no_text_can_have_is_refused_before_anything_runs(tmp_path, name):
    (tmp_path / f"{name}.skill.md").write_text("---\nwhen: always\n---\nLook.\n")
    with pytest.raises(InputError, match="is no name of a text; rename the file"):
        find(str(tmp_path / f"{name}.skill.md"))


@pytest.mark.parametrize("name", sorted(shipped_texts()))
def test_shipped_texts_can_be_used(name):
    text = Guest(name, shipped_texts()[name].source)
    assert SPEC_OF[carrier_of(name)].refusal(text, SPACE) is None
    assert find(name).title and find(name).domain == carrier_of(name)
