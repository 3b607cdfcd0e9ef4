"""What the outer levels see of an inner search: process signals, never contents."""

from dataclasses import replace

import pytest
from outer_models import EXAMPLE, GOOD, TASK, WANDER, Rounds, below_of, inner, outer_view, searched, session

from bilevel.admission import door
from bilevel.budget import Cost
from bilevel.mechanism import Guest
from bilevel.researchers import signals
from bilevel.researchers.history import Teller
from bilevel.researchers.llm_settings import ModelSettings
from bilevel.space import Bool, Candidate, Change, Choice, Derived, Float, Int
from bilevel.surfaces import MechanismSurface, SettingsSurface, mechanism_set
from bilevel.trace import Trace
from bilevel.trial import Count, Decision, Fault, Lesson, Proposal, Run, Status, Trial, TurnedBack
from bilevel.view import Block, Briefing

START = TASK.start


def planted(mechanism="cool_off"):
    """An inner trace with a canary in every place that holds contents, and a fault that may be shown."""
    trace, texts = Trace(TASK.objective), [f"CANARY start {n}" for n in range(3)]
    backs = ("CANARY turned back", "already measured as trial 1", f"{mechanism}: CANARY dropped")
    for number in range(9):
        old = Candidate(START.params, {"train.py": "\n".join(texts)})
        texts = [*texts[1:], f"CANARY file {number}", f"CANARY more {number}"]
        new = Candidate({**START.params, "x0": 0.5 * number}, {"train.py": "\n".join(texts)})
        score = 3.0 - 0.1 * number if number % 3 != 2 else None
        status = Status.EXIT if score is None else Status.OK
        metrics = None if score is None else {TASK.objective.name: score}
        trace = trace + Trial(
            number,
            old,
            Proposal(new, "CANARY why", "CANARY author", {"idea": "CANARY notes"}),
            (Run("full", 0, status, metrics, Cost(1), log="CANARY log", data={"reason": "CANARY data"}),),
            status,
            score,
            Decision(number == 0, "CANARY decision"),
            changes={"x0": Change(0.0, 0.5 * number)} if number else {},
            reason="CANARY reason" if score is None else "",
            turned_back=tuple(TurnedBack("id", reason, "CANARY author") for reason in backs),
            ledger={mechanism: {"propose": Count(3, 2, 1)}},
            faults=(Fault("researcher llm", "propose", "CANARY reply"), Fault(mechanism, "select", "KeyError: 'x9'")),
            told={"note": "CANARY told"},
            learned=(Lesson("works", "CANARY lesson", "CANARY rule", 0.9, (1,)),),
        )
    return trace


@pytest.mark.parametrize("budget", [1500, 24000])
def test_no_contents_of_the_inner_search_reach_a_model_of_an_outer_level(budget):
    answers = {**GOOD, "repair": f"```\n{EXAMPLE}# mended\n```", "settings": {"diagnosis": "stuck"}}
    model, below = Rounds(answers), below_of(planted())
    spec = inner([Guest("cool_off", WANDER)])
    model.replies["specify"] = {**GOOD["specify"], "kind": "replace", "target": "cool_off"}
    view, parent, _ = outer_view(model, spec, MechanismSurface(door), below=below)
    view = replace(view, lessons=(Lesson("works", "CANARY lesson of the view", "CANARY", 1.0, (1,)),))
    writer = session(prompt_tokens=budget)
    (one,) = writer.propose(view, parent, Briefing())
    writer.propose(view, parent, Briefing(attempt=1, turned_back=(TurnedBack(one.candidate.id, "no"),)))
    settings_view, settings, _ = outer_view(model, spec, SettingsSurface(), below=below)
    ModelSettings(prompt_tokens=budget).propose(settings_view, settings, Briefing())
    assert {name for name, _ in model.asked} >= {"explore", "critique", "specify", "generate", "repair", "settings"}
    assert "CANARY" not in model.texts()
    if budget > 2000:
        assert "train.py +2 -1 lines" in model.texts() and "KeyError: 'x9'" in model.texts()


def test_the_prompt_about_an_inert_mechanism_holds_no_contents_either():
    model = Rounds({**GOOD, "inert": f"```\n{EXAMPLE}# again\n```"})
    view, parent, _ = outer_view(model, below=below_of(planted()))
    candidate = mechanism_set((Guest("cool_off", EXAMPLE),))
    told = {"number": 9, "author": "CANARY author", "candidate": "an id", "changes": {"x0": [0.0, 1.5]}, "score": 2.5,
            "keep": True, "ledger": {"cool_off": {"constrain": [1, 1, 0, 0]}}}  # fmt: skip
    arms = {"challenger": {"trials": [told]}, "control": {"trials": [{**told, "candidate": "another"}]}}
    data = {"ledger": {"cool_off": {"constrain": [6, 0, 0, 0]}}, "arms": arms}
    run = Run("cycle", 0, Status.OK, {"gain": 0.0}, data=data)
    trace = Trace(view.trace.objective)
    for number, proposal in enumerate(
        (Proposal(parent), Proposal(candidate, "w", "llm session", {"mechanism": "cool_off"}))
    ):
        decision = Decision(number == 0, "inert: cool_off changed no decision, so no gain is credited")
        trace = trace + Trial(number, parent, proposal, (run,), Status.OK, 0.0, decision)
    (proposal,) = session().propose(replace(view, trace=trace, number=2), parent, Briefing())
    assert proposal.notes["repair_of"] == 1 and [name for name, _ in model.asked] == ["inert"]
    assert "constrain: 6 calls, 0 touched, 0 decisive" in model.texts() and "CANARY" not in model.texts()
    line = "9, the researcher: x0 0.0 -> 1.5 | 2.5 | kept | constrain touched | another candidate ran there"
    assert line in model.texts()


