"""What the door says to the author of a mechanism that does not work: each way to fail has its own sentence."""

import pytest

from bilevel import admission
from bilevel.admission import admit, door
from bilevel.errors import HarnessError
from bilevel.mechanism import Guest
from bilevel.mechanisms import library, source

HEAD = "from bilevel.mechanism import Mechanism\n"


def rule(body: str, head: str = HEAD, name: str = "Rule") -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"{head}\nclass {name}(Mechanism):\n{lines}"


def said(text: str) -> str:
    admission = admit(text)
    assert admission.ok == (not admission.problems)
    return "\n".join(admission.problems)


PROPOSE = "def propose(self, view, parent, proposals):\n"
ADVISE = "def advise(self, view, briefing):\n    return briefing.with_block('rule', f'{len(str(view.memory))}')"
FAILURES = {
    "a parameter that does not exist": (
        rule("def constrain(self, view, space):\n    return space.freeze(['TOTAL_BATCH'], 'rule')"),
        ["constrain", "there is no parameter 'TOTAL_BATCH'", "the parameters are: momentum", "line 5"],
    ),
    "a parameter that does not exist, by key": (
        rule(PROPOSE + "    parent.params['LR']\n    return proposals"),
        ["KeyError", "'LR'", "differ from task to task", "line 5: parent.params['LR']"],
    ),
    "a method of the host that does not exist": (
        rule("def select(self, view, parent):\n    return view.trace.best_candidate()"),
        ["AttributeError", "best_candidate", "a Trace has: ", "incumbent", "line 5"],
    ),
    "arithmetic on source strings": (
        rule(PROPOSE + "    step = '2**19' - '2**18'\n    return proposals"),
        ["TypeError", "never source text", "line 5"],
    ),
    "every configuration is tabu": (
        rule(
            PROPOSE
            + "    seen = {(n, v) for t in view.trace for n, v in t.candidate.params.items()}\n"
            + "    bad = lambda p: any(item in seen for item in p.candidate.params.items())\n"
            + "    return [p.drop('tabu') if bad(p) else p for p in proposals]"
        ),
        ["turned back all", "only the parameters that a proposal changes"],
    ),
    "all samples of a Latin hypercube identical": (
        rule(
            "needs = frozenset({'numeric'})\n"
            + PROPOSE
            + "    point = {n: view.space.domains[n].at(0.5) for n in view.space.active}\n"
            + "    return [Proposal(parent.with_params(**point)) for _ in range(6)]",
            HEAD + "from bilevel.trial import Proposal\n",
        ),
        ["6 own proposals are one and the same", "0.5"],
    ),
    "bounds that nobody gave": (
        rule(PROPOSE + "    widths = [d.high - d.low for d in view.space.domains.values()]\n    return proposals"),
        ["AttributeError", "'Choice' object has no attribute 'high'", "a Choice has: at, check"],
    ),
    "the logarithm of zero": (
        rule(PROPOSE + "    math.log(parent.params.get('momentum', 0))\n    return proposals", HEAD + "import math\n"),
        ["ValueError: ", "may be 0", "line 6: math.log"],
    ),
    "division by a noise of zero": (
        rule("def decide(self, view, trial):\n    1 / view.trace.noise.sd\n    return trial.decision"),
        ["ZeroDivisionError", "may be 0"],
    ),
    "a score that is missing": (
        rule("def decide(self, view, trial):\n    trial.score < 1\n    return trial.decision"),
        ["TypeError", "a score is None where a trial failed"],
    ),
    "a missing third-party package": (
        rule(PROPOSE + "    return proposals", HEAD + "import skopt\n"),
        ["line 2: 'skopt' may not be imported", "numpy", "math"],
    ),
    "a class that is never called": (
        rule("def suggest(self, view):\n    return None"),
        ["overrides no hook", "suggest is not a hook", "remember, select, advise"],
    ),
    "state that is never updated": (
        rule("def select(self, view, parent):\n    return view.memory or parent"),
        ["view.memory is always None", "define remember"],
    ),
    "state on self": (
        rule("count = 0\ndef select(self, view, parent):\n    self.count += 1\n    return parent"),
        ["line 6: self.count keeps state on self", "remember(self, memory, trial)"],
    ),
    "state in a list of the class": (
        rule(
            "seen = []\ndef advise(self, view, briefing):\n    self.seen.append(1)\n"
            "    return briefing.with_block('rule', str(len(self.seen)))"
        ),
        ["line 6: self.seen.append(...) keeps state on self", "view.memory"],
    ),
    "a fallback that hides that nothing was loaded": (
        rule(
            PROPOSE + "    return proposals",
            HEAD + "try:\n    import numpy as np\nexcept ImportError:\n    np = None\n",
        ),
        ["line 2: a fallback for an import hides that it failed"],
    ),
    "an exception that is swallowed": (
        rule(PROPOSE + "    try:\n        return proposals\n    except Exception:\n        return []"),
        ["line 7: catching Exception hides mistakes"],
    ),
    "a memory that is mutated": (
        rule(
            "def remember(self, memory, trial):\n    memory = memory if memory is not None else []\n"
            "    memory.append(trial.number)\n    return memory\n" + ADVISE
        ),
        ["remember", "it changed the memory it was given", "return a new one"],
    ),
    "a view's memory that is mutated": (
        rule(
            "def remember(self, memory, trial):\n    return [trial.number]\n"
            "def select(self, view, parent):\n    view.memory and view.memory.append(1)\n    return parent"
        ),
        ["select", "changed view.memory"],
    ),
    "global chance": (
        rule(PROPOSE + "    return proposals if random.random() < 2 else []", HEAD + "import random\n"),
        ["line 6: random.random is global chance", "view.rng"],
    ),
    "chance without a seed": (
        rule(PROPOSE + "    return list(proposals)[: random.Random().randint(9, 9)]", HEAD + "import random\n"),
        ["without a seed does not replay"],
    ),
    "a wrong signature": (
        rule("def propose(self, parent, proposals):\n    return proposals"),
        ["line 4: expected def propose(self, view, parent, proposals), found def propose(self, parent, proposals)"],
    ),
    "an argument to make it": (
        rule(
            "def __init__(self, tenure):\n    self.tenure = tenure\ndef select(self, view, parent):\n    return parent"
        ),
        ["made without arguments", "class attributes"],
    ),
    "a syntax error": (HEAD + "class Rule(Mechanism)\n    pass\n", ["it does not parse", "line 2: class Rule(Mech"]),
    "two mechanisms": (
        rule("domain = ''") + "\n" + rule("domain = ''", head="", name="Other"),
        ["exactly one subclass of Mechanism", "Rule, Other"],
    ),
    "no mechanism": ("x = 1\n", ["defines none", "class MyRule(Mechanism)"]),
    "an answer of the wrong type": (
        rule("def select(self, view, parent):\n    return parent.id"),
        ["select must return a Candidate, not str"],
    ),
    "a candidate that was never measured": (
        rule(
            "needs = frozenset({'numeric'})\ndef select(self, view, parent):\n    return parent.with_params(layers=11)"
        ),
        ["select must return a candidate of the trace that has a score"],
    ),
    "a space that is wider": (
        rule(
            "def constrain(self, view, space):\n    return Space(space.domains)",
            HEAD + "from bilevel.space import Space\n",
        ),
        ["only narrow", "unfrozen"],
    ),
    "a rung that does not exist": (
        rule(
            "def plan(self, view, proposal, partial, steps):\n    return [Step('tiny')]",
            HEAD + "from bilevel.trial import Step\n",
        ),
        ["there is no rung 'tiny'; the rungs are: quick, full"],
    ),
    "parameters that cannot be set": (
        rule(
            PROPOSE + "    name = view.space.active[0]\n"
            "    return [Proposal(parent.with_params(**{name: view.space.domains[name].at(0.5)}))]",
            HEAD + "from bilevel.trial import Proposal\n",
        ),
        ["has no parameters", 'frozenset({"numeric"})', "may all be empty"],
    ),
    "advice without end": (
        rule("def advise(self, view, briefing):\n    return briefing.with_block('rule', 'x' * 30_000)"),
        ["at most 20,000 characters"],
    ),
    "time that grows with the square of the trace": (
        rule(
            "def remember(self, memory, trial):\n    sum(range(1000 * trial.number))\n    return trial.number\n"
            + ADVISE
        ),
        ["remember, with 1,000 trials", "each must take constant time"],
    ),
    "going through the whole trace for each trial of the trace": (
        rule(
            "def select(self, view, parent):\n"
            "    sum(t.number * u.number for t in view.trace for u in view.trace for _ in range(80))\n    return parent"
        ),
        ["with 1,000 trials", "keep running totals in remember"],
    ),
    "the same proposal again and again": (
        rule(
            "needs = frozenset({'numeric'})\n"
            + PROPOSE
            + "    point = parent.with_params(**{n: view.space.domains[n].at(0.9) for n in view.space.active})\n"
            "    return [Proposal(point), *proposals]",
            HEAD + "from bilevel.trial import Proposal\n",
        ),
        ["proposed the same", "although they were measured"],
    ),
    "a file": (rule(PROPOSE + "    open('/tmp/x')\n    return proposals"), ["line 5: open may not be used"]),
    "the operating system": (
        rule(PROPOSE + "    return proposals", HEAD + "import os\n"),
        ["'os' may not be imported"],
    ),
    "a way around the rules": (
        rule(PROPOSE + "    ().__class__.__base__.__subclasses__()\n    return proposals"),
        ["__subclasses__ may not be used", "__base__ may not be used"],
    ),
    "a module's own imports": (
        rule(PROPOSE + "    statistics.sys.exit()\n    return proposals", HEAD + "import statistics\n"),
        ["statistics.sys reaches outside"],
    ),
}


