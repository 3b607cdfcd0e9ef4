"""What replays ask once: a mechanism in force answers the same question from the record of its answers."""

from dataclasses import replace

from tiny import TinyTask, guest, spec_of

from bilevel.answered import Answers
from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.ladder import climb_replay
from bilevel.loop import Loop
from bilevel.mechanism import Guest, load
from bilevel.rules import Rule

OLD = guest(
    "old",
    "def propose(self, view, parent, proposals):\n"
    "    return [p.drop('even') if view.number % 2 and p.candidate.params['depth'] % 2 == 0 else p for p in proposals]",
)
FIRST = guest(
    "new",
    "def propose(self, view, parent, proposals):\n"
    "    return [p if view.number % 3 else p.drop('third') for p in proposals]",
)
OTHER = guest("new", "def constrain(self, view, space):\n    return space.freeze(['bias', 'shape'], 'new')")
INNER = replace(spec_of(TinyTask(noise=0.02), keep=Rule("margin")), budget=Budget(trials=12), mechanisms=(OLD,))


class Counting:
    """Loads mechanisms, and counts how often each is asked for proposals."""

    def __init__(self):
        self.asked = {}

    def __call__(self, one: Guest):
        made = load(one)
        kind = type(made)
        if "propose" in vars(kind):
            told = kind.propose

            def propose(this, view, parent, proposals):
                self.asked[one.name] = self.asked.get(one.name, 0) + 1
                return told(this, view, parent, proposals)

            kind.propose = propose
        return made


def replayed(new, trace, answers, settings=INNER.settings):
    counting = Counting()
    spec = replace(INNER, mechanisms=(OLD, new), load=counting, settings=settings)
    climb = climb_replay(spec, new, trace, lambda seen: None, answers)
    return replace(climb, seconds=0.0), counting.asked


def test_a_second_replay_asks_the_mechanisms_in_force_nothing_that_they_answered_in_the_first():
    trace, answers = Loop(INNER, Lab()).run(), Answers()
    first, asked = replayed(FIRST, trace, answers)
    again, asked_again = replayed(FIRST, trace, answers)
    assert asked["old"] >= len(trace) - 1 and asked["new"] > 0
    assert "old" not in asked_again and again == first  # the new one alone is tried on a landscape besides


def test_a_mechanism_that_narrows_the_space_makes_it_another_question():
    trace, answers = Loop(INNER, Lab()).run(), Answers()
    replayed(FIRST, trace, answers)
    with_answers, asked = replayed(OTHER, trace, answers)
    from_scratch, asked_alone = replayed(OTHER, trace, Answers())
    assert with_answers == from_scratch and with_answers.evidence["this run"]["constrain"][2] > 0
    assert 0 < asked["old"] < asked_alone["old"]


def test_other_settings_are_another_question_though_the_trial_is_the_same():
    trace, answers = Loop(INNER, Lab()).run(), Answers()
    _, asked = replayed(FIRST, trace, answers)
    _, asked_again = replayed(FIRST, trace, answers, replace(INNER.settings, guidance="be bold"))
    assert asked_again == asked


def test_a_longer_record_asks_only_about_what_is_new():
    longer = Loop(INNER, Lab()).run()
    trace, answers = longer.upto(8), Answers()
    _, asked = replayed(FIRST, trace, answers)
    _, asked_again = replayed(FIRST, longer, answers)
    _, asked_alone = replayed(FIRST, longer, Answers())
    assert asked["old"] + asked_again["old"] == asked_alone["old"] and asked_again["old"] > 0


def test_few_answers_are_kept_and_forgotten_ones_are_asked_for_again():
    trace, answers = Loop(INNER, Lab()).run(), Answers(most=3)
    first, asked = replayed(FIRST, trace, answers)
    again, asked_again = replayed(FIRST, trace, answers)
    assert again == first and asked_again == asked
