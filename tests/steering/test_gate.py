"""Mode gate: what waits for a person, who answers, and that nothing passes without an answer."""

import pytest
from steered import Once, recipe, replayed, search

from bilevel.errors import InputError, StoreError
from bilevel.recipe import find, override, resolve
from bilevel.store.folder import RunFolder


def opened(path, look):
    folder = RunFolder.read(path)
    try:
        return look(folder)
    finally:
        folder.close()


def trials_of(path):
    return opened(path, lambda folder: folder.store.trials("root"))


def kept(path):
    return [trial.number for trial in trials_of(path) if trial.number and trial.decision.keep]


def gated(made, **keys):
    return made.model_copy(update={"gate": resolve({**made.model_dump(), "gate": keys}).gate})


class Person:
    """Answers what waits, from the second process; remembers what was asked."""

    def __init__(self, second, path, answer):
        self.second, self.path, self.answer, self.asked = second, path, answer, []

    def __call__(self, phase, number):
        if phase != "while it is paused":
            return
        waits = opened(self.path, lambda folder: folder.meta("gate"))
        if waits is not None and waits["id"] not in self.asked:
            self.asked.append(waits["id"])
            act = self.answer(waits)
            if act is not None:
                self.second.gives(*act)


@pytest.fixture
def without_gate(tmp_path):
    """Which trials are kept where nobody is asked."""
    search(tmp_path / "whole", recipe(6), lambda *_: None)
    return kept(tmp_path / "whole")


def test_each_keep_waits_for_a_person_and_what_is_approved_is_kept(tmp_path, second, without_gate):
    path, said = tmp_path / "run", []

    def answer(waits):
        said.append((second("status", path)[1], second("steer", "list", path)[1]))
        return ("approve", path, waits["id"], "--author", "Ada")

    person = Person(second, path, answer)
    assert search(path, gated(recipe(6), keep=True), person) == "finished"
    assert person.asked == [f"keep:root#{number}" for number in without_gate] and without_gate
    assert kept(path) == without_gate
    assert said[0][0].startswith("gate") and "waits for a person since" in said[0][0]
    assert f"trial {without_gate[0]} of level 'inner' is to be kept" in said[0][1]
    assert opened(path, lambda folder: folder.meta("gate")) is None
    assert [act.author for trial in trials_of(path) for act in trial.late] == ["Ada"] * len(without_gate)
    assert replayed(path) == 7 and second("verify", path)[0] == 0


def test_what_is_rejected_is_not_kept_and_the_search_goes_on_from_where_it_was(tmp_path, second, without_gate):
    path = tmp_path / "run"
    person = Person(second, path, lambda waits: ("reject", path, "--why", "too good", "--author", "Ada"))
    search(path, gated(recipe(6), keep=True), person)
    trials = trials_of(path)
    assert kept(path) == [] and without_gate[0] == int(person.asked[0].rpartition("#")[2])
    assert trials[without_gate[0]].decision.reason == "steered: rejected by Ada: too good"
    assert {trial.parent.id for trial in trials} == {trials[0].candidate.id}
    assert replayed(path) == 7 and second("verify", path)[0] == 0


def test_no_answer_in_time_leaves_the_gate_closed(tmp_path, second, without_gate):
    path = tmp_path / "run"
    search(path, gated(recipe(3), keep=True, wait=1e-9), lambda *_: None)
    assert kept(path) == []
    reasons = [trial.decision.reason for trial in trials_of(path) if trial.late]
    assert reasons and all(reason.startswith("steered: rejected by time-out: nobody answered") for reason in reasons)
    assert replayed(path) == 4


def test_an_exception_leaves_the_gate_closed(tmp_path, second, without_gate):
    path = tmp_path / "run"

    def fails(phase, number):
        if phase == "while it is paused":
            raise StoreError("the store cannot be read")

    with pytest.raises(StoreError):
        search(path, gated(recipe(6), keep=True), fails)
    assert len(trials_of(path)) == without_gate[0] and kept(path) == []
    person = Person(second, path, lambda waits: ("approve", path))
    assert search(path, None, person) == "finished"
    assert kept(path) == without_gate and person.asked[0] == f"keep:root#{without_gate[0]}"


def test_a_stop_at_the_gate_keeps_nothing_and_a_resume_asks_again(tmp_path, second, without_gate):
    path = tmp_path / "run"
    stop = Person(second, path, lambda waits: ("stop", path))
    assert search(path, gated(recipe(6), keep=True), stop) == "stopped"
    assert len(trials_of(path)) == without_gate[0]
    code, said = second("steer", "approve", path, "keep:root#99")
    assert code == 2 and f"'keep:root#{without_gate[0]}' does" in said
    second.gives("approve", path)
    assert search(path, None, Person(second, path, lambda waits: ("approve", path))) == "finished"
    assert kept(path) == without_gate


def test_a_mechanism_is_not_tried_before_a_person_has_approved_it(tmp_path, second):
    path, answers = tmp_path / "run", iter(("reject", "approve"))
    made = gated(recipe(3, cycles=3, mechanisms=("tabu", "restart")), mechanism=True)
    person = Person(second, path, lambda waits: (next(answers), path))
    search(path, made, person)
    refused, tried = trials_of(path)[1:3]
    assert person.asked == ["mechanism:root#1", "mechanism:root#2"]
    assert refused.status.value == "refused" and refused.reason.startswith("rejected by")
    assert refused.runs == () and tried.runs
    assert opened(path, lambda folder: [branch.id for branch in folder.store.branches()]) == [
        "root", "root/0.only", "root/2.challenger", "root/2.control",
    ]  # fmt: skip
    replayed(path)
    assert second("verify", path)[0] == 0


def test_spending_waits_whenever_so_much_more_is_spent(tmp_path, second):
    path = tmp_path / "run"
    answers = iter(("approve", "reject"))
    person = Person(second, path, lambda waits: (next(answers), path))
    assert search(path, gated(recipe(9), evaluations=3), person) == "limit"
    assert person.asked == ["spend:evaluations#1", "spend:evaluations#2"]
    assert len(trials_of(path)) == 6
    assert search(path, None, person) == "limit"
    second.gives("approve", path)
    last = Person(second, path, lambda waits: ("approve", path))
    assert search(path, None, last) == "finished"
    assert last.asked == ["spend:evaluations#3"] and len(trials_of(path)) == 10
    assert replayed(path) == 10


def test_nothing_is_approved_that_does_not_wait(tmp_path, second):
    path, said = tmp_path / "run", []
    search(path, recipe(3), Once("while it is measured", 2, lambda: said.append(second("steer", "approve", path))))
    assert said[0][0] == 2 and "nothing waits for a person" in said[0][1]


def test_the_gate_is_set_by_recipe_and_by_option():
    made = override(find("a"), gate=("keep", "money=2.5", "wait=60"))
    assert made.gate.keep and made.gate.money == 2.5 and made.gate.wait == 60 and not made.gate.mechanism
    old = find("a").model_dump()
    del old["gate"]
    assert not resolve(old).gate.keep
    for text in ("keeps", "keep=1", "money", "money=none", "wait=-1"):
        with pytest.raises(InputError, match="gate"):
            override(find("a"), gate=(text,))
