"""Steps of the article workflow as code, end to end: inserted, replaced and removed by level 2, found and kept; the
useless ones inert, the hostile ones refused or cut off. The judge and the model are those of `step_server`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from runs import fingerprints
from step_server import SAYS, TEXT, StepServer

from bilevel.call import Reply
from bilevel.carrying import FAULTS
from bilevel.errors import GuestError
from bilevel.mechanism import Guest
from bilevel.objective import Objective
from bilevel.reading import read
from bilevel.researchers.signals import faults
from bilevel.researchers.workflow import Workflow
from bilevel.sandbox.proxy import Sandbox
from bilevel.situations import Case, cases, view_of
from bilevel.space import Candidate, Space
from bilevel.steps import STEPS
from bilevel.trace import Trace
from bilevel.trial import Fault
from bilevel.view import Briefing
from bilevel.workflow_step import SoFar, taken

HEAD = "from bilevel.workflow_step import WorkflowStep\n\n\nclass Mine(WorkflowStep):\n"
TAKE = "    def take(self, view, so_far):\n"
WARRANT = f"""{HEAD}    after = "plan"
    shown = ("revision",)

{TAKE}        edits = so_far.said["plan"]["edits"] if "plan" in so_far.said else []
        places = [edit["paragraph"] for edit in edits]
        return {{"claim": "That nothing else was ever seen to happen.", "paragraphs": places}} if places else {{}}
"""
SHARPER = f"""{HEAD}    replace = "analysis"

{TAKE}        places = [n for n in so_far.editable if not so_far.paragraphs[n - 1].startswith("#")][:2]
        said = ("There is no warrant for the claim.", "The main notion stays without any definition.")
        marks = ("rigour", "clarity")
        found = [{{"paragraph": n, "dimension": m, "problem": p}} for n, m, p in zip(places, marks, said)]
        return {{"weaknesses": found}}
"""
RIGHT = {"warrant": WARRANT, "sharper": SHARPER, "lenient": f'{HEAD}    remove = "assessment"\n'}
KIND = f"""{HEAD}    after = "analysis"
    shown = ("hypotheses",)

{TAKE}        return {{"answer": "The author has written this with a kind heart."}}
"""
FAULTY = f"""{HEAD}    replace = "analysis"

{TAKE}        if so_far.text == "mine.md":
            raise ValueError("there is no such text")
        return {{}}
"""
ENDLESS = f"""{HEAD}    after = "plan"

{TAKE}        while so_far.text == "mine.md":
            pass
        return {{}}
