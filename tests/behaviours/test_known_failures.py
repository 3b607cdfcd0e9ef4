"""Ways in which mechanisms that models wrote have failed in the field: the door names the cause, or the ledger shows
that nothing came of it."""

import re
from pathlib import Path

import pytest
from searches import TASK, scripted

from bilevel.admission import admit, read
from bilevel.errors import GuestError
from bilevel.mechanism import Guest, load
from bilevel.mechanisms import source
from bilevel.settings import Settings
from bilevel.testing import check_mechanism
from bilevel.trace import Trace

FOLDER = Path(__file__).parent / "failures"
INERT = ""  # nothing is wrong with the text; it does nothing, and that shows in the ledger
KINDS = {
    "names of parameters that do not exist": {
        "unknown_parameter_proposed": "learning_rate",
        "unknown_parameter_read": r"KeyError: 'TOTAL_BATCH_SIZE'.*line 15.*view\.space\.active",
        "unknown_parameter_guarded": INERT,
    },
    "methods of the host that do not exist": {
        "host_method_of_the_trace": r"'get_best_trial'.*a Trace has: .*incumbent",
        "host_method_of_the_candidate": r"'copy'.*a Candidate has: .*with_params",
    },
    "arithmetic on source strings": {
        "arithmetic_on_source_text": "TypeError.*line 16.*never source text",
        "arithmetic_on_powers_as_text": "'int' object has no attribute 'split'.*line 7",
    },
    "every configuration tabu because unchanged parameters equal their old values": {
        "everything_is_tabu": "turned back all.*compare only the parameters that a proposal changes",
        "everything_is_near": "turned back (all|every draft).*too similar",
    },
    "all samples of a Latin hypercube identical": {
        "identical_hypercube": "4 own proposals are one and the same",
        "identical_design_each_time": "3 own proposals are one and the same",
    },
    "bounds that nobody gave": {
        "bounds_of_every_domain": "has no attribute 'low'.*line 18",
        "bounds_invented": "turned back|may be tried",
    },
    "log of zero": {
        "log_of_a_value": "(ZeroDivisionError|math domain error).*line 18.*may be 0",
        "log_of_a_score": "math domain error.*line 18.*may be 0",
    },
    "a missing third-party package": {
        "missing_package": "line 3: 'skopt' may not be imported; allowed are: ",
        "missing_package_inside": "line 12: 'pandas' may not be imported; allowed are: ",
    },
    "a class that is never called": {
        "class_without_the_base": "must define exactly one subclass of Mechanism",
        "class_never_called": "BanditSelector is never used",
        "hooks_that_nobody_calls": "on_trial_end is not a hook and nobody would call it",
    },
    "state that is never updated": {
        "state_never_returned": "remember returns nothing",
        "state_only_initialised": INERT,
    },
    "a fallback that hides that nothing was loaded": {
        "fallback_for_an_import": "line 5: a fallback for an import hides that it failed",
        "fallback_for_everything": "catching Exception hides mistakes",
        "fallback_by_default_value": INERT,
    },
}
CAUSES = {name: cause for variants in KINDS.values() for name, cause in variants.items()}
NAMED = [name for name, cause in CAUSES.items() if cause]
DRAFTS = [[{"decay": 0.1 * n}, {"depth": n}] for n in range(1, 9)]


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text("utf-8")


def refusals(name: str) -> list[str]:
    """What the door says, its suite in this process."""
    try:
        return read(text_of(name)) or check_mechanism(lambda: load(Guest(name, text_of(name))))
    except GuestError as error:
        return [str(error)]


def decisive(trace: Trace) -> int:
    """How often a mechanism changed a decision, or what the researcher was told."""
    counts = [count for hooks in trace.ledger().values() for hook, count in hooks.items() if hook != "remember"]
    return sum(count.decisive + count.touched for count in counts)


def test_each_kind_has_variants_and_each_file_a_kind():
    assert sorted(CAUSES) == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert len(KINDS) == 11 and all(KINDS.values())


@pytest.mark.parametrize("name", NAMED)
def test_the_door_refuses_it_and_names_the_cause(name):
    problems = refusals(name)
    assert problems and re.search(CAUSES[name], " ".join(problems)), problems


@pytest.mark.parametrize("name", ["unknown_parameter_read", "everything_is_tabu", "missing_package"])
def test_the_door_says_the_same_from_a_process_of_its_own(name):
    admission = admit(text_of(name))
    assert not admission.ok and re.search(CAUSES[name], " ".join(admission.problems)), admission.problems


@pytest.mark.parametrize("name", [name for name, cause in CAUSES.items() if not cause])
def test_what_passes_the_door_and_does_nothing_is_inert_in_the_ledger(name):
    trace = scripted(DRAFTS, Guest(name, text_of(name)), trials=8, task=TASK, settings=Settings(drafts=2))
    assert trace.ledger()[name] and decisive(trace) == 0


def test_the_ledger_of_a_mechanism_that_works_is_not_empty():
    trace = scripted(DRAFTS, Guest("tabu", source("tabu", distance=0.3)), trials=8, settings=Settings(drafts=2))
    assert decisive(trace) > 0
