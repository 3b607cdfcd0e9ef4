"""Mechanisms in another process: a loop cannot tell the difference."""

from dataclasses import replace

import pytest
from proxied import ASKER, BELOW, FILES, STATEFUL, TABU, Channels, FileBowl, Model, guest

from bilevel.budget import Budget
from bilevel.conformance import check_mechanism
from bilevel.errors import GuestError, ModelUnavailable, Stopped
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, load, overridden
from bilevel.mechanisms import library, source
from bilevel.nesting import nest
from bilevel.sandbox.proxy import Sandbox, preloaded
from bilevel.situations import BASELINE, Bowl, Case, Walk, mixed_trace, view_of
from bilevel.space import Float, Space
from bilevel.surfaces import MechanismSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trace import Trace
from bilevel.trial import Proposal

LIBRARY = [Guest(name, source(name)) for name in library()]


@pytest.fixture
def near():
    """A sandbox whose guests are in this process, with every message as text; `near.channels` has the messages."""
    channels = Channels()
    with Sandbox(start=channels) as sandbox:
        sandbox.channels = channels
        yield sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox("limits") as sandbox:
        yield sandbox


class Sources:
    """A researcher for an outer loop: puts the given mechanisms in force one after the other."""

    name, reads_advice, free = "sources", False, True

    def __init__(self, *sources):
        self.sources = sources

    def propose(self, view, parent, briefing):
        text = self.sources[(view.number - 1) % len(self.sources)]
        return [Proposal(mechanism_set((*guests_of(parent), Guest(f"m{view.number}", text))), "one more")]


def searched(loader, *guests, task=None, trials=20, workers=1, model=None, seed=0):
    spec = LoopSpec(
        "inner", task or Bowl(), Walk(), guests, budget=Budget(trials=trials), seed=seed, load=loader, shadow=0.5
    )
    models = {"inner": model} if model else {}
    return Loop(spec, Lab(workers=workers, models=models)).run()


def same_search(sandbox, *guests, **options):
    here, there = searched(load, *guests, **options), searched(sandbox.load, *guests, **options)
    assert [f.message for trial in there for f in trial.faults] == [f.message for trial in here for f in trial.faults]
    assert there.ledger() == here.ledger()
    assert there.fingerprint() == here.fingerprint()
    return there


# ---- the law: the same trace ----


@pytest.mark.parametrize("shipped", LIBRARY, ids=lambda guest: guest.name)
def test_a_shipped_mechanism_searches_the_same_in_a_sandbox(near, shipped):
    same_search(near, shipped, seed=3)


@pytest.mark.parametrize("name", ["smoke_run", "halving"])
def test_a_mechanism_in_a_sandbox_sees_the_rungs_of_the_task(near, name):
    trace = same_search(near, Guest(name, source(name)))
    assert trace.ledger()[name]["plan"].decisive > 0
    assert {run.rung for trial in trace for run in trial.runs} == {"quick", "full"}


@pytest.mark.parametrize("rule", STATEFUL, ids=lambda guest: guest.name)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_mechanism_with_a_memory_searches_the_same_in_a_sandbox(near, rule, workers):
    trace = same_search(near, rule, workers=workers, task=FileBowl())
    assert not any(trial.faults for trial in trace)
    assert sum(count.touched for count in trace.ledger()[rule.name].values()) > 5


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_mechanisms_search_the_same_in_processes_of_their_own(sandbox, workers):
    rules = (*STATEFUL, Guest("bandit", source("bandit", patience=0)))
    trace = same_search(sandbox, *rules, workers=workers, task=FileBowl())
    assert not any(trial.faults for trial in trace)
    assert sandbox.cells == len(rules)


def test_the_levels_above_search_the_same(near):
    def run(loader):
        inner = LoopSpec("inner", Bowl(), Walk(), (TABU,), load=loader)
        sources = [source("bandit"), TABU.source, source("restart"), source("tabu")]
        outer = nest(inner, MechanismSurface(admit_loadable), Sources(*sources), name="outer", trials=4, cycles=5)
        lab = Lab()
        trace = Loop(replace(outer, mechanisms=(BELOW,), load=loader), lab).run()
        branches = sorted(branch.id for branch in lab.store.branches())
        return trace, [lab.traces.trace(branch, Bowl().objective).fingerprint() for branch in branches if "/" in branch]

    (here, inner_here), (there, inner_there) = run(load), run(near.load)
    assert not any(trial.faults for trial in there)
    assert "(" in there[2].proposal.why  # the mechanism read what is below
    assert (there.fingerprint(), inner_there) == (here.fingerprint(), inner_here)
    assert near.cells <= 5  # one process per source at a time, a fresh one for each arm