SLOW = {"going through the whole trace for each trial of the trace"}  # it is given all of its time


@pytest.mark.parametrize(
    "failure", [pytest.param(failure, marks=[pytest.mark.slow] * (failure in SLOW)) for failure in FAILURES]
)
def test_a_failing_mechanism_is_refused_with_a_sentence_that_lets_its_author_mend_it(failure):
    text, expected = FAILURES[failure]
    message = said(text)
    for part in expected:
        assert part in message


QUICK = {"annealing", "bandit", "crash_memory", "surrogate", "tabu"}  # each passes the suite in tests/mechanisms, too


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in library()])
def test_every_mechanism_of_the_library_passes(name):
    assert admit(source(name)).problems == ()


def test_a_mechanism_that_filters_by_chance_and_keeps_a_memory_passes():
    text = rule(
        "tenure = 3\n"
        "def remember(self, memory, trial):\n"
        "    return (*(memory or ()), trial.candidate.id)[-self.tenure:]\n" + PROPOSE + "    rng = view.rng('coin')\n"
        "    return sorted(proposals, key=lambda p: (p.candidate.id in (view.memory or ()), rng.random()))"
    )
    assert said(text) == ""


def test_numpy_may_be_used():
    text = rule(
        "def advise(self, view, briefing):\n"
        "    scores = np.array([t.score for t in view.trace if t.score is not None])\n"
        "    return briefing.with_block('mean', str(scores.mean())) if scores.size else briefing",
        HEAD + "import numpy as np\n",
    )
    assert said(text) == ""