def test_a_line_of_a_trial_says_what_changed_and_what_came_of_it():
    trace = planted()
    line = signals.trial_line(trace, trace[4], ("cool_off",))
    assert line.startswith("4: x0 0.0 -> 2.0, train.py +2 -1 lines | 2.6") and "| discarded" in line
    assert line.endswith(
        "turned back before: 1 against the rules of the space or the task, 1 measured before, 1 refused by cool_off"
    )
    assert "| exit |" in signals.trial_line(trace, trace[5])
    real = searched("random")
    with_gain = [signals.trial_line(real, trial) for trial in real if trial.number and trial.score is not None]
    assert all(" <- " in text and "(" in text for text in with_gain)


def trial_at(trace, score, author="random", ledger=None, keep=False, seeds=1, **changes):
    """The next trial: measured with these scores per seed, from where the search stands."""
    parent = trace.current or START
    candidate, name = parent.with_params(**changes), TASK.objective.name
    scores = score if isinstance(score, list) else [score]
    runs = tuple(Run("full", seed, Status.OK, {name: value}, Cost(1)) for seed, value in enumerate(scores))
    return Trial(
        len(trace), parent, Proposal(candidate, "", author), runs, Status.OK, sum(scores) / len(scores),
        Decision(keep, ""), candidate.changes_from(parent), ledger=ledger or {},
    )  # fmt: skip


def test_inner_and_outer_prompts_tell_the_same_gain_and_the_same_margin():
    trace = Trace(TASK.objective)
    trace = trace + trial_at(trace, [3.0, 3.3, 3.6], keep=True)
    trace = trace + trial_at(trace, 2.9, x0=1.0)
    assert "(+0.1)" in signals.trial_line(trace, trace[1]) and "gain +0.1" in Teller(trace, "llm", {}).line(trace[1])
    assert "a gain of more than 0.698 counts: this figure rules" in signals.standing(below_of(trace)).full
    assert (
        "1 trial after the baseline (3.3); best 2.9 (trial 1), 0 trials since" in signals.standing(below_of(trace)).full
    )
    assert "of 1 trial only: so few mean little" in signals.bottlenecks(below_of(trace)).full


@pytest.mark.parametrize(("score", "said"), [(2.9, "does not stand on"), (1.5, "stands away from")])
def test_a_best_elsewhere_is_told_with_its_lead_and_what_differs(score, said):
    trace = Trace(TASK.objective)
    trace = trace + trial_at(trace, [2.9, 3.0, 3.1], keep=True)
    for number in range(6):
        trace = trace + trial_at(trace, score if number == 0 else 4.0, x0=1.0 + number)
    text = signals.bottlenecks(below_of(trace)).full
    assert f"the search {said} its best candidate, which leads by" in text and "differs in x0" in text
    assert ("(within the noise)" in text) == (score > 2) and ("away from its incumbent" in text) == (score < 2)


def test_a_trial_of_a_rule_says_so_where_another_candidate_had_run_without_it():
    trace = Trace(TASK.objective)
    for number, decisive in enumerate((0, 0, 1)):
        ledger = {"walker": {"propose": Count(1, 1, decisive)}}
        trace = trace + trial_at(trace, 3.0, "walker", ledger, keep=not number, x0=1.0 + number)
    lines = [signals.trial_line(trace, trial, ("walker",)) for trial in trace]
    assert "walker" not in lines[1] and lines[2].startswith("2 <- 0, proposed by rule walker: x0")


def test_the_statistics_name_concentration_acceptance_failures_and_plateau():
    text = signals.bottlenecks(below_of(planted())).full
    for needed in ("kept 0 of 8; outcomes: 5 ok, 3 exit", "x0 in 100%", "never changed (x1, x2", "stands out:",
                   "drafts turned back per trial (of all: "):  # fmt: skip
        assert needed in text, needed
    empty = below_of(searched(trials=0))
    assert "no trial after the baseline yet" in signals.bottlenecks(empty).full
    assert signals.standing(below_of(Trace(TASK.objective))).full.startswith("## Where the search stands")


def test_the_table_of_parameters_says_how_often_each_was_changed_and_what_is_frozen():
    lines = signals.parameters(below_of(planted()), ["x1"]).lines
    assert lines[-1].startswith("x0 | Float -5 to 5 | now ") and "changed 8x | kept 0x | best gain" in lines[-1]
    assert any(line.startswith("x1 | ") and line.endswith("changed 0x | FROZEN") for line in lines)


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Float(1e-4, 1, log=True), "Float 0.0001 to 1, log"),
        (Int(1, 8, power_of_two=True), "Int 1 to 8, powers of two"),
        (Int(1, 8, locked=True), "Int 1 to 8, locked"),
        (Choice(("a", 2, (0.1, 0.2))), "Choice of 'a', 2, (0.1, 0.2)"),
        (Bool(), "Bool"),
        (Derived(), "derived, cannot be set"),
    ],
)
def test_domains_are_described_in_words(domain, text):
    assert signals.domain_text(domain) == text


def test_the_ledger_says_what_each_mechanism_did():
    assert (
        signals.ledger_line("m", {"plan": Count(4, 2, 1, 1)}) == "- m: plan: 4 calls, 2 touched, 1 decisive, 1 faults"
    )
    assert signals.ledger_line("m", {}) == "- m: never called"
    assert "none" in signals.ledger(Trace(TASK.objective), ()).full


def test_advice_of_the_own_level_is_no_content_of_the_inner_search():
    model = Rounds({**GOOD})
    view, parent, _ = outer_view(model)
    session().propose(view, parent, Briefing((Block("watcher", "own advice"),)))
    assert "own advice" in model.prompt("explore")
