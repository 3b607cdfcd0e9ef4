"""Mode gate: what waits for a person, who answers, and that nothing passes without an answer."""

import pytest
from steered import Once, asking, essence, recipe, repeating, replayed, search

from bilevel.errors import InputError, StoreError
from bilevel.overriding import override
from bilevel.recipe import find, resolve
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
    assert f"taken up with trial {without_gate[0]} of root" in second("steer", "list", path)[1].replace("\n", " ")
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


@pytest.mark.slow
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


def test_of_keeps_only_those_of_the_outermost_level_wait_if_so_wanted(tmp_path, second):
    path, without = tmp_path / "run", recipe(3, cycles=3, start="continue", mechanisms=("tabu", "restart"))
    outer = without.outer[0].model_copy(update={"researcher": "python:steered:Without"})
    without = without.model_copy(update={"outer": (outer,)})
    search(tmp_path / "whole", without, lambda *_: None)
    person = Person(second, path, lambda waits: ("reject", path))
    search(path, override(without, gate=("keep=outermost",)), person)
    first = kept(tmp_path / "whole")[0]
    assert person.asked[0] == f"keep:root#{first}" and all(name.startswith("keep:root#") for name in person.asked)
    assert kept(path) == [] and {len(trial.parent.files) for trial in trials_of(path)} == {2}
    inner = opened(path, lambda folder: folder.store.trials("root/0.only"))
    assert any(trial.decision.keep for trial in inner[1:]) and not any(trial.late for trial in inner)
    replayed(path)


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


class Watcher(Person):
    """Remembers, too, how many calls there were when something waited."""

    calls = ()

    def __call__(self, phase, number):
        before = len(self.asked)
        super().__call__(phase, number)
        if len(self.asked) > before:
            self.calls = (*self.calls, opened(self.path, lambda folder: len(folder.store.calls())))


def test_a_call_within_a_trial_waits_where_the_sum_is_passed_and_then_the_run_is_the_one_without_a_gate(
    tmp_path, second
):
    path, answers = tmp_path / "run", iter(("stop", "approve", "approve"))
    search(tmp_path / "free", asking(), lambda *_: None)
    person = Watcher(second, path, lambda waits: (next(answers), path))
    assert search(path, asking(tokens=300), person) == "stopped"
    assert person.asked == ["spend:tokens#1"] and person.calls == (3,)  # the second call of trial 2 is not made
    assert len(trials_of(path)) == 2 and opened(path, lambda folder: folder.meta("gate"))["id"] == "spend:tokens#1"
    again = Watcher(second, path, lambda waits: (next(answers), path))
    assert search(path, None, again) == "finished"
    assert again.asked == ["spend:tokens#1", "spend:tokens#2"] and again.calls == (3, 6)
    assert essence(path) == essence(tmp_path / "free") and replayed(path) == 5
    assert second("verify", path)[0] == 0


def test_without_an_answer_in_time_the_call_is_not_made(tmp_path, second):
    path = tmp_path / "run"
    assert search(path, asking(tokens=300, wait=1e-9), lambda *_: None) == "limit"
    assert opened(path, lambda folder: len(folder.store.calls())) == 3 and len(trials_of(path)) == 2
    second.gives("approve", path)

    def fails(phase, number):
        if phase == "while it is paused":
            raise StoreError("the store cannot be read")

    with pytest.raises(StoreError):  # at the next sum
        search(path, None, fails)
    assert opened(path, lambda folder: len(folder.store.calls())) == 6
    assert opened(path, lambda folder: folder.meta("gate"))["id"] == "spend:tokens#2"


def test_calls_of_several_threads_wait_with_one_question_at_a_time(tmp_path, second):
    path, update = tmp_path / "run", {"task": "python:steered:Judged", "workers": 2}
    search(tmp_path / "free", asking().model_copy(update=update), lambda *_: None)
    person = Person(second, path, lambda waits: ("approve", path))
    assert search(path, asking(tokens=300).model_copy(update=update), person) == "finished"
    assert person.asked and {name.partition("#")[0] for name in person.asked} == {"spend:tokens"}
    assert essence(path) == essence(tmp_path / "free") and replayed(path) == 5


