"""Settings by a language model: what it is told, what it may turn, and what it is told when it goes too far."""

from dataclasses import replace

import pytest
from outer_models import TASK, Rounds, below_of, inner, outer_view, purposes, searched

from bilevel.errors import ContextOverflow, UnusableReply
from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.nesting import nest
from bilevel.researchers.llm_settings import ModelSettings
from bilevel.researchers.prompt import tokens
from bilevel.settings import Settings
from bilevel.surfaces import SettingsSurface
from bilevel.trial import Status, TurnedBack
from bilevel.view import Block, Briefing

ANSWER = {
    "diagnosis": "62% of the proposals repeat", "freeze": ["x1"], "unfreeze": ["x0"], "strategy": "explore",
    "drafts": 3, "history_window": 12, "picker": "novelty", "guidance": "Look at batch.\nhint: depth 7",
}  # fmt: skip
SPEC = replace(inner(), settings=Settings(frozen={"x0": "level 1.5"}, guidance="Leave x2 alone."))


def turned(answer, briefing=None, researcher=None, **about):
    model = answer if isinstance(answer, Rounds) else Rounds({"settings": answer})
    view, parent, lab = outer_view(model, SPEC, SettingsSurface(), **about)
    return (researcher or ModelSettings()).propose(view, parent, briefing or Briefing()), parent, model, lab


def test_what_the_model_turns_is_a_valid_candidate_with_the_diagnosis_as_its_reason():
    (proposal,), parent, _, lab = turned(ANSWER)
    settings = SettingsSurface().write(SPEC, proposal.candidate).settings
    assert SettingsSurface().problems(SPEC, proposal.candidate, parent) == []
    assert list(settings.frozen) == ["x1"] and settings.strategy == "explore" and settings.drafts == 3
    assert settings.history_window == 12 and settings.picker == "novelty"
    assert settings.guidance == "Look at batch.\nhint: depth 7\n"
    assert proposal.why == ANSWER["diagnosis"] and proposal.author == "llm settings"
    assert purposes(lab) == ["settings"]


def test_what_the_answer_leaves_out_stays():
    (proposal,), parent, _, _ = turned({"diagnosis": "fine as it is", "strategy": None})
    assert proposal.candidate == parent
    (proposal,), _, _, _ = turned({"diagnosis": "no more advice", "guidance": " "})
    assert proposal.candidate.files["guidance.md"] == ""


WRONG = [
    (
        {"freeze": ["x9"]},
        "there is no parameter 'x9'; the parameters that may be frozen are: batch, centre, depth, rows",
    ),
    ({"unfreeze": ["LR"]}, "there is no parameter 'LR'"),
    ({"freeze": ["x0"], "unfreeze": ["x0"]}, "'x0' is both in freeze and in unfreeze"),
    ({"strategy": "wild"}, "strategy: 'wild' is not one of 'balanced', 'explore', 'exploit'"),
    ({"picker": "best"}, "picker: 'best' is not one of"),
    ({"drafts": 9}, "drafts: 9 is outside [1, 8]"),
    ({"history_window": -1}, "history_window: -1 is outside"),
    ({"freeze": ["x1", "x2", "depth"]}, "at most 3 parameters may be frozen or unfrozen at once, not 4"),
    ({"drafts": "many"}, "drafts: "),
    ({"diagnosis": ""}, "diagnosis: "),
    ("Freeze x1.", "no JSON object"),
]


@pytest.mark.parametrize(("wrong", "error"), WRONG)
def test_an_answer_that_does_not_hold_is_asked_for_again_with_the_error(wrong, error):
    bad = {**ANSWER, **wrong} if isinstance(wrong, dict) else wrong
    (proposal,), _, model, lab = turned([bad, ANSWER])
    assert proposal.candidate.params["strategy"] == "explore"
    assert purposes(lab) == ["settings", "settings/re-ask 1"]
    assert error in model.asked[1][1].messages[-1].text


