"""A mechanism session: from the record of a search to a rule in Python that passes the door, or is repaired."""

import json
from dataclasses import replace
from importlib import resources

import pytest
from outer_models import (
    CRITIQUE,
    EXAMPLE,
    GOOD,
    PLAN,
    TASK,
    WANDER,
    Rounds,
    below_of,
    inner,
    outer_view,
    proposed,
    purposes,
    session,
)

from bilevel.admission import admit, door
from bilevel.call import Finish, Reply
from bilevel.errors import ContextOverflow, HarnessError, InputError, UnusableReply
from bilevel.lab import Lab
from bilevel.levels import Inside
from bilevel.loop import Loop
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.nesting import nest
from bilevel.recipe import resolve
from bilevel.researchers.authoring import excerpt
from bilevel.researchers.llm_settings import ModelSettings
from bilevel.researchers.prompt import tokens
from bilevel.researchers.session_replies import read_code, snake_case
from bilevel.settings import Settings
from bilevel.surfaces import MechanismSurface, SettingsSurface
from bilevel.trial import Status, TurnedBack
from bilevel.view import Block, Briefing
from bilevel.wiring import LOOP, LOOP_SOURCES, prompts_for

FIRST = CRITIQUE["ideas"][0]
FOUR = ["session/explore", "session/critique", "session/specify", "session/generate"]
BAD = "```python\nimport os\n" + EXAMPLE + "```"
BAD_TOO = (
    "```python\n"
    + EXAMPLE.replace("def constrain(self, view: View, space: Space)", "def constrain(self, space)")
    + "```"
)
IDLE = EXAMPLE.replace("misses = 2", "misses = 1000")


def run(model, cycles=3, trials=6, settings=None, researcher=None, mechanisms=()):
    spec = nest(inner(mechanisms), MechanismSurface(door), researcher or session(), name="outer", trials=trials,
                cycles=cycles)  # fmt: skip
    lab = Lab(models={"outer": model})
    return Loop(replace(spec, settings=settings or Settings()), lab).run(), lab


# ---- a whole run ----


def test_a_session_in_four_recorded_rounds_makes_a_mechanism_that_is_admitted_and_measured():
    trace, lab = run(Rounds({**GOOD, "generate": f"```python\n{WANDER}```"}), cycles=2)
    trial = trace[1]
    assert purposes(lab) == FOUR and trial.turned_back == () and trial.faults == ()
    assert trial.status is Status.OK and dict(trial.candidate.files) == {"cool_off": WANDER}
    assert trial.proposal.author == "llm session" and trial.proposal.why == f"add cool_off: {PLAN['changes']}"
    notes = trial.proposal.notes
    assert (notes["idea"], notes["score"], notes["kind"], notes["domain"]) == ("Cool off", 6.0, "add", "scheduling")
    assert dict(notes["scores"]) == {"Cool off": 6.0, "Wander": 0.8} and notes["repairs"] == 0
    assert trial.runs[-1].data["ledger"]["cool_off"]["select"][2] > 0  # decisive


def test_a_session_for_an_ordinary_search_is_told_nothing_of_loops_that_search_mechanisms():
    model = Rounds(GOOD)
    proposed(session(), model)
    assert len(model.asked) == 4 and "searches mechanisms" not in model.texts()


def test_what_the_door_refuses_is_repaired_with_the_exact_reason():
    model = Rounds({**GOOD, "generate": BAD, "repair": [BAD_TOO, f"```python\n{EXAMPLE}```"]})
    trace, lab = run(model, cycles=2)
    assert purposes(lab) == [*FOUR, "session/repair 1", "session/repair 2"]
    assert trace[1].status is Status.OK and dict(trace[1].candidate.files) == {"cool_off": EXAMPLE}
    assert trace[1].proposal.notes["repairs"] == 2
    first, second = model.prompt("repair", 0), model.prompt("repair", 1)
    assert "'os' may not be imported" in first and "import os\n" in first
    assert "expected def constrain(self, view, space)" in second and "import os\n" not in second


