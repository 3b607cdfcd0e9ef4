"""The door of a run: guests are tried behind walls, the host looks across, and a verdict once given stands."""

import pytest

from bilevel import codec
from bilevel.admission import SOUND, Admission, Door, source_key
from bilevel.doors import sandboxed_door
from bilevel.errors import HarnessError
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.mechanisms import source
from bilevel.rollout import judged_across
from bilevel.sandbox.proxy import Sandbox

HEAD = "from bilevel.mechanism import Mechanism\n\n\nclass Rule(Mechanism):\n"
ENDLESS = HEAD + "    def select(self, view, parent):\n        while True:\n            pass\n"
FAULTY = HEAD + "    def select(self, view, parent):\n        return view.trace.best\n"


@pytest.fixture(scope="module")
def box():
    with Sandbox() as opened:
        yield opened


def test_a_sound_mechanism_passes_the_sandboxed_door_and_its_verdict_can_be_stored(box):
    kept = {}
    judge = sandboxed_door(box, keep=kept.__setitem__)
    assert judge(Guest("tabu", source("tabu"))) is None
    verdict = kept[source_key(source("tabu"))]
    assert verdict.ok and codec.load(Admission, codec.dump(verdict)) == verdict


@pytest.mark.slow
def test_a_hook_that_never_ends_behind_the_walls_is_named_with_its_line(box):
    said = str(sandboxed_door(box)(Guest("endless", ENDLESS)))
    assert "select, with an empty trace" in said
    assert "did not end" in said
    assert "line 6" in said or "line 7" in said


def test_what_is_refused_behind_the_walls_is_said_as_anywhere_else(box):
    said = str(sandboxed_door(box)(Guest("faulty", FAULTY)))
    assert "'Trace' object has no attribute 'best' (line 6: return view.trace.best)" in said


def test_a_forged_verdict_does_not_help_since_the_host_looks_for_itself(box):
    forged = Door(lambda text: [], lambda guest: judged_across(lambda: Sandbox(box.in_force), guest))
    said = str(forged(Guest("faulty", FAULTY)))
    assert "select, in a loop of 16 trials" in said
    assert "no attribute 'best'" in said


def test_a_verdict_that_was_given_earlier_stands_whatever_the_machine_does_now():
    def unreachable(text):
        raise AssertionError("it was judged already")

    known = {source_key(FAULTY): Admission(True, (), 1.0), source_key("x"): Admission(False, ("no", "never"), 1.0)}
    judge = Door(unreachable, unreachable, known)
    assert judge(Guest("faulty", FAULTY)) is None
    assert judge(Guest("x", "x")) == "no; never"


def test_each_source_is_judged_once_and_told_once():
    asked, told = [], []

    def try_in(text):
        asked.append(text)
        return ["too slow"]

    judge = Door(try_in, keep=lambda key, admission: told.append((key, admission.problems)))
    assert [judge.door(Guest(name, FAULTY)) for name in "ab"] == ["too slow", "too slow"]
    assert asked == [FAULTY]
    assert told == [(source_key(FAULTY), ("too slow",))]


def test_a_failure_of_the_judges_is_no_verdict():
    def broken(text):
        raise HarnessError("no process")

    told = []
    judge = Door(broken, keep=lambda *verdict: told.append(verdict))
    with pytest.raises(HarnessError):
        judge.admit(FAULTY)
    assert told == []


class Two:
    """A wall behind which a mechanism answers otherwise each time that it is opened."""

    opened = 0

    def __enter__(self):
        Two.opened += 1
        return self

    def __exit__(self, *exception):
        return None

    def load(self, guest: Guest) -> Mechanism:
        sign = -1 if Two.opened % 2 else 1
        text = HEAD + f"    def propose(self, view, parent, proposals):\n        return proposals[::{sign}][:1]\n"
        text += "    def decide(self, view, trial):\n        from bilevel.trial import Decision\n"
        text += f"        return Decision({sign > 0} and trial.score is not None, 'x')\n"
        return load(Guest(guest.name, text))


def test_a_search_that_goes_another_way_in_a_fresh_process_is_refused():
    (said,) = judged_across(Two, Guest("guest", FAULTY))
    assert "run again in a fresh process, the search went another way from trial 1 on" in said


def test_what_one_door_admitted_the_next_one_of_its_kind_need_not_try_and_what_it_refused_it_tries_again():
    tried, shared, bad = [], {}, f"{SOUND}\n# not this one\n"

    def try_in(source):
        tried.append(source)
        return ["no"] if source == bad else []

    for _ in range(2):
        stored = {}
        judge = Door(try_in, keep=stored.__setitem__, shared=lambda: shared)
        assert judge(Guest("sound", SOUND)) is None and judge(Guest("bad", bad))
        assert {key: verdict.ok for key, verdict in stored.items()} == {
            source_key(SOUND): True, source_key(bad): False
        }  # fmt: skip
    assert tried == [SOUND, bad, bad] and list(shared) == [source_key(SOUND)]
