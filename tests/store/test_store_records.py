"""What is read equals what was written."""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_examples import ROOT, candidate, key, pending, run, trial

from bilevel.budget import Cost
from bilevel.errors import Diverged, StoreError
from bilevel.lab import Branch
from bilevel.space import Candidate, Change
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import SqliteStore
from bilevel.testing import check_store
from bilevel.trial import Count, Decision, Fault, Pending, Proposal, Run, Status, Step, Trial, TurnedBack

names = st.text(min_size=1, max_size=8).filter(lambda name: name != "()")
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | st.integers(-(2**200), 2**200) | numbers | st.text(max_size=20)
values = scalars | st.lists(scalars, max_size=3).map(tuple)
notes = st.dictionaries(names, values | st.none() | st.lists(scalars, max_size=3), max_size=3)
texts = st.dictionaries(names, st.text(), max_size=2)
candidates = st.builds(Candidate, st.dictionaries(names, values, max_size=4), texts)
proposals = st.builds(Proposal, candidates, st.text(), names, notes, st.integers(0, 3), st.text())
costs = st.builds(Cost, st.integers(0, 9), numbers, numbers, st.integers(0, 2**62), numbers)
metrics = st.dictionaries(names, numbers, max_size=3)
states = st.none() | names
good = st.builds(Run, names, st.integers(0, 9), st.just(Status.OK), metrics, costs, st.text(), notes, states)
bad_status = st.sampled_from([status for status in Status if status is not Status.OK])
bad = st.builds(Run, names, st.integers(0, 9), bad_status, st.none(), costs, st.text(), notes, states)
counts = st.builds(Count, *[st.integers(0, 5)] * 4)
ledgers = st.dictionaries(names, st.dictionaries(names, counts, max_size=2), max_size=2)
changes = st.dictionaries(names, st.builds(Change, values, values), max_size=2)
turned_back = st.lists(st.builds(TurnedBack, names, st.text(), names), max_size=2).map(tuple)
faults = st.lists(st.builds(Fault, names, names, st.text()), max_size=2).map(tuple)
trials = st.builds(
    Trial,
    number=st.integers(0, 10**6),
    parent=candidates,
    proposal=proposals,
    runs=st.lists(good | bad, max_size=2).map(tuple),
    status=st.sampled_from(Status),
    score=st.none() | numbers,
    decision=st.builds(Decision, st.booleans(), st.text()),
    changes=changes,
    overruled=st.booleans(),
    reason=st.text(),
    turned_back=turned_back,
    ledger=ledgers,
    faults=faults,
)
pendings = st.builds(
    Pending,
    number=st.integers(0, 10**6),
    sees=st.integers(0, 10**6),
    parent=candidates,
    proposal=proposals,
    steps=st.lists(st.builds(Step, names, st.integers(0, 9)), max_size=3).map(tuple),
    changes=changes,
    state=states,
    refused=states,
    overruled=st.booleans(),
    turned_back=turned_back,
    ledger=ledgers,
    faults=faults,
)


@pytest.fixture(scope="module")
def shared():
    """A store for many examples, each in a branch of its own."""
    with tempfile.TemporaryDirectory() as path:
        folder, count = RunFolder.create(Path(path) / "run", {}), itertools.count()

        def branch():
            made = Branch(f"branch {next(count)}", "inner")
            folder.store.open_branch(made)
            return made.id

        yield folder, branch
        folder.close()


def same_types(a, b):
    """Equal, and 1 is not True nor 1.0: candidates with equal ids have equal content of equal types."""
    return a == b and a.candidate.id == b.candidate.id and a.parent.id == b.parent.id


@pytest.mark.slow
@given(trials)
@settings(max_examples=150, deadline=None)
def test_a_trial_comes_back_equal_from_another_connection(shared, written):
    folder, branch = shared
    name = branch()
    folder.store.add_trial(name, written)
    watcher = RunFolder.read(folder.path)
    (read,) = watcher.store.trials(name)
    watcher.close()
    assert same_types(read, written)


@pytest.mark.slow
@given(pendings)
@settings(max_examples=100, deadline=None)
def test_a_pending_comes_back_equal_from_another_connection(shared, written):
    folder, branch = shared
    name = branch()
    folder.store.add_pending(name, written)
    watcher = RunFolder.read(folder.path)
    (read,) = watcher.store.pendings(name)
    watcher.close()
    assert read == written and read.proposal.candidate.id == written.proposal.candidate.id


def test_the_store_passes_the_suite_for_stores(tmp_path):
    made = []

    def make():
        made.append(SqliteStore(tmp_path))
        return made[-1]

    assert check_store(make) == []
    made[0].close()


def test_equal_candidates_are_read_as_one_object(folder, path):
    for number in range(40):
        folder.store.add_trial("root", replace(trial(number), parent=candidate(0)))
    watcher = RunFolder.read(path)
    parents = {id(read.parent) for read in watcher.store.trials("root")}
    watcher.close()
    assert len(parents) == 1


def test_a_trial_takes_the_place_of_its_pending_record(folder):
    for number in (0, 1):
        folder.store.add_pending("root", pending(number))
    folder.store.add_trial("root", trial(0))
    assert folder.store.pendings("root") == [pending(1)]
    assert folder.store.trials("root") == [trial(0)]


def test_a_pending_record_that_is_written_again_replaces_the_first(folder):
    folder.store.add_pending("root", pending(0))
    folder.store.add_pending("root", replace(pending(0), overruled=True))
    assert folder.store.pendings("root") == [replace(pending(0), overruled=True)]


def test_the_same_trial_twice_is_stored_once(folder):
    for _ in range(2):
        folder.store.add_trial("root", trial(0))
    assert folder.store.trials("root") == [trial(0)]


def test_another_trial_of_the_same_number_is_refused_and_changes_nothing(folder):
    folder.store.add_trial("root", trial(0))
    folder.store.add_pending("root", pending(1))
    with pytest.raises(Diverged, match="trial 0 of branch 'root'"):
        folder.store.add_trial("root", replace(trial(0), score=9.5))
    assert folder.store.trials("root") == [trial(0)] and folder.store.pendings("root") == [pending(1)]


def test_trials_are_read_in_the_order_of_their_numbers_and_from_any_of_them_on(folder):
    for number in (2, 0, 1):
        folder.store.add_trial("root", trial(number))
    assert [read.number for read in folder.store.trials("root")] == [0, 1, 2]
    assert folder.store.trials("root", after=1) == [trial(2)]


def test_branches_are_listed_in_the_order_in_which_they_were_opened(folder):
    child = Branch("root/1.control", "inner", "root", 4)
    folder.store.open_branch(child)
    folder.store.open_branch(ROOT)
    assert folder.store.branches() == [ROOT, child]
    with pytest.raises(StoreError, match="no branch 'nope'"):
        folder.store.branch("nope")


def test_a_measurement_is_found_by_its_whole_key(folder):
    folder.store.add_run(key(0), run(0))
    assert folder.store.find_run(key(0)) == run(0)
    assert folder.store.find_run(replace(key(0), harness="another")) is None