# ---- questions to a model ----


def test_a_mechanism_asks_a_model_through_the_hosts_meter(near):
    here, there = Model(), Model()
    first = searched(load, ASKER, model=here)
    second = searched(near.load, ASKER, model=there)
    assert second.fingerprint() == first.fingerprint()
    assert there.asked == here.asked and len(here.asked) > 20
    assert [t.proposal.why for t in second] == [t.proposal.why for t in first]
    assert "answer" in second[5].proposal.why


def test_without_a_model_the_guest_is_told_so_with_its_line(near):
    trace = searched(near.load, ASKER, trials=2)
    assert trace[1].faults[0].message.startswith("view.ask: this run has no language model")
    assert "(line 11: return briefing.with_block" in trace[1].faults[0].message


@pytest.mark.parametrize("failure", [ModelUnavailable("no answer"), Stopped("enough")])
def test_what_fails_in_the_host_is_never_the_guests_fault_though_it_catches_it(near, failure):
    body = """
def advise(self, view, briefing):
    try:
        view.ask("?", "p")
    except Exception:
        pass
    return briefing
"""
    with pytest.raises(type(failure), match=str(failure)):
        searched(near.load, guest("catches", body), model=Model(failure=failure))


def test_a_guests_error_of_a_question_reaches_the_guest(near):
    body = """
def advise(self, view, briefing):
    for n in range(20):
        try:
            view.ask(f"{n}", f"{n}")
        except GuestError as error:
            return replace(briefing, guidance=f"{n}: {error}")
def decide(self, view, trial):
    return Decision(False, "no")
"""
    rule = guest("greedy", body, "from bilevel.errors import GuestError")
    same_search(near, rule, model=Model(), trials=3)
    made = near.load(rule)
    view = view_of(Case("x", mixed_trace(Bowl().space, 3), Bowl().space, BASELINE, ()), None)

    def refuse(request, purpose, seed, repeat):
        raise GuestError("a hook may ask no more")

    from bilevel.view import Briefing

    assert made.advise(replace(view, asks=refuse), Briefing()).guidance == "0: a hook may ask no more"


# ---- what comes back ----


def view_after(trace, **changes):
    case = Case("made", trace, Bowl().space, BASELINE, ())
    return replace(view_of(case, None), **changes)


def test_an_answer_that_is_the_question_is_the_very_same_object(near):
    body = """
def select(self, view, parent):
    return parent
def constrain(self, view, space):
    return view.space
def advise(self, view, briefing):
    return briefing
def propose(self, view, parent, proposals):
    return [proposals[1], proposals[0].drop("no"), proposals[2]]
def plan(self, view, proposal, partial, steps):
    return steps
def decide(self, view, trial):
    return trial.decision
"""
    made, trace = near.load(guest("same", body)), mixed_trace(Bowl().space, 12)
    view, parent = view_after(trace), trace[3].candidate
    from bilevel.trial import Step
    from bilevel.view import Briefing

    briefing, steps, trial = Briefing(guidance="x"), (Step("full"),), trace[5]
    assert made.select(view, parent) is parent
    assert made.constrain(view, view.space) is view.space
    assert made.advise(view, briefing) is briefing
    assert made.plan(view, trial.proposal, (), steps) is steps
    assert made.decide(view, trial) is trial.decision
    three = tuple(Proposal(trace[n].candidate, f"{n}", notes={"n": (n, [2**19])}) for n in (4, 5, 6))
    answer = made.propose(view, parent, three)
    assert answer[0] is three[1] and answer[2] is three[2]
    assert answer[1] == three[0].drop("no") and answer[1].candidate is three[0].candidate


def test_a_space_keeps_the_domains_that_were_not_changed(near):
    body = """
def constrain(self, view, space):
    return space.narrow("rate", Float(1e-3, 1.0, log=True)).cap("momentum", 1).weigh("width", 2).freeze(["bias"], "me")
"""
    made, view = near.load(guest("narrows", body)), view_after(mixed_trace(Bowl().space, 3))
    expected = load(guest("narrows", body)).constrain(view, view.space)
    narrowed = made.constrain(view, view.space)
    assert narrowed == expected and list(narrowed.domains) == list(expected.domains)
    assert narrowed.domains["rate"] == Float(1e-3, 1.0, log=True)
    assert narrowed.domains["shape"] is view.space.domains["shape"]
    assert type(narrowed.caps["momentum"]) is type(expected.caps["momentum"])


