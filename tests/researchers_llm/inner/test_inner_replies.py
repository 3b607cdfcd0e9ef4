"""What becomes of the level-1 model's answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inner_cases import (
    FILE_START,
    SOURCE,
    SPACE,
    START,
    Model,
    begun,
    block,
    draft,
    edits,
    file_view,
    propose,
    propose_files,
    values,
    view_of,
)

from bilevel.codec import canonical
from bilevel.errors import UnusableReply
from bilevel.researcher import Learner, Researcher
from bilevel.researchers.drafts import split_drafts
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.settings import Settings
from bilevel.space import Candidate
from bilevel.tasks.catalog import find
from bilevel.trial import TurnedBack
from bilevel.view import Briefing

GOOD = values(draft(depth=6))
CODE = block("    return x + WIDTH", "    return x - WIDTH")
CHANGED = SOURCE.replace("x + WIDTH", "x - WIDTH")


def params(answer, space=SPACE, parent=START, settings=None):
    """What changed, per proposal."""
    proposals = propose(view_of(Model(answer), space=space, settings=settings or Settings(drafts=9)), parent=parent)
    return [{name: change.new for name, change in p.candidate.changes_from(parent).items()} for p in proposals]


def objection_to(answer, space=SPACE, good=GOOD):
    """What the model is told about an answer that cannot be used."""
    model = Model(answer, good)
    propose(view_of(model, space=space, settings=Settings(drafts=9)))
    return model.objection


def file_objection(answer, **options):
    model = Model(answer, edits(WIDTH=8))
    propose_files(file_view(model), **options)
    return model.objection


def test_it_is_a_researcher_and_a_learner():
    made = ModelResearcher()
    assert isinstance(made, Researcher) and isinstance(made, Learner)
    assert (made.name, made.reads_advice, made.free) == ("llm", True, False)


# ---- parameters ----


def test_a_proposal_has_its_reason_author_and_prediction():
    (proposal,) = propose(view_of(Model(values(draft("deeper is better", 0.05, depth=6)))))
    assert proposal.candidate == START.with_params(depth=6)
    assert (proposal.why, proposal.author, dict(proposal.notes)) == (
        "deeper is better",
        "llm",
        {"predicted_gain": 0.05},
    )


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(draft(depth=6)),
        f"I think so:\n```json\n{GOOD}\n```",
        '{"drafts": [{"changes": {"depth": 6}}]}',
        '{"drafts": [{"why": null, "predicted_gain": "a lot", "changes": {"depth": "2 * 3"}}]}',
        '{"drafts": [{"why": "x", "predicted_gain": 1e999, "changes": {"depth": 6.0, "rate": 0.1, "bias": "false"}}]}',
    ],
)
def test_small_deviations_from_the_format_do_no_harm(answer):
    assert params(answer) == [{"depth": 6}]


def test_values_are_typed_by_their_domains():
    answer = values(draft(rate=1, batch="2**9", pair=[0.9, 0.95], bias="true", shape="round", depth=5))
    assert params(answer) == [
        {"rate": 1.0, "batch": 512, "pair": (0.9, 0.95), "bias": True, "shape": "round", "depth": 5}
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dpeth": 6}, "dpeth: there is no such parameter; the parameters are: rate, batch, shape, pair, bias"),
        ({"edition": 2}, "edition: is locked by the task and stays 1"),
        ({"depth": 6}, "depth: is frozen by settings (too deep) and stays 4"),
        ({"rate": 7}, "rate: 7.0 is outside [0.0001, 1]"),
        ({"batch": 100}, "batch: 100 is not a power of two"),
        ({"batch": "many"}, "batch: needs a number, not 'many': only constants"),
        ({"shape": "square"}, "shape: 'square' is not one of"),
        ({"rate": 0.9}, "is more than the cap of 0.1"),
        ({"rate": 7, "batch": 100}, "rate: 7.0 is outside [0.0001, 1]; batch: 100 is not"),
        ({}, "it changes nothing"),
        ({"rate": 0.1, "shape": "flat"}, "it changes nothing"),
    ],
)
def test_changes_that_may_not_be_are_refused_with_the_reason(changes, told):
    space = SPACE.freeze(["depth"], "settings (too deep)").cap("rate", 0.1)
    assert told in objection_to(values(draft(**changes)), space, good=values(draft(bias=True)))


def test_what_is_fixed_may_be_repeated_as_it_is():
    assert params(values(draft(edition=1, depth=6))) == [{"depth": 6}]


def test_valid_drafts_are_kept_where_others_are_not():
    answer = values(
        draft(depth=99), draft("first", depth=6), draft("again", depth="6"), draft(), draft("second", depth=7)
    )
    model = Model(answer)
    proposals = propose(view_of(model, settings=Settings(drafts=5)))
    assert [p.why for p in proposals] == ["first", "second"] and len(model.requests) == 1
    assert proposals[0].notes["left_out"] == [
        "draft 1: depth: 99 is outside [1, 12]", "draft 3: it is the same as draft 2", "draft 4: it changes nothing",
    ]  # fmt: skip
    canonical(proposals[0])


def test_the_model_hears_of_all_drafts_where_none_is_valid():
    told = objection_to(values(draft(depth=99), draft()))
    assert "draft 1: depth: 99 is outside [1, 12]\ndraft 2: it changes nothing" in told


def test_no_more_drafts_than_wanted():
    answer = values(draft(depth=5), draft(depth=6), draft(depth=7))
    assert len(params(answer, settings=Settings(drafts=2))) == 2
    assert params(answer, settings=Settings(drafts=1)) == [{"depth": 5}]


def test_an_answer_that_stays_unusable_is_raised():
    model = Model("no", "no", "no")
    with pytest.raises(UnusableReply, match="propose: "):
        propose(view_of(model))
    assert model.purposes == ["propose", "propose/re-ask 1", "propose/re-ask 2"]


def test_each_attempt_has_a_purpose_of_its_own():
    model = Model(GOOD)
    propose(view_of(model), Briefing(attempt=1, turned_back=(TurnedBack("x", "already measured"),)))
    assert model.purposes == ["propose/attempt 1"]


@given(st.dictionaries(st.sampled_from([*SPACE.domains, "other"]), st.integers() | st.floats() | st.text() | st.none()))
def test_whatever_is_proposed_the_host_would_admit(changes):
    """Any values at all: a proposal that comes out is one without problems, and can be stored."""
    model = Model(json.dumps({"drafts": [{"why": "\ud800", "changes": changes}]}), GOOD)
    try:
        proposals = propose(view_of(model))
    except UnusableReply:
        return
    for proposal in proposals:
        assert not SPACE.problems(proposal.candidate, START) and proposal.candidate != START
        canonical(proposal).encode("utf-8")


# ---- files ----


def test_an_edit_and_changes_make_one_candidate():
    (proposal,) = propose_files(file_view(Model(edits(CODE, why="minus", gain=0.2, WIDTH=32))))
    assert proposal.candidate == Candidate({**FILE_START.params, "WIDTH": 32}, {"main.py": CHANGED})
    assert (proposal.why, proposal.notes["predicted_gain"]) == ("minus", 0.2)


def test_parameters_alone_are_a_draft_too():
    (proposal,) = propose_files(file_view(Model(edits(WIDTH=32))))
    assert proposal.candidate == FILE_START.with_params(WIDTH=32)


def test_edits_alone_are_a_draft_too():
    (proposal,) = propose_files(file_view(Model(f"I would do this:\n\n{CODE}")))
    assert proposal.candidate.files == {"main.py": CHANGED} and proposal.why == ""


@pytest.mark.parametrize(
    "answer",
    [
        "\n".join([edits(CODE, why="one"), edits(why="two", WIDTH=8), edits(CODE, why="three", WIDTH=8)]),
        "\n".join(
            ["# Draft 1", edits(CODE, why="one"), "## Draft 2:", edits(why="two", WIDTH=8), "**Draft 3**",
             "```json", json.dumps(draft("three", WIDTH=8), indent=2), "```", "And the edit:", "```python", CODE, "```"]
        ),
        values(draft("one"), draft("two", WIDTH=8), draft("three", WIDTH=8)).replace("{}", '{"WIDTH": 4}'),
    ],
)  # fmt: skip
def test_each_json_object_begins_a_draft(answer):
    model = Model(answer)
    proposals = propose_files(file_view(model, settings=Settings(drafts=3)))
    assert [proposal.why for proposal in proposals[:2]] == ["one", "two"]
    if CODE in answer:
        assert [bool(proposal.candidate.files) for proposal in proposals] == [True, False, True]


def test_a_draft_with_one_bad_edit_is_left_out_and_the_others_stay():
    bad = edits(CODE, block("not there", "x"), why="bad")
    proposals = propose_files(file_view(Model("\n".join([bad, edits(CODE, why="good")])), settings=Settings(drafts=2)))
    assert [proposal.why for proposal in proposals] == ["good"]
    assert "draft 1: edit 2 (main.py): SEARCH matches 0 places" in proposals[0].notes["left_out"][0]


def test_edits_build_on_the_files_of_the_parent():
    parent = Candidate(FILE_START.params, {"main.py": CHANGED})
    answer = edits(block("    return first(x) * 2", "    return 1"))
    (proposal,) = propose_files(file_view(Model(answer)), parent=parent)
    assert proposal.candidate.files["main.py"] == CHANGED.replace("first(x) * 2", "1")


def test_a_file_that_is_as_at_the_start_again_is_no_part_of_the_candidate():
    parent = Candidate({**FILE_START.params, "WIDTH": 8}, {"main.py": CHANGED})
    back = edits(block("    return x - WIDTH", "    return x + WIDTH"))
    (proposal,) = propose_files(file_view(Model(back)), parent=parent)
    assert proposal.candidate == FILE_START.with_params(WIDTH=8)


def test_a_constant_edited_in_the_text_becomes_a_change_of_the_parameter():
    answer = edits(block("WIDTH = 2**4  # channels", "WIDTH = 24  # channels"), CODE)
    (proposal,) = propose_files(file_view(Model(answer)))
    assert proposal.candidate == Candidate({**FILE_START.params, "WIDTH": 24}, {"main.py": CHANGED})
    (proposal,) = propose_files(file_view(Model(edits(block("WIDTH = 2**4  # channels", "WIDTH = 24")))))
    assert proposal.candidate.params["WIDTH"] == 24


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (edits(block("CAP = 15.0", "CAP = 30.0")), "CAP is locked by the task and stays 15.0"),
        (edits(block("WIDTH = 2**4  # channels", "WIDTH = 99")), "WIDTH: 99 is outside [1, 64]"),
        (edits(block("    return x + WIDTH", "    return (x")), "main.py would not be valid Python: line 8"),
        (edits(block("x", "y", "other.py")), "this file may not be edited; those that may: main.py"),
        (edits("main.py\n<<<<<<< SEARCH\nx\n"), "no closing line"),
        (edits(block("    return x + WIDTH", "    return x + WIDTH")), "it changes nothing"),
        (edits(block("    return x + WIDTH", "    return '\0'")), "characters that are no text"),
        ('{"why": "x", "changes": {"WIDTH": 8}', "is not valid"),
        ("I do not know.", "the answer holds no draft"),
    ],
)
def test_what_is_wrong_with_edits_is_said(answer, told):
    assert told in file_objection(answer)


def test_a_whole_file_that_was_shown_may_be_replaced():
    answer = edits(f"FILE: main.py\n```python\n{CHANGED}```")
    (proposal,) = propose_files(file_view(Model(answer)))
    assert proposal.candidate.files == {"main.py": CHANGED}


def test_a_new_file_is_made_where_that_is_allowed():
    answer = edits("lib/a.py\n<<<<<<< SEARCH\n=======\nx = 1\n>>>>>>> REPLACE\n")
    (proposal,) = propose_files(file_view(Model(answer)), new_files=("lib/*.py",))
    assert proposal.candidate.files == {"lib/a.py": "x = 1\n"}
    broken = edits("lib/a.py\n<<<<<<< SEARCH\n=======\nx = = 1\n>>>>>>> REPLACE\n")
    assert "lib/a.py would not be valid Python" in file_objection(broken, new_files=("lib/*.py",))


def test_an_order_in_the_answers_of_programs_changes_nothing_that_code_decides():
    """A JSON object inside an edit is text of the file."""
    inside = block("    return x + WIDTH", '    return {"why": "x", "changes": {"WIDTH": 3}}')
    (proposal,) = propose_files(file_view(Model(edits(inside))))
    assert proposal.candidate.params["WIDTH"] == 16


@given(st.text("ab{}\"':,`\n#<=> draftwhychanges", max_size=200))
def test_any_text_can_be_split_into_drafts(text):
    split_drafts(text)


def test_real_tasks_admit_what_it_makes():
    table = find("gpt-table")
    view = view_of(Model(values(draft(DEPTH=5, ADAM_BETAS=[0.9, 0.95]))), begun(table.baseline()), table.space)
    (proposal,) = propose(view)
    assert table.problems(proposal.candidate, table.baseline()) == []
    gpt = find("gpt")
    text = (gpt.folder / "start" / "train.py").read_text("utf-8")
    up, out = "        self.up = nn.Linear(width, ", "        self.out = nn.Linear("
    answer = edits(
        block(f"{up}4 * width, bias=False)", f"{up}3 * width, bias=False)", "train.py"),
        block(f"{out}4 * width, width, bias=False)", f"{out}3 * width, width, bias=False)", "train.py"),
        block("MATRIX_LR = 0.04  # weight matrices (Muon)", "MATRIX_LR = 0.05", "train.py"),
        DEPTH=5,
    )
    view = view_of(Model(answer), begun(gpt.baseline()), gpt.space)
    (proposal,) = propose(view, files={"train.py": text})
    assert gpt.problems(proposal.candidate, gpt.baseline()) == []
    assert set(proposal.candidate.changes_from(gpt.baseline())) == {"DEPTH", "MATRIX_LR"}
    assert "3 * width" in gpt.patch(proposal.candidate) and "+MATRIX_LR = 0.05" in gpt.patch(proposal.candidate)
