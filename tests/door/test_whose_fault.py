"""A guest that makes the suite fail is refused and ends no run; a suite that fails on a sound one is our own fault."""

import pytest

from bilevel.admission import SOUND, Door, SuiteFailed, admit, problems_of
from bilevel.doors import sandboxed_door
from bilevel.mechanism import Guest
from bilevel.sandbox.proxy import Sandbox

GROWING = """from bilevel.mechanism import Mechanism


class Growing(Mechanism):
    def remember(self, memory, trial):
        return (memory, trial.number)

    def decide(self, view, trial):
        return trial.decision if view.memory else trial.decision
"""


def test_the_witness_is_sound():
    assert admit(SOUND).problems == ()


def test_a_memory_that_cannot_be_printed_is_the_mechanisms_fault():
    with Sandbox() as box:
        said = sandboxed_door(box)(Guest("growing", GROWING))
    assert "the memory nests too deeply, or in itself, to be printed" in str(said)


def test_a_forged_failure_of_the_suite_ends_no_run():
    def forged(source):
        return problems_of({"problems": []} if source == SOUND else {"failed": "a lie"})

    assert Door(forged)(Guest("liar", GROWING)) == "what a hook returns cannot be tried, compared or printed: a lie"


def test_a_suite_that_fails_on_a_sound_mechanism_too_is_our_own_failure():
    with pytest.raises(SuiteFailed, match="the conformance suite failed"):
        Door(lambda source: problems_of({"failed": "broken"}))(Guest("any", GROWING))


def test_what_the_suite_says_is_bounded_whatever_a_guest_makes_of_it():
    said = Door(lambda source: problems_of({"problems": ["x" * 10**6] * 1000}))(Guest("any", GROWING))
    assert len(said) < 40_000