def test_a_mechanism_that_stays_bad_is_a_refused_trial_and_costs_no_more_calls_than_redrafts():
    model = Rounds({**GOOD, "generate": BAD, "repair": [BAD_TOO, BAD, BAD_TOO]})
    trace, lab = run(model, cycles=2, settings=Settings(redrafts=2))
    assert trace[1].status is Status.REFUSED and len(trace[1].turned_back) == 3
    assert purposes(lab) == [*FOUR, "session/repair 1", "session/repair 2"]
    assert len(model.asked) == 6


def test_what_was_inert_in_its_trial_is_repaired_first_and_only_so_often():
    plans = [PLAN, {**PLAN, "name": "another"}]
    model = Rounds(
        {**GOOD, "specify": plans, "generate": f"```python\n{IDLE}```", "inert": f"```\n{IDLE}\n# again\n```"}
    )
    trace, lab = run(model, cycles=4, settings=Settings(repairs=1))
    assert [trial.decision.reason.startswith("inert") for trial in trace[1:]] == [True, True, True]
    assert purposes(lab) == [*FOUR, "session/repair inert", *FOUR]
    assert [trial.proposal.notes.get("repair_of") for trial in trace[1:]] == [None, 1, None]
    prompt = model.prompt("inert")
    assert "misses = 1000" in prompt and "6 calls, 0 touched, 0 decisive" in prompt
    assert "cool_off changed no decision" in prompt and PLAN["changes"] in prompt
    assert "a repair of session 1" in model.prompt("explore", 1)


def test_the_repair_of_an_inert_mechanism_shows_its_trials_beside_those_of_the_control():
    same = """from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class Same(Mechanism):
    def propose(self, view, parent, proposals):
        return [Proposal(proposal.candidate, "as I would") for proposal in proposals]
"""
    model = Rounds({**GOOD, "generate": f"```python\n{same}```", "inert": f"```\n{same}\n# again\n```"})
    trace, _ = run(model, cycles=3)
    assert trace[1].decision.reason.startswith("inert")
    arms = trace[1].runs[-1].data["arms"]
    assert [told["number"] for told in arms["challenger"]["trials"]] == [7, 8, 9, 10, 11, 12]
    assert {told["author"] for told in arms["challenger"]["trials"]} == {"cool_off"}
    assert trace[0].runs[-1].data["arms"]["only"]["trials"] == []
    text = model.prompt("inert")
    for number in range(7, 13):
        assert f"\n{number}, the rule, and so would the researcher: " in text
    assert text.count("| propose touched | the same candidate ran there") == 6
    assert "is first asked for trial 13" in text and "the end of the control" in text


def test_every_round_knows_the_hooks_what_decisive_means_and_the_task():
    model = Rounds({**GOOD, "repair": f"```python\n{EXAMPLE}# mended\n```"})
    (one,), _ = proposed(session(), model)
    proposed(session(), model, Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "no"),)))
    brief = TASK.brief.strip().splitlines()[0]
    for what in ("explore", "critique", "specify", "generate"):
        assert "Decisive means: " in model.prompt(what) and "def constrain(self" in model.prompt(what), what
    for what in ("explore", "specify", "generate", "repair"):
        assert brief in model.prompt(what) and "1 <- 0" in model.prompt(what), what
    assert 'trial.proposal.author == "cool_off"' in model.prompt("generate")
    assert "Earlier sessions and what came of them\nnone yet" in model.prompt("explore")