"""
RECIPE = """
name = "steps"
title = "a test"
task = "article"
[inner]
researcher = "workflow"
lessons = false
[[outer]]
level = "mechanisms"
researcher = "library"
carriers = ["step"]
offers = [{offers}]
trials = 3
cycles = {cycles}
start = "fork"
proof_share = 0.0
[sandbox]
call_seconds = 1.0
[claim]
on = false
"""
RUN = ("run", "steps.toml", "--article", "mine.md", "--model", "compatible:test")


def write(steps):
    for name, source in steps.items():
        Path(f"{name}.step.py").write_text(source)
    Path("mine.md").write_text(TEXT)
    offers = ", ".join(f'"./{name}.step.py"' for name in steps)
    Path("steps.toml").write_text(RECIPE.format(offers=offers, cycles=len(steps) + 1))


@pytest.fixture
def serving(monkeypatch):
    servers = []

    def start(kind=StepServer):
        servers.append(kind(SAYS))
        monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", servers[-1].url)
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test-0123456789-abcdefghij")
        return servers[-1]

    yield start
    for server in servers:
        server.close()


# ---- one pass, in this process ----


def passing(steps, says=SAYS, **changes):
    """One pass over the text with some steps in force, asked of functions: the proposal, and what was asked."""
    asked = []

    def ask(request, purpose, seed, repeat):
        prompt = "\n\n".join(message.text for message in request.messages)
        asked.append((purpose, prompt))
        return Reply(json.dumps(says[purpose.split()[0]](prompt, None)), "a:b")

    objective = Objective("score", minimize=False)
    case = Case("", Trace(objective), Space({}), Candidate({}, {"mine.md": TEXT}), ())
    view = replace(view_of(case, None), asks=ask, **changes)
    flow = Workflow().carrying([Guest(f"step:{name}", source) for name, source in steps.items()])
    (proposal,) = flow.propose(view, case.parent, Briefing())
    return proposal, dict(asked)


def coded(take, place='after = "plan"'):
    return f"{HEAD}    {place}\n\n{TAKE}        {take}\n"


def test_a_step_is_inserted_replaced_and_removed():
    plain, asked = passing({})
    assert [purpose.split()[0] for purpose in asked] == list(STEPS)
    assert "therefore" not in plain.candidate.files["mine.md"]
    for name, source in RIGHT.items():
        proposal, other = passing({name: source})
        assert "therefore" in proposal.candidate.files["mine.md"] and FAULTS not in proposal.notes
        gone = {"sharper": "analysis", "lenient": "assessment"}.get(name)
        assert [purpose.split()[0] for purpose in other] == [step for step in STEPS if step != gone]
        if name == "warrant":
            assert "What the step warrant says:\n- claim: That nothing" in other["revision mine.md 1"]
            assert other["assessment mine.md"] == asked["assessment mine.md"]  # it is not shown there
    assert Workflow().carrying([Guest("step:a", SHARPER), Guest("step:b", WARRANT)]).questions == 4


@pytest.mark.parametrize(
    ("take", "said"),
    [
        ('raise KeyError("gone")', "KeyError: 'gone'"),
        ('return {"weaknesses": [], "more": 1}', "give 2 to 5 weaknesses, not 0"),
        ('return ["weaknesses"]', "take must return a dict of names and values, or None, not list"),
        ('return {"weaknesses": float("nan")}', "what take returns is no JSON"),
        ('return {"weaknesses": "x" * 70_000}', "at most 60,000 are read"),
        ("return view.trace[0]", "IndexError"),  # no earlier trial is there to be read
        ('return view.ask("Is it good?", "x" * 101)', "a model is asked for a purpose"),
    ],
)
def test_a_step_that_fails_is_left_out_of_the_pass_and_its_fault_is_noted(take, said):
    plain, asked = passing({})
    proposal, other = passing({"mine": coded(take, 'replace = "analysis"')})
    ((name, reason),) = proposal.notes[FAULTS]
    assert name == "step:mine" and said in reason
    assert proposal.candidate == plain.candidate and other == asked  # the model is asked as ever


def test_a_step_knows_the_pass_and_nothing_of_scores_or_trials():
    shown = f"""{HEAD}    after = "assessment"

{TAKE}        names = sorted(so_far.said)
        known = [len(view.trace), len(view.lessons), len(view.pending), view.below is None, bool(view.told)]
        return {{"names": names, "known": [str(one) for one in known], "text": so_far.text, "step": so_far.step}}
