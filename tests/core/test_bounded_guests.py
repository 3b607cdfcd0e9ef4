"""What a guest answers is bounded before it is stored, and nothing that it writes passes for the host's own."""

import pytest

from bilevel.budget import Budget
from bilevel.call import Message, Reply, Request
from bilevel.keep import keep_by_default
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism
from bilevel.objective import Objective
from bilevel.situations import Bowl, Walk
from bilevel.space import Candidate
from bilevel.surfaces import MechanismSurface, mechanism_set
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Step, Trial
from bilevel.view import Block


class Yes:
    name = "yes:yes"

    def complete(self, request, seed, watch):
        return Reply("yes", self.name)


def faults_of(**hooks):
    rule = type("Rule", (Mechanism,), hooks)
    spec = LoopSpec("inner", Bowl(), Walk(), (Guest("rule", ""),), budget=Budget(trials=2), load=lambda _: rule())
    trace = Loop(spec, Lab(models={"inner": Yes()})).run()
    assert all(fault.guest == "rule" for trial in trace for fault in trial.faults)
    return trace, " ".join(fault.message for trial in trace for fault in trial.faults)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"why": "x" * 10**5}, "why one of at most"),
        ({"author": "x" * 200}, "author is a text of at most"),
        ({"notes": {"a": "x" * 10**5}}, "propose (notes) returns is too long"),
        ({"params": {"momentum": 10**400}}, "too long to be computed with"),
    ],
)
def test_a_proposal_is_no_place_to_store_things(change, said):
    def propose(self, view, parent, proposals):
        params = {**proposals[0].candidate.params, **change.get("params", {})}
        words = {name: value for name, value in change.items() if name != "params"}
        return [Proposal(Candidate(params), **words)]

    assert said in faults_of(propose=propose)[1]


def test_the_reason_for_which_a_draft_is_turned_back_is_stored_in_short():
    trace, _ = faults_of(propose=lambda self, view, parent, proposals: [one.drop("x" * 10**5) for one in proposals])
    assert max(len(back.reason) for trial in trace for back in trial.turned_back) < 600


def test_advice_without_end_is_a_fault():
    blocks = tuple(Block("rule", "x" * 20_000) for _ in range(10))
    said = faults_of(advise=lambda self, view, briefing: type(briefing)(blocks))[1]
    assert "all blocks of advice together" in said


@pytest.mark.parametrize("weight", [float("inf"), 10**400])
def test_weights_that_no_researcher_can_compute_with_are_a_fault_of_the_one_who_gave_them(weight):
    def constrain(self, view, space):
        return type(space)(space.domains, space.frozen, space.caps, {"rate": weight})

    assert faults_of(constrain=constrain)[1]


@pytest.mark.parametrize(
    ("request_", "purpose", "repeat"),
    [
        (Request((Message("user", "hello"),)), "propose/again", 0),
        (Request((Message("user", "hello"),)), "a\x1b[2Jb", 0),
        (Request((Message("user", "hello"),)), "x" * 1000, 0),
        (Request((Message("user", "hello"),)), "p", 2**70),
        (Request((Message("user", "hello"),)), "p", -1),
        (Request((Message("user", "hello"),), most_tokens=-1), "p", 0),
        (Request((Message("user", "hello"),), most_tokens=2**70), "p", 0),
        (Request((Message("user", "hello"),), temperature=1e9), "p", 0),
        (Request((Message("user", "x" * 10**6),)), "p", 0),
        (Request((Message("user", ""),)), "p", 0),
        (Request(()), "p", 0),
    ],
)
def test_a_question_that_a_provider_would_refuse_ends_no_run(request_, purpose, repeat):
    asked = []

    def decide(self, view, trial):
        asked.append(view.call(request_, purpose, repeat))
        return trial.decision

    assert faults_of(decide=decide)[1] and not asked


@pytest.mark.parametrize("tests", [(), ({"mechanism": "m", "source": "s", "sign": 1},)])
def test_a_note_does_not_make_a_trial_one_of_probation(tests):
    objective = Objective("gain", minimize=False, relative=True)
    one, other = Candidate({"order": ()}), Candidate({"order": ("m",)})
    data = {"tests": list(tests), "control": True, "spread": 1.0, "discredit": "inert: m changed no decision"}
    run = Run("cycle", 0, Status.OK, {"gain": -1.0}, data=data)
    proposal = Proposal(other, notes={"probation": "m"})
    trial = Trial(1, one, proposal, (run,), Status.OK, -1.0, Decision(False, ""))
    assert keep_by_default(Trace(objective), trial) == Decision(False, "inert: m changed no decision")


@pytest.mark.parametrize(("seeds", "skips"), [((2,), True), ((0, 2), True), ((0, 1, 2), False), ((1, 0), True)])
def test_no_plan_picks_a_lucky_seed(seeds, skips):
    def plan(self, view, proposal, partial, steps):
        return steps if partial else tuple(Step(steps[0].rung, seed) for seed in seeds)

    trace, said = faults_of(plan=plan)
    assert ("seeds are taken in their order" in said) is skips
    assert {run.seed for run in trace[1].runs} == ({0} if skips else set(seeds))


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "../../x", "a\nb", "```", "", "x" * 100, "researcher walk"])
def test_a_mechanism_has_a_name_that_can_be_printed_anywhere(name):
    surface, spec = MechanismSurface(door=lambda guest: None), LoopSpec("inner", Bowl(), Walk())
    (problem,) = surface.problems(spec, mechanism_set((Guest(name, "x"),)), mechanism_set(()))
    assert "is no name of a mechanism" in problem and problem.isprintable()
    assert surface.problems(spec, mechanism_set((Guest("tabu-2 b.x", "x"),)), mechanism_set(())) == []
