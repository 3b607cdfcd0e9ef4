"""Mechanisms as language models write them: what is hostile or broken stays outside, and what is sound comes in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bilevel.admission import admit, door
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.nesting import nest
from bilevel.settings import Settings
from bilevel.situations import Bowl, Walk
from bilevel.surfaces import MechanismSurface, mechanism_set
from bilevel.trial import Proposal, Status

CORPUS = Path(__file__).parent / "corpus"
FIRST = "# refused: "
HOSTILE = sorted(path.stem for path in (CORPUS / "hostile").glob("*.txt"))
SOUND = sorted(path.stem for path in (CORPUS / "sound").glob("*.txt"))


def text_of(kind: str, name: str) -> str:
    return (CORPUS / kind / f"{name}.txt").read_text("utf-8")


def causes(text: str) -> list[str]:
    first = text.splitlines()[0]
    assert first.startswith(FIRST)
    return first.removeprefix(FIRST).split(" | ")


SLOW = {  # the first two are given all of their time, as in `test_a_mechanism_that_never_ends_is_killed`
    "endless_loop_at_import",
    "endless_loop_in_a_hook",
    "random_forest",
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in HOSTILE])
def test_a_hostile_or_broken_mechanism_is_refused_and_the_cause_is_named(name):
    text = text_of("hostile", name)
    admission = admit(text)
    assert not admission.ok
    said = "\n".join(admission.problems)
    for cause in causes(text):
        assert cause in said


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SOUND])
def test_an_unusual_but_sound_mechanism_is_admitted(name):
    if "sklearn" in text_of("sound", name):
        pytest.importorskip("sklearn")
    assert admit(text_of("sound", name)).problems == ()


def test_the_corpus_is_large_and_its_refusals_are_not_all_one():
    assert len(HOSTILE) >= 36 and len(SOUND) >= 8
    assert max(Counter(causes(text_of("hostile", name))[0] for name in HOSTILE).values()) <= 3


@dataclass(frozen=True)
class Author:
    """An outer researcher that proposes the mechanisms of a list, one in each trial."""

    names: tuple[str, ...]
    kind: str = "hostile"
    name: str = "author"
    reads_advice: bool = False
    free: bool = False

    def propose(self, view, parent, briefing) -> Iterable[Proposal]:
        name = self.names[(view.number - 1) % len(self.names)]
        return [Proposal(mechanism_set((Guest("rule", text_of(self.kind, name)),)), name, self.name)]


class Watched(MemoryStore):
    """A store that notes which branches were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: set[str] = set()

    def open_branch(self, branch) -> None:
        self.opened.add(branch.id)
        super().open_branch(branch)


def search(names, kind):
    inner = LoopSpec("inner", Bowl(), Walk(), calibration=1)
    surface = MechanismSurface(door=door)
    outer = nest(inner, surface, Author(tuple(names), kind), name="mechanisms", trials=2, cycles=len(names) + 1)
    store = Watched()
    loop = Loop(LoopSpec(**{**vars(outer), "settings": Settings(redrafts=0)}), Lab(store=store))
    loop.step()
    before = set(store.opened)
    return loop.run(), store.opened - before


@pytest.mark.slow
def test_no_hostile_mechanism_reaches_a_live_trial():
    trace, opened = search(HOSTILE, "hostile")
    tried = trace[1:]
    assert [trial.proposal.why for trial in tried] == HOSTILE
    assert {trial.status for trial in tried} == {Status.REFUSED}
    assert all("refused at the door" in trial.reason and not trial.runs for trial in tried)
    assert opened == set()


def test_a_sound_mechanism_reaches_one():
    trace, opened = search(SOUND[:1], "sound")
    assert trace[1].status is Status.OK
    assert opened