"""
    proposal, asked = passing({"eye": shown}, told="a person's words", trials_left=3)
    said = asked["revision mine.md 1"].partition("What the step eye says:\n")[2].split("\n\n")[0]
    assert said.splitlines() == [
        "- names: analysis, assessment, hypotheses, plan",
        "- known: 0, 0, 0, True, False",
        "- text: mine.md",
        "- step: eye",
    ]
    assert FAULTS not in proposal.notes


def test_a_step_may_ask_the_model_in_its_own_name():
    take = 'return {"reader": view.ask("Who reads " + so_far.text + "?", "reader")}'
    says = {**SAYS, "mechanism": lambda prompt, body: prompt}
    _, asked = passing({"mine": coded(take, 'after = "start"')}, says)
    assert asked["mechanism step:mine/reader"] == "Who reads mine.md?"
    assert 'What the step mine says:\n- reader: "Who reads mine.md?"' in asked["analysis mine.md"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ('ValueError: The first claim stands here (line 9: raise ValueError("..."))', "ValueError at line 9"),
        ("The first claim stands here (line 9)", "an error at line 9"),
        ("the gate sent its answer back: weakness 1 says 'The first claim'", "the gate sent its answer back"),
        ("it used more than 1 s of CPU time", "it used more than 1 s of CPU time"),
    ],
)
def test_of_a_fault_level_2_is_told_the_kind_and_the_line_and_no_word_of_the_text(reason, told):
    case = next(case for case in cases(numeric_only=True) if len(case.trace))
    fault = Fault("step:mine", "advise", reason)
    trace = Trace(case.trace.objective) + replace(case.trace[0], faults=(fault,))
    shown = faults(trace, ["step:mine"]).text
    assert f"step:mine, advise: {told}\n" in shown and "first claim" not in shown


# ---- the door ----


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'    after = "lunch"\n{TAKE}        return {{}}\n', "after: start or one of"),
        (f'    after = "plan"\n    shown = ("plan",)\n{TAKE}        return {{}}\n', "'plan' does not come after"),
        (f'    after = "pl" + "an"\n{TAKE}        return {{}}\n', 'a text, as in "plan"; it is read, and not run'),
        (f'    after = "plan"\n    replace = "plan"\n{TAKE}        return {{}}\n', "one of these in its class"),
        (f'    replace = "dinner"\n{TAKE}        return {{}}\n', "there is no step 'dinner'"),
        (
            f'    replace = "plan"\n    shown = ("revision",)\n{TAKE}        return {{}}\n',
            "only a step that is inserted",
        ),
        ('    after = "plan"\n', "it defines take(self, view, so_far)"),
        ('    remove = "plan"\n', "'plan' cannot be removed; these can: analysis, hypotheses, assessment"),
        (f'    remove = "analysis"\n{TAKE}        return {{}}\n', "a step that is removed says nothing"),
    ],
)
def test_a_step_whose_place_cannot_be_is_refused_without_being_run(body, said):
    assert said in Workflow().refusal(Guest("step:mine", HEAD + body), Space({}))
    assert "it is read, and not run" not in said or said in "".join(read(HEAD + body))


HOSTILE = {
    "files": ('return {"a": open("/etc/passwd").read()}', "open may not be used"),
    "sockets": ("import socket; return {}", "'socket' may not be imported"),
    "insides": ('return {"a": view.rng.__globals__["os"]}', "__globals__"),
    "state": ("self.seen = 1; return {}", "self.seen keeps state on self"),
    "advise": (
        "return {}\n\n    def advise(self, view, briefing):\n        return briefing",
        "advise would not be called",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_step_that_reaches_out_is_refused_where_it_is_read(name):
    take, said = HOSTILE[name]
    assert said in "; ".join(read(coded(take)))


def test_a_step_is_tried_behind_the_walls_and_kept_in_the_library_like_code(bilevel):
    Path("mine.step.py").write_text(WARRANT)
    Path("odd.step.py").write_text(coded('return {"n": so_far.paragraphs[0]}'))
    Path("mine.py").write_text(WARRANT)
    assert "with a text without paragraphs: it raised IndexError" in bilevel("check", "odd.step.py").said
    assert "its file is ./NAME.step.py" in bilevel("check", "mine.py").said
    taken_over = bilevel("mechanisms", "import", "mine.step.py")
    assert taken_over.code == 0 and "step:mine" in taken_over.out
    assert 'after = "plan"' in bilevel("mechanisms", "show", "step:mine").out


REACHING = ('return {"a": open("/etc/passwd").read()}', 'import socket; return {"a": str(socket.socket())}')


@pytest.mark.parametrize("take", REACHING)
def test_what_reading_would_refuse_is_stopped_by_the_walls_as_well(take):
    with Sandbox() as sandbox:
        if sandbox.in_force == "limits":
            pytest.skip("this machine has no wall against files and sockets")
        step = sandbox.load(Guest("step:mine", coded(take)))
        case = Case("", Trace(Objective("score")), Space({}), Candidate({}), ())
        with pytest.raises(GuestError, match=r"FileNotFoundError|PermissionError|OSError|ended|import"):
            taken(step, view_of(case, None), SoFar("mine", "a.md", ("One.",)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (ENDLESS.replace(' == "mine.md"', ""), "did not end within 4 s"),
        (coded('return {"n": str(object())}'), "equal questions got different answers|gave another answer"),
    ],
)
def test_a_step_that_never_ends_or_is_no_function_of_what_it_is_given_is_refused_at_the_door(bilevel, source, said):
    Path("mine.step.py").write_text(source.replace("so_far.text:", "so_far.text is not None:"))
    done = bilevel("check", "mine.step.py")
    assert done.code != 0 and re.search(said, done.said), done.said


# ---- runs ----


@pytest.mark.parametrize(
    ("right", "useless"),
    [("warrant", {}), *(pytest.param(name, {"kind": KIND}, marks=pytest.mark.slow) for name in RIGHT)],
)
def test_the_right_step_is_kept_and_useless_ones_are_inert(bilevel, bilevel_json, serving, right, useless):
    server = serving()
    write({**useless, right: RIGHT[right]})
    done = bilevel(*RUN, "--folder", "r")
    assert done.code == 0, done.err
    assert "level 2 changes: step" in done.out
    found = {one["name"]: one for one in bilevel_json("status", "r")["mechanisms"]}
    mine = found[f"step:{right}"]
    assert mine["kept"] and mine["ledger"]["advise"]["decisive"] >= 3 and not mine["ledger"]["advise"]["faults"], mine
    steps = bilevel_json("status", "r")["steps"]
    if useless:
        kind = found["step:kind"]
        assert not kind["kept"] and kind["reason"].startswith("inert"), kind
        assert kind["ledger"]["advise"]["calls"] > 0 and kind["ledger"]["advise"]["decisive"] == 0
        assert steps["step:kind"]["said"] >= 3 and "step:kind: inert" in done.out
    if right == "warrant":  # an inserted step reached the text where leaving it out gave another one
        assert steps["step:warrant"]["decisive"] == mine["ledger"]["advise"]["decisive"]
        assert any("What the step warrant says:\n- claim: That nothing" in prompt for prompt in server.of("revision"))
    asked = len(server.requests)
    replayed = bilevel("replay", "r")
    assert replayed.code == 0 and "byte for byte" in replayed.out and len(server.requests) == asked


@pytest.mark.slow
def test_a_step_that_fails_or_never_ends_in_a_run_is_cut_off_counted_and_inert_and_a_resume_goes_the_same_way(
    bilevel, bilevel_json, serving
):
    serving()
    write({"faulty": FAULTY, "endless": ENDLESS})
    done = bilevel(*RUN, "--folder", "r")
    assert done.code == 0, done.err
    found = {one["name"]: one for one in bilevel_json("status", "r")["mechanisms"]}
    for name, said in (("step:faulty", "there is no such text"), ("step:endless", "CPU")):
        assert not found[name]["kept"] and found[name]["reason"].startswith("inert"), found[name]
        assert found[name]["ledger"]["advise"]["faults"] == 3, found[name]
        assert said in bilevel("show", "r", "--mechanism", name).out, name
    replayed = bilevel("replay", "r")
    assert replayed.code == 0 and "byte for byte" in replayed.out
    whole = fingerprints("r")
    serving()
    assert bilevel(*RUN, "--folder", "s", "--max-tokens", 18 * 40).code == 0
    assert len(fingerprints("s")) < len(whole)
    assert bilevel("resume", "s", "--max-tokens", 10**7).code == 0
    assert fingerprints("s") == whole


# ---- the shipped recipe ----

PLAN = {
    "name": "Warrant", "domain": "argument", "kind": "add", "target": "", "hooks": [], "needs": [], "data": "the plan",
    "changes": "what the last step is told", "shows": "the text differs", "parameters": [], "carrier": "step",
}  # fmt: skip
IDEA = {
    "name": "Warrant", "idea": "say what warrants it", "failure_modes": "none", "evidence": [0], "impact": 4,
    "feasibility": 4, "complexity": 1,
}  # fmt: skip


ROUNDS = {
    "You improve a search loop from outside": "One idea: say what warrants the claim, in code.",
    "A search loop is to be given one new rule": json.dumps({"ideas": [IDEA], "selected": "Warrant", "reason": "it"}),
    "Specify one mechanism": json.dumps(PLAN),
}


class SessionServer(StepServer):
    """Level 2's session too: it writes the step `warrant`, at first with a slip that the door finds."""

    def _reply(self, prompt, body):
        if "Write one step of the researcher's workflow as Python" in prompt:
            self.steps.append("written")
            slip = "Why it was refused" not in prompt
            return f"```python\n{WARRANT.replace('    def take', '    def take_it') if slip else WARRANT}```"
        said = next((reply for start, reply in ROUNDS.items() if start in prompt), None)
        if said is None:
            return super()._reply(prompt, body)
        self.steps.append("session")
        return said