def test_the_source_that_is_shown_is_what_decides():
    outer = [{"level": "mechanisms", "researcher": "llm"}]
    recipe = resolve({"name": "x", "title": "x", "outer": outer, "models": {"default": "openai:a-model"}})
    text = prompts_for(recipe)[LOOP]
    for needed in ("def _run(self, record", "def _ask_researcher", "def keep_by_default", "def count_decisive"):
        assert needed in text, needed
    assert "threading" not in text and "class View" not in text and tokens(text) < 5000
    for module, names in LOOP_SOURCES.items():
        assert excerpt((resources.files("bilevel") / f"{module}.py").read_text("utf-8"), names)
    assert excerpt("class A:\n    def f(self):\n        return 1\n\ndef g():\n    pass\n", ["A.f", "g"]) == (
        "class A:  # in part\n\n    def f(self):\n        return 1\n\ndef g():\n    pass"
    )
    with pytest.raises(HarnessError, match=r"no function 'A\.h'"):
        excerpt("class A:\n    def f(self): pass\n", ["A.h"])


def test_without_repairs_an_inert_mechanism_is_followed_by_a_new_session():
    model = Rounds({**GOOD, "specify": [PLAN, {**PLAN, "name": "b2"}], "generate": f"```python\n{IDLE}```"})
    _, lab = run(model, cycles=3, settings=Settings(repairs=0))
    assert purposes(lab) == [*FOUR, *FOUR]


def test_later_sessions_are_told_what_came_of_the_earlier_ones():
    model = Rounds({**GOOD, "specify": [PLAN, {**PLAN, "name": "b2"}], "generate": f"```python\n{WANDER}```"})
    trace, _ = run(model, cycles=3)
    text = model.prompt("explore", 1)
    assert "- session 1: added cool_off (decisive in " in text and "[Cool off]: gain " in text
    assert trace[1].decision.reason[:40] in text


def test_a_model_that_never_answers_usably_is_a_fault_of_the_trial_not_the_end_of_the_run():
    trace, _ = run(Rounds({**GOOD, "critique": "I would rather not."}), cycles=2)
    assert trace[1].status is Status.REFUSED
    assert "session/critique" in trace[1].faults[0].message and trace[1].faults[0].guest == "researcher llm session"


def test_sessions_over_settings_over_a_search_each_with_a_model_of_its_own():
    settings = Rounds({"settings": {"diagnosis": "it repeats", "strategy": "explore", "freeze": ["x1"]}})
    sessions = Rounds({**GOOD, "generate": f"```python\n{WANDER}```"})
    middle = nest(inner(), SettingsSurface(), ModelSettings(), name="settings", trials=4, cycles=2, start="continue")
    spec = nest(middle, Inside(MechanismSurface(door)), session(), name="mechanisms", trials=2, cycles=2)
    lab = Lab(models={"settings": settings, "mechanisms": sessions})
    trace = Loop(spec, lab).run()
    assert trace[1].status is Status.OK and list(trace[1].candidate.files) == ["cool_off"]
    assert trace[1].runs[-1].data["ledger"]["cool_off"]["select"][0] > 0
    assert "within 8 trials" in sessions.prompt("generate") and "next 4 trials" in settings.prompt("settings")
    assert {call.level for call in lab.store.calls()} == {"settings", "mechanisms"}
    again = Loop(spec, Lab(models={"settings": settings, "mechanisms": sessions})).run()
    assert again.fingerprint() == trace.fingerprint()


# ---- one session ----


def test_asked_twice_it_answers_the_same_without_another_call():
    model = Rounds({**GOOD, "generate": BAD, "repair": f"```python\n{EXAMPLE}```"})
    view, parent, lab = outer_view(model)
    (one,), (two,) = (session().propose(view, parent, Briefing()) for _ in range(2))
    assert one == two and len(model.asked) == 4
    back = Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "it may not import os"),))
    three, four = (session().propose(view, parent, back) for _ in range(2))
    assert three == four != [one] and len(model.asked) == 5 and len(lab.store.calls()) == 5


def test_what_others_were_turned_back_for_is_no_repair():
    (one,), lab = proposed(session(), Rounds(GOOD), Briefing(attempt=1, turned_back=(TurnedBack("other", "no"),)))
    assert purposes(lab) == FOUR and one.notes["repairs"] == 0