@pytest.mark.parametrize(
    "hook, body, reason",
    [
        ("select", "return None", "select must return a Candidate, not NoneType"),
        ("select", "return Candidate({'x': object()})", "a value of type object cannot be stored"),
        ("select", "return Candidate({'x': 10**5000})", "bits is too long"),
        ("advise", "return 'words'", "advise must return a Briefing, not str"),
        (
            "advise",
            "return replace(briefing, history_window='all')",
            "Briefing.history_window: a whole number is needed",
        ),
        ("advise", "return replace(briefing, blocks=[Block('a', 'b')])", "a tuple is needed here"),
        ("constrain", "return {}", "constrain must return a Space, not dict"),
        ("propose", "return None", "propose must return a sequence of Proposal"),
        ("propose", "return [Proposal(parent, notes={3: 1})]", "texts as keys"),
        ("propose", "return [Proposal(parent, why=3)]", "Proposal.why: a text is needed here, not 3"),
        ("propose", "return [Proposal('a')]", "a Candidate is needed here, not str"),
        ("propose", "return [Proposal(Candidate({}, {'a': 3}))]", "the files of a candidate must be text"),
        ("plan", "return 7", "plan must return a sequence of Step"),
        ("plan", "return [Step('full', True)]", "Step.seed: a whole number is needed here, not True"),
        ("decide", "return True", "decide must return a Decision, not bool"),
        ("decide", "return Decision(1, '')", "Decision.keep: True or False is needed here, not 1"),
        ("decide", "return [][1]", r"IndexError: list index out of range \(line 11: return \[\]\[1\]\)"),
        ("decide", "raise SystemExit(3)", r"SystemExit: 3 \(line 11"),
        ("decide", "return self.missing.value", r"AttributeError: .* has no attribute 'missing' \(line 11"),
    ],
)
def test_nonsense_is_a_guests_error_that_says_what_came_and_where(near, hook, body, reason):
    arguments = {"select": "parent", "advise": "briefing", "constrain": "space", "decide": "trial"}
    arguments |= {"propose": "parent, proposals", "plan": "proposal, partial, steps"}
    rule = guest("wrong", f"\ndef {hook}(self, view, {arguments[hook]}):\n    {body}")
    trace = searched(near.load, rule, trials=4)
    import re

    faults = [fault for trial in trace for fault in trial.faults]
    assert len(faults) >= 3 and re.search(reason, faults[0].message)


def test_errors_name_the_line_of_the_guests_own_source(near):
    body = """
def select(self, view, parent):
    return self._deep(view)
def _deep(self, view):
    return min([], key=lambda x: x)
"""
    made = near.load(guest("errs", body))
    with pytest.raises(GuestError, match=r"^ValueError: min\(\) .*\(line 13: return min\("):
        made.select(view_after(mixed_trace(Bowl().space, 2)), BASELINE)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("x = (", "mechanism 'm' cannot be loaded: SyntaxError"),
        ("a = 1\nb = a / 0", r"cannot be loaded: ZeroDivisionError: division by zero \(line 2: b = a / 0\)"),
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError"),
        ("a = 1", "must define exactly one subclass of Mechanism, not 0"),
        ("raise KeyboardInterrupt", "cannot be loaded: KeyboardInterrupt"),
        (f"{TABU.source}    needs = ['numeric']\n", "needs must be a frozenset of texts"),
        (f"{TABU.source}    domain = 7\n", "domain must be a text"),
        (
            f"{TABU.source}    def __init__(self):\n        self.x = 1 / 0",
            r"cannot be made: .*\(line 21: self.x = 1 / 0",
        ),
    ],
)
def test_what_cannot_be_loaded_says_why(near, text, reason):
    with pytest.raises(GuestError, match=reason):
        near.load(Guest("m", text))


def test_a_proxy_has_the_hooks_and_declarations_of_its_guest(near):
    for shipped in LIBRARY:
        here, there = load(shipped), near.load(shipped)
        assert overridden(there) == overridden(here)
        assert (there.needs, there.domain) == (here.needs, here.domain)


# ---- traces and files ----


def test_what_a_call_sends_does_not_grow_with_the_trace(near):
    made = near.load(TABU)
    lengths = {}
    for length in (10, 300):
        trace = mixed_trace(Bowl().space, length + 1)
        made.constrain(view_after(trace.upto(length)), Bowl().space)
        made.constrain(view_after(trace), Bowl().space)  # knows one trial more
        lengths[length] = len(near.channels[0].texts[-1])
    assert lengths[300] < 1.5 * lengths[10]
    assert max(map(len, near.channels[0].texts)) < 400_000  # nor is the start one message