class Counter(Person):
    """Remembers, too, how many measurements had begun when something waited."""

    begun, before = 0, ()

    def __call__(self, phase, number):
        self.begun += phase == "while it is measured"
        asked = len(self.asked)
        super().__call__(phase, number)
        if len(self.asked) > asked:
            self.before = (*self.before, self.begun)


def test_a_measurement_within_a_trial_waits_where_the_sum_is_passed_and_then_the_run_is_the_one_without_a_gate(
    tmp_path, second
):
    path, answers = tmp_path / "run", iter(("stop", *("approve",) * 9))
    search(tmp_path / "free", repeating(), lambda *_: None)
    person = Counter(second, path, lambda waits: (next(answers), path))
    assert search(path, repeating(evaluations=2), person) == "stopped"
    assert person.asked == ["spend:evaluations#1"] and person.before == (2,)  # the baseline takes five
    assert not trials_of(path)
    again = Counter(second, path, lambda waits: (next(answers), path))
    assert search(path, None, again) == "finished"
    made = sum(len(trial.runs) + len(trial.parent_runs) for trial in trials_of(path))
    assert again.asked == [f"spend:evaluations#{step}" for step in range(1, (made - 1) // 2 + 1)]
    assert again.before == tuple(2 * step for step in range(len(again.asked)))  # two are there, and served
    assert essence(path) == essence(tmp_path / "free") and replayed(path) == 5
    assert second("verify", path)[0] == 0


def test_without_an_answer_the_measurement_is_not_made(tmp_path, second):
    path = tmp_path / "run"
    nobody = Counter(second, path, lambda waits: None)
    assert search(path, repeating(evaluations=2, wait=1e-9), nobody) == "limit"
    assert nobody.begun == 2 and not trials_of(path)
    second.gives("approve", path)

    def fails(phase, number):
        if phase == "while it is paused":
            raise StoreError("the store cannot be read")

    with pytest.raises(StoreError):  # at the next sum
        search(path, None, fails)
    assert not trials_of(path) and opened(path, lambda folder: folder.meta("gate"))["id"] == "spend:evaluations#2"


def test_measurements_of_several_workers_wait_and_those_under_way_are_finished(tmp_path, second):
    path = tmp_path / "run"
    search(tmp_path / "free", repeating(2), lambda *_: None)
    person = Counter(second, path, lambda waits: ("approve", path))
    assert search(path, repeating(2, evaluations=2), person) == "finished"
    asked = [int(name.rpartition("#")[2]) for name in person.asked]
    assert all(begun <= 2 * step + 1 for step, begun in zip(asked, person.before, strict=True)) and asked
    assert essence(path) == essence(tmp_path / "free") and replayed(path) == 5


def test_the_claim_stage_waits_before_a_measurement_too(tmp_path, second):
    path = tmp_path / "run"
    made, free = repeating(), Counter(second, tmp_path / "free", lambda waits: None)
    made = made.model_copy(update={"claim": made.claim.model_copy(update={"on": True, "most": 3})})
    search(tmp_path / "free", made, free)
    assert free.begun > sum(len(trial.runs) + len(trial.parent_runs) for trial in trials_of(tmp_path / "free"))
    person = Counter(second, path, lambda waits: ("approve", path))
    assert search(path, gated(made, evaluations=1), person) == "finished"
    assert person.before[: free.begun - 1] == tuple(range(1, free.begun)) and person.begun == free.begun
    assert essence(path) == essence(tmp_path / "free")


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
    assert override(find("d"), gate=("keep=outermost",)).gate.keep == "outermost"
    for text in ("keeps", "mechanism=outermost", "keep=1", "money", "money=none", "wait=-1"):
        with pytest.raises(InputError, match="gate"):
            override(find("a"), gate=(text,))