@pytest.mark.parametrize("kind", ["replace", "remove"])
def test_a_mechanism_in_force_can_be_replaced_or_removed(kind):
    spec = inner([Guest("revert", source("revert")), Guest("tabu", source("tabu"))])
    model = Rounds({**GOOD, "specify": {**PLAN, "kind": kind, "target": "revert"}})
    (proposal,), lab = proposed(session(), model, spec=spec)
    _, parent, _ = outer_view(model, spec=spec)
    assert MechanismSurface(door).problems(spec, proposal.candidate, parent) == []
    if kind == "replace":
        assert proposal.candidate.params["order"] == ("revert", "tabu")
        assert proposal.candidate.files["revert"] == EXAMPLE and purposes(lab) == FOUR
        assert "class Revert(Mechanism)" in model.prompt("generate")
    else:
        assert proposal.candidate.params["order"] == ("tabu",) and purposes(lab) == FOUR[:3]
        assert proposal.why.startswith("remove revert: ")
    assert proposal.notes["mechanism"] == "revert" and proposal.notes["kind"] == kind


def test_a_removal_that_is_refused_is_given_up():
    spec, model = (
        inner([Guest("revert", source("revert"))]),
        Rounds({**GOOD, "specify": {**PLAN, "kind": "remove", "target": "revert"}}),
    )
    (one,), _ = proposed(session(), model, spec=spec)
    back = Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "no"),))
    assert proposed(session(), model, back, spec=spec)[0] == []


def test_a_full_set_is_replaced_in():
    spec = inner([Guest("revert", source("revert"))])
    model = Rounds({**GOOD, "specify": [PLAN, {**PLAN, "kind": "replace", "target": "revert"}]})
    (proposal,), lab = proposed(session(most=1), model, spec=spec)
    assert purposes(lab) == [*FOUR[:3], "session/specify/re-ask 1", FOUR[3]]
    assert "The set is full (1): replace or remove." in model.prompt("specify")
    assert "the set is full (1 mechanisms): replace or remove one of: revert" in model.texts()
    assert list(proposal.candidate.files) == ["revert"]