def test_the_shipped_recipe_has_level_2_write_a_step_mend_it_and_keep_it(bilevel, bilevel_json, serving):
    server = serving(SessionServer)
    Path("mine.md").write_text(TEXT)
    args = ("--article", "mine.md", "--model", "compatible:test", "--folder", "r", "--outer-cycles", "2")
    done = bilevel("run", "article-workflow", *args)
    assert done.code == 0, done.err
    assert "level 2 changes: step, workflow" in done.out
    (mine,) = bilevel_json("status", "r")["mechanisms"]
    assert mine["name"] == "step:warrant" and mine["kept"], mine
    assert [climb["outcome"] for climb in mine["refused"]] == ["refused"]
    assert "it defines take(self, view, so_far)" in mine["refused"][0]["reason"]
    (first, second) = server.of("written")
    assert "`so_far.paragraphs`" in first and "Step 1, analysis." in first and "bilevel.workflow_step" in first
    assert "Why it was refused" in second and "- analysis: asked 4, sent back 0" in "".join(server.of("session"))
    assert TEXT.splitlines()[2] not in "".join(server.of("session"))  # no sentence of a text goes up
    asked = len(server.requests)
    assert "byte for byte" in bilevel("replay", "r").out and len(server.requests) == asked


@pytest.mark.slow
def test_the_shipped_recipe_improves_a_page_that_rules_measure(bilevel, bilevel_json, serving):
    serving(SessionServer)
    args = ("--task", "page", "--model", "compatible:test", "--folder", "r", "--outer-cycles", "2")
    done = bilevel("run", "article-workflow", *args)
    assert done.code == 0, done.err
    assert bilevel_json("status", "r")["mechanisms"][0]["name"] == "step:warrant"


@pytest.mark.slow
def test_a_step_of_the_recipe_that_fails_too_often_is_out_for_good(bilevel, bilevel_json, serving):
    serving()
    Path("mine.md").write_text(TEXT)
    Path("faulty.step.py").write_text(FAULTY)
    inner = 'researcher = "workflow"\nlessons = false\ntrials = 6\nmechanisms = ["./faulty.step.py"]\n'
    settings = "[inner.settings]\nmax_faults = 2\n"
    Path("steps.toml").write_text(f'name = "steps"\ntitle = "a test"\ntask = "article"\n[inner]\n{inner}{settings}')
    done = bilevel(*RUN, "--folder", "r")
    assert done.code == 0, done.err
    status = bilevel_json("status", "r")
    counted = status["static"]["step:faulty"]["advise"]
    assert (counted["calls"], counted["faults"]) == (2, 2)
    assert status["steps"]["analysis"]["asked"] == 6
    shown = bilevel("show", "r", "--trial", "1").out
    assert "there is no such text" in shown
    assert "byte for byte" in bilevel("replay", "r").out and bilevel("verify", "r").code == 0