def test_a_mechanism_that_never_ends_is_killed(monkeypatch):
    monkeypatch.setattr(admission, "WALL_SECONDS", 1.0)
    assert "a hook never ends" in said(rule("def select(self, view, parent):\n    while True:\n        pass"))


def test_a_mechanism_that_takes_all_memory_is_stopped():
    text = rule("def remember(self, memory, trial):\n    return [0] * (2**28)\n" + ADVISE)
    assert "MemoryError (line 5" in said(text)


def test_what_a_mechanism_prints_does_not_disturb_its_judges():
    assert said(rule("def select(self, view, parent):\n    print('[]')\n    return parent")) == ""


def test_the_surface_is_told_none_or_the_reasons_and_equal_sources_are_judged_once():
    good = Guest("tabu", source("tabu"))
    assert door(good) is None
    assert admit(good.source) is admit(good.source)
    assert "does not parse" in str(door(Guest("broken", "class")))


def test_a_hook_that_ends_the_process_is_the_mechanisms_fault():
    assert "line 5: it raised SystemExit" in said(rule("def select(self, view, parent):\n    raise SystemExit(0)"))


def test_a_failure_of_the_suite_itself_is_never_a_refusal(monkeypatch, tmp_path):
    text = rule("def select(self, view, parent):\n    return parent  # judged by a broken suite")
    crash = "import sys; sys.path.insert(0, sys.argv[1]); from bilevel import admission; "
    broken = crash + "admission.check_mechanism = lambda make, watch: [][1]; admission.child()"
    monkeypatch.setattr(admission, "CHILD", broken)
    with pytest.raises(HarnessError, match=r"conformance suite failed(.|\n)*IndexError"):
        admit(text)
    monkeypatch.setattr(admission, "CHILD", "raise ImportError('no bilevel here')")
    with pytest.raises(HarnessError, match=r"ended with code 1(.|\n)*no bilevel here"):
        admit(text)
    monkeypatch.undo()
    assert admit(text).ok