OBJECTIONS = {
    "critique": [
        ({**CRITIQUE, "ideas": [{**FIRST, "evidence": [3, 99]}]}, "do not exist (99): the trials go from 0 to 16"),
        ({**CRITIQUE, "ideas": [{**FIRST, "impact": 9}]}, "ideas.0.impact"),
        ("no JSON at all", "no JSON object"),
    ],
    "specify": [
        ({**PLAN, "name": "revert"}, "'revert' is in force already"),
        ({**PLAN, "name": "1st"}, "must be a snake_case identifier"),
        ({**PLAN, "name": "class"}, "must be a snake_case identifier"),
        ({**PLAN, "kind": "replace", "target": "tabu"}, "target that is in force, not 'tabu'; in force are: revert"),
        ({**PLAN, "kind": "remove"}, "needs a target that is in force, not ''"),
        ({**PLAN, "hooks": ["observe"]}, "there is no hook 'observe'; the hooks are: remember, select"),
        ({**PLAN, "hooks": ["remember", "advise"]}, "nobody here reads advice"),
        ({**PLAN, "hooks": []}, "cannot change a decision"),
        ({**PLAN, "kind": "invert"}, "kind"),
    ],
    "generate": [
        ("I cannot write code.", "no Python block with a subclass of Mechanism"),
        ("```python\nclass Rule:\n    pass\n```", "no Python block with a subclass of Mechanism"),
        ("```python\nclass Rule(Mechanism)\n    pass\n```", "does not parse: expected ':' (line 1)"),
        (f"```\n{EXAMPLE}\n{WANDER}```", "exactly one subclass of Mechanism, not 2: CoolOff, Wander"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("what", "answer", "error"), [(w, a, e) for w, pairs in OBJECTIONS.items() for a, e in pairs])
def test_an_answer_that_does_not_hold_is_asked_for_again_with_the_error(what, answer, error):
    model = Rounds({**GOOD, what: [answer, GOOD[what]]})
    (proposal,), lab = proposed(session(), model, spec=inner([Guest("revert", source("revert"))]))
    assert proposal.candidate.files["cool_off"] == EXAMPLE
    assert f"session/{what}/re-ask 1" in purposes(lab) and len(lab.store.calls()) == 5
    second = [request for name, request in model.asked if name == what][1]
    assert error in second.messages[-1].text and second.messages[0].text == model.prompt(what)


@pytest.mark.parametrize(
    ("selected", "chosen"),
    [("wander", "Wander"), ("2. Wander (start elsewhere)", "Wander"), ("Cool", "Cool off"), ("Gradient", "Cool off")],
)
def test_an_idea_is_selected_by_its_name_or_else_by_its_score(selected, chosen):
    (proposal,), lab = proposed(session(), Rounds({**GOOD, "critique": {**CRITIQUE, "selected": selected}}))
    assert proposal.notes["idea"] == chosen and "session/critique/re-ask 1" not in purposes(lab)


def test_an_answer_that_never_holds_is_unusable():
    with pytest.raises(UnusableReply, match=r"session/specify: .*identifier"):
        proposed(session(reasks=1), Rounds({**GOOD, "specify": {**PLAN, "name": "?"}}))
    with pytest.raises(UnusableReply, match="refused"):
        proposed(session(), Rounds({**GOOD, "explore": Reply("no", "m", finish=Finish.REFUSED)}))


def test_a_repair_that_repairs_nothing_is_asked_for_again():
    model = Rounds({**GOOD, "repair": [f"```python\n{EXAMPLE}```", f"```python\n{EXAMPLE}\n# mended\n```"]})
    (one,), _ = proposed(session(), model)
    back = Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "no"),))
    (two,), lab = proposed(session(), Rounds(model.replies), back)
    assert purposes(lab)[-1] == "session/repair 1/re-ask 1" and two.candidate.files["cool_off"].endswith("# mended\n")


def test_a_prompt_that_is_too_long_is_written_for_half_the_budget_twice_at_most():
    overflow = ContextOverflow("too long")
    model = Rounds({**GOOD, "explore": [overflow, overflow, GOOD["explore"]]})
    (proposal,), _ = proposed(session(prompt_tokens=6000), model)
    lengths = [tokens(request.messages[0].text) for name, request in model.asked if name == "explore"]
    assert len(lengths) == 3 and lengths[0] > lengths[2] and lengths[2] <= 1500
    assert proposal.candidate.files
    with pytest.raises(ContextOverflow):
        proposed(session(), Rounds({**GOOD, "generate": [overflow] * 3 + [GOOD["generate"]]}))


@pytest.mark.parametrize("budget", [900, 1500, 3000, 8000, 24000])
def test_every_prompt_stays_within_its_budget(budget):
    guests = [Guest(name, source(name)) for name in ("revert", "tabu", "bandit")]
    long = {**GOOD, "explore": "An idea. " * 3000, "critique": {**CRITIQUE, "reason": "because " * 2000},
            "specify": {**PLAN, "data": "data " * 2000}, "repair": f"```python\n{EXAMPLE}# mended\n```"}  # fmt: skip
    model = Rounds(long)
    writer = replace(session(prompt_tokens=budget), source="a line of source = 1\n" * 4000)
    (one,), _ = proposed(writer, model, spec=inner(guests))
    back = Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "no good " * 900),))
    proposed(writer, model, back, spec=inner(guests))
    assert {name for name, _ in model.asked} == {"explore", "critique", "specify", "generate", "repair"}
    for name, request in model.asked:
        assert tokens(request.messages[0].text) <= budget, name
    if budget >= 1500:
        assert "def constrain" in model.prompt("generate") and "cool_off" in model.prompt("generate")
        assert "freeze what failed twice" in model.prompt("specify")
    assert ("a line of source" in model.prompt("explore")) == (budget >= 8000)