def test_enough_parameters_stay_free():
    researcher = ModelSettings(least_active=7, most_changed=9, reasks=0)
    names = [name for name in TASK.space.unlocked if name != "x0"]
    with pytest.raises(UnusableReply, match="at least 7 parameters must stay free"):
        turned({**ANSWER, "freeze": names[:2], "unfreeze": []}, researcher=researcher)


def test_before_the_first_trials_nothing_is_asked():
    (proposal,), parent, model, _ = turned(ANSWER, below=below_of(searched(trials=0)))
    assert proposal.candidate == parent and model.asked == []
    assert "no trial of the inner loop" in proposal.why


def test_the_prompt_tells_what_there_is_to_know():
    briefing = Briefing((Block("watcher", "drafts did it"),), guidance="be slow")
    _, _, model, _ = turned(ANSWER, briefing)
    text = model.prompt("settings")
    for needed in ("minimise", "stands out:", "x0 | Float -5 to 5", "FROZEN", "frozen: x0", "Leave x2 alone.",
                   "history_window: 0", "At least 2 must stay free", "most 3 may be", "picker: 'first'", "hint:",
                   "next 6 trials", "0 | the baseline", "watcher: drafts did it", "be slow", "noise: sd"):  # fmt: skip
        assert needed in text, needed


def test_what_was_turned_back_is_shown_with_the_reason():
    back = Briefing(attempt=1, turned_back=(TurnedBack("an id", "line 1 of guidance.md gives a value for x0"),))
    _, _, model, lab = turned(ANSWER, back)
    assert "line 1 of guidance.md gives a value for x0" in model.prompt("settings")
    assert purposes(lab) == ["settings/redraft 1"]


def test_asked_twice_it_answers_the_same_without_another_call():
    model = Rounds({"settings": ANSWER})
    view, parent, _ = outer_view(model, SPEC, SettingsSurface())
    assert ModelSettings().propose(view, parent, Briefing()) == ModelSettings().propose(view, parent, Briefing())
    assert len(model.asked) == 1


@pytest.mark.parametrize("budget", [900, 1500, 4000, 8000])
def test_the_prompt_stays_within_its_budget(budget):
    _, _, model, _ = turned(ANSWER, researcher=ModelSettings(prompt_tokens=budget), below=below_of(searched(trials=60)))
    text = model.prompt("settings")
    assert tokens(text) <= budget and "The settings now" in text


def test_a_prompt_that_is_too_long_is_halved():
    overflow = ContextOverflow("too long")
    model = Rounds({"settings": [overflow, overflow, ANSWER]})
    turned(model, below=below_of(searched(trials=60)))
    lengths = [tokens(request.messages[0].text) for _, request in model.asked]
    assert lengths[1] <= lengths[0] // 2 and lengths[2] <= lengths[0] // 4
    with pytest.raises(ContextOverflow):
        turned([overflow])


def test_in_a_run_a_value_in_the_guidance_is_refused_by_the_host_and_mended():
    model = Rounds({"settings": [{**ANSWER, "unfreeze": [], "guidance": "set batch to 64"}, {**ANSWER, "unfreeze": []},
                                 {"diagnosis": "leave it"}]})  # fmt: skip
    spec = nest(inner(), SettingsSurface(), ModelSettings(), name="settings", trials=5, cycles=3, start="continue")
    lab = Lab(models={"settings": model})
    trace = Loop(spec, lab).run()
    (back,) = trace[1].turned_back
    assert "gives a value for batch: 'set batch to 64'" in back.reason and back.reason in model.prompt("settings", 1)
    assert trace[1].status is Status.OK and trace[1].candidate.files["guidance.md"].startswith("Look at batch.")
    assert purposes(lab) == ["settings", "settings/redraft 1", "settings"]
    later = model.prompt("settings", 2)
    assert "Earlier settings and what came of them\nnone yet" in model.prompt("settings")
    assert (
        "over the best at the cycle's start, without a control" in later
        and "cycles left, this one included: 1" in later
    )
    assert "- cycle 1: drafts 1 -> 3, freeze.x1 False -> True" in later and "other guidance: gain" in later