def test_forked_histories_share_what_they_have_in_common(near):
    made, trace = near.load(guest("counts", "\ndef select(self, view, parent):\n    return view.trace[0].parent")), None
    trace = mixed_trace(Bowl().space, 200)
    made.select(view_after(trace), BASELINE)
    sent = len(near.channels[0].texts)
    other = Trace(trace.objective)
    for trial in trace[:150]:
        other = other + trial  # the same trials, but a history of its own
    fork = trace.upto(150) + replace(trace[150], reason="another")
    made.select(view_after(fork), BASELINE)
    made.select(view_after(trace.upto(77)), BASELINE)
    texts = near.channels[0].texts[sent:]
    assert len(texts) == 2 and max(map(len, texts)) < 3000
    made.select(view_after(other), BASELINE)
    assert len(near.channels[0].texts[-1]) < 10_000  # numbers of histories, no trial again


def test_a_history_has_one_mark_wherever_it_is_shared():
    trace = mixed_trace(Bowl().space, 10)
    fork = trace.upto(5) + replace(trace[5], reason="x")
    assert Trace(trace.objective).mark is None
    assert trace.upto(5).mark is fork.upto(5).mark and trace.upto(6).mark is not fork.mark
    assert (trace + trace_after(trace)).upto(10).mark is trace.mark


def trace_after(trace):
    return replace(trace[-1], number=len(trace))


def test_files_are_fetched_when_they_are_read_and_not_before(near):
    body = """
def propose(self, view, parent, proposals):
    moved = parent.with_params(momentum=0.25)
    again = replace(moved, params={**moved.params, "bias": True})
    assert moved.files == parent.files and sorted(parent.files) == ["main.py", "notes.txt"] and len(moved.files) == 2
    return [Proposal(moved, moved.id), Proposal(again, again.id), Proposal(parent, parent.id)]
"""
    made, parent = near.load(guest("moves", body)), FileBowl().baseline()
    view = view_after(mixed_trace(Bowl().space, 2))
    moved, again, same = made.propose(view, parent, ())
    assert all(one.candidate.files == parent.files and one.why == one.candidate.id for one in (moved, again, same))
    assert moved.candidate == parent.with_params(momentum=0.25) and again.candidate.params["bias"] is True
    assert same.candidate is parent
    assert [question[0] for question in near.channels[0].questions] == ["id", "id"]
    assert "start" not in "".join(near.channels[0].texts)


def test_new_files_come_back_and_unchanged_ones_do_not_travel(near):
    made, parent = near.load(FILES), FileBowl().baseline()
    view = view_after(mixed_trace(Bowl().space, 3))
    for _ in range(2):
        grown = made.propose(view, parent, ())[0].candidate
        assert grown.files == {**parent.files, "notes.txt": parent.files["notes.txt"] + "3\n"}
    fetched = [question for question in near.channels[0].questions if question[0] == "file"]
    assert len(fetched) == len(parent.files)  # each once


# ---- processes ----


def test_a_process_loads_beforehand_what_the_source_imports():
    text = """
import json, numpy as np
import os, antigravity, scipy
from scipy.stats import norm
from scipy import linalg as la
from collections.abc import Mapping
def f():
    import statistics
    return np.fft.fft([1]), np.array, scipy.optimize.minimize, la.no_such
"""
    assert set(preloaded(text)) == {
        "json", "numpy", "numpy.fft", "scipy", "scipy.stats", "scipy.linalg", "scipy.optimize",
        "collections.abc", "statistics",
    }  # fmt: skip
    assert preloaded("this is (not python") == ()


def test_each_load_has_an_instance_and_a_namespace_of_its_own(near):
    text = "\ncount = []\ndef select(self, view, parent):\n    self.count.append(1); SEEN.append(1)\n"
    text += "    return parent.with_params(layers=10 * len(self.count) + len(SEEN))"
    rule = guest("impure", text, "SEEN = []")
    first, second = near.load(rule), near.load(Guest("other name", rule.source))
    view = view_after(mixed_trace(Bowl().space, 2))
    assert [first.select(view, BASELINE).params["layers"] for _ in range(2)] == [11, 22]
    assert second.select(view, BASELINE).params["layers"] == 11
    assert len(near.channels) == 1


def test_spaces_that_change_with_each_call_do_not_pile_up(near):
    made = near.load(guest("sees", "\ndef constrain(self, view, space):\n    return space.freeze(['bias'], 'me')"))
    view = view_after(mixed_trace(Bowl().space, 2))
    for number in range(600):
        space = Space(view.space.domains, weights={"rate": float(number)})
        assert made.constrain(replace(view, space=space), space).weights == {"rate": float(number)}
    assert len(near.channels[0].side.known.slots) <= 256


@pytest.mark.slow
def test_a_proxy_passes_the_suite_that_its_guest_passes(near):
    assert check_mechanism(lambda: near.load(TABU)) == check_mechanism(lambda: load(TABU)) == []