def test_what_an_author_needs_is_in_the_prompt_of_the_code():
    model = Rounds(GOOD)
    proposed(session(), model)
    text = model.prompt("generate")
    for needed in ("def plan(self, view: View, proposal: Proposal", "view.rng", "x0: Float -5", "batch: Int",
                   "def since_improvement(self) -> int", "within 6 trials", "itertools", "class CoolOff(Mechanism)",
                   "2**19 is the integer 524288", "TIME_OUT", "def clip(self, name: str", "needs: ClassVar",
                   "misses"):  # fmt: skip
        assert needed in text, needed


def test_the_example_that_authors_are_shown_passes_the_door_and_is_not_of_the_library():
    assert admit(EXAMPLE).problems == ()


def test_fields_of_knowledge_are_named_only_where_they_are_given():
    model = Rounds(GOOD)
    proposed(session(), model)
    assert "Look in these fields" not in model.texts()
    model = Rounds(GOOD)
    proposed(session(domains=("ecology", "queueing")), model)
    assert "Look in these fields: ecology, queueing." in model.prompt("explore")


def test_it_reads_the_advice_and_the_guidance_of_its_own_level_and_the_brief():
    model = Rounds(GOOD)
    briefing = Briefing((Block("watcher", "constraints did best"),), guidance="prefer small rules")
    proposed(session(), model, briefing)
    text = model.prompt("explore")
    assert "watcher: constraints did best" in text and "prefer small rules" in text
    assert TASK.brief.strip().splitlines()[0] in text


def test_advice_alone_is_admitted_where_the_inner_researcher_reads_it():
    model = Rounds({**GOOD, "specify": {**PLAN, "hooks": ["advise"]}})
    (proposal,), _ = proposed(session(), model, below=below_of(reads_advice=True))
    assert proposal.candidate.files and "never rely on the hook advise alone" in model.prompt("explore")


def test_the_innermost_loop_has_no_sessions():
    view, parent, _ = outer_view(Rounds(GOOD))
    with pytest.raises(InputError, match="put it on an outer level"):
        session().propose(replace(view, below=None), parent, Briefing())


# ---- reading code ----

BODY = EXAMPLE.strip()
ANSWERS = {
    "bare": BODY,
    "python fence": f"Here it is:\n\n```python\n{BODY}\n```\nGood luck.",
    "py fence": f"```py\n{BODY}\n```",
    "tildes": f"~~~python\n{BODY}\n~~~",
    "four marks": f"````python title=x.py\n{BODY}\n````",
    "no language": f"```\n{BODY}\n```",
    "never closed": f"Sure!\n```python\n{BODY}\n",
    "prose before": f"This is the file.\n\n{BODY}",
    "windows": f"```python\n{BODY}\n```".replace("\n", "\r\n"),
    "a sketch first": f"```python\nfor x in y: ...\n```\nthen\n```python\n{BODY}\n```\nand\n```text\nbye\n```",
    "a draft first": f"```python\n{BODY.replace('misses = 2', 'misses = 3')}\n```\nBetter:\n```python\n{BODY}\n```",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_file_is_found_whatever_stands_around_it(kind):
    assert read_code(ANSWERS[kind]).replace("\r", "").strip() == BODY


@pytest.mark.parametrize("name", ["CoolOff", "cool-off", "Cool Off", "cool_off.py", " coolOff "])
def test_names_become_identifiers(name):
    assert snake_case(name) == "cool_off"


def test_answers_may_be_fenced_json_with_prose():
    model = Rounds({**GOOD, "critique": f"My view:\n```json\n{json.dumps(CRITIQUE)}\n```"})
    assert len(proposed(session(), model)[1].store.calls()) == 4
