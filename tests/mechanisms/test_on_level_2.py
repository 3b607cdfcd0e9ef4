"""Shipped mechanisms in force on a loop that searches mechanisms: a candidate is its sources there, not its numbers."""

from dataclasses import dataclass, field, replace

import pytest
from library_searches import Scripted, task

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.nesting import nest
from bilevel.surfaces import MechanismSurface, admit_loadable, mechanism_set
from bilevel.trial import Proposal

HEAD = "from bilevel.mechanism import Mechanism\n\n\nclass Made(Mechanism):\n    size = {size}{end}\n\n"
FREEZE = HEAD + "    def constrain(self, view, space):\n        return space.freeze(space.active[:1], 'made')\n"
BROKEN = HEAD + "    def select(self, view, parent):\n        raise ValueError('broken')\n"
OTHER = HEAD + "    def constrain(self, view, space):\n        return space.freeze(space.active[1:2], 'made')\n"


def text(kind, size=1, end=""):
    return kind.format(size=size, end=end)


@dataclass(frozen=True)
class Says:
    """Level 2's researcher: for each trial its drafts, each one mechanism."""

    drafts: dict[int, tuple[Guest, ...]]
    told: list[str] = field(default_factory=list)
    name: str = "says"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(mechanism_set((guest,)), guest.name) for guest in self.drafts[view.number]]


def level_2(name, drafts, ladder=(), door=admit_loadable, **parameters):
    steps = [{"decay": 0.4 + 0.01 * number} for number in range(20)]
    inner = LoopSpec("inner", task(), Scripted(tuple(steps)), budget=Budget(trials=20), calibration=1)
    spec = nest(
        inner, MechanismSurface(door), Says(drafts), name="mechanisms", trials=2, cycles=len(drafts) + 1,
        start="continue", ladder=ladder,
    )  # fmt: skip
    return Loop(replace(spec, mechanisms=(Guest(name, source(name, **parameters)),)), Lab()).run()


def reasons(trial):
    return [back.reason for back in trial.turned_back]


def test_a_discarded_idea_does_not_come_again_under_another_name_with_other_numbers_and_comments():
    same, other = Guest("b", text(FREEZE, 7, "  # better")), Guest("c", text(OTHER, 7))
    trace = level_2("semantic_duplicate", {1: (Guest("a", text(FREEZE)),), 2: (same, other)})
    assert not trace[1].decision.keep and trace[1].runs
    assert trace[2].candidate.files.keys() == {"c"} and trace[2].ledger["semantic_duplicate"]["propose"].decisive == 1
    assert "the idea of trial 1, but for names, numbers and comments" in reasons(trace[2])[0]


def test_what_is_another_idea_passes_and_so_does_what_lies_beyond_the_window():
    again, other = (Guest("a", text(FREEZE, 2)),), (Guest("c", text(OTHER)),)
    trace = level_2("semantic_duplicate", {1: again, 2: other, 3: again}, window=1)
    assert [reasons(trial) for trial in trace] == [[]] * 4
    assert [set(trial.candidate.files) for trial in trace[1:]] == [{"a"}, {"c"}, {"a"}]


def test_a_mechanism_that_failed_in_a_hook_does_not_come_again_with_other_numbers():
    again, other = Guest("again", text(BROKEN, 9)), Guest("c", text(OTHER))
    trace = level_2("crash_memory", {1: (Guest("a", text(BROKEN)),), 2: (again, other)})
    assert trace[2].candidate.files.keys() == {"c"} and trace[2].ledger["crash_memory"]["propose"].decisive == 1
    assert reasons(trace[2]) == ["crash_memory: again failed before (trial 1), and was never sound"]


@pytest.mark.parametrize(("times", "wanted"), [(1, "c"), (2, "again")])
def test_so_many_failures_are_waited_for(times, wanted):
    again, other = Guest("again", text(BROKEN, 9)), Guest("c", text(OTHER))
    trace = level_2("crash_memory", {1: (Guest("a", text(BROKEN)),), 2: (again, other)}, times=times)
    assert trace[2].candidate.files.keys() == {wanted}


def test_a_text_that_the_door_refused_is_not_taken_there_again():
    asked = []

    def door(guest):
        asked.append(guest.name)
        return "no such thing" if "broken" in guest.source else None

    bad, good, other = Guest("bad", text(BROKEN)), Guest("c", text(OTHER)), Guest("d", text(FREEZE))
    drafts = {1: (bad, good), 2: (bad, Guest("bad", text(BROKEN, 9)), other)}
    trace = level_2("crash_memory", drafts, ladder=("door",), door=door)
    assert reasons(trace[2])[0] == "crash_memory: bad was refused before, this very text"
    assert asked[:4] == ["bad", "c", "bad", "d"], "another text of that name is another question"
