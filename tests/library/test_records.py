"""What is written is what is read back; evidence is counted once."""

import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bilevel.errors import InputError
from bilevel.shelf import evidence_for
from bilevel.shelf.record import Measurement, Origin, Record, parsed, written

HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
LINES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def measurement(*arms, **changes):
    facts = dict(
        family="sphere", task="sphere", harness="h", control="without it", effect=0.1, low=-0.1, high=0.3,
        forks=len(arms), told=len(arms), verdict="undecided", e_value=1.0, evaluations=10,
        date=datetime.date(2026, 1, 1), arms=tuple(arm * 64 for arm in arms),
    )  # fmt: skip
    return Measurement(**facts | changes)


measurements = st.builds(
    Measurement, family=LINES, task=LINES, harness=LINES, machine=LINES, unit=LINES,
    control=st.just("without it"), effect=NUMBERS, low=st.none() | NUMBERS, high=st.none() | NUMBERS,
    forks=st.integers(0, 99), told=st.integers(0, 99),
    inert=st.integers(0, 9), verdict=st.sampled_from(["helped", "hurt", "undecided"]),
    e_value=st.floats(0, 1e9), confirmed=st.booleans(), evaluations=st.integers(0, 10**6), date=st.dates(), run=LINES,
    gains=st.lists(NUMBERS, max_size=4).map(tuple), spreads=st.lists(NUMBERS, max_size=4).map(tuple),
    arms=st.lists(HASHES, max_size=3).map(tuple), on=LINES, kinds=st.lists(LINES, max_size=2).map(tuple),
)  # fmt: skip
records = st.builds(
    Record, source_hash=HASHES, title=LINES, author=LINES, created=st.none() | st.dates(),
    origin=st.builds(Origin, run=LINES, seed=st.none() | st.integers(), trial=st.none() | st.integers()),
    parameters=st.dictionaries(LINES, LINES, max_size=3), evidence=st.lists(measurements, max_size=3).map(tuple),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])  # its first draw makes hypothesis' tables of characters
@given(records)
def test_what_is_written_is_read_back(record):
    assert parsed(written(record), "a record") == record


@given(st.text())
def test_any_text_is_a_record_or_an_error_that_says_why(text):
    try:
        parsed(text, "the file")
    except InputError as error:
        assert "the file" in str(error)


def test_the_same_forks_are_never_counted_twice():
    record = Record(source_hash="a" * 64)
    one, more, other = measurement("1"), measurement("1", "2"), measurement("3")
    grown = record.with_evidence([one]).with_evidence([more]).with_evidence([other])
    assert grown.evidence == (more, other)
    assert grown.with_evidence([one, more, other]).evidence == (more, other)


def test_the_outer_loop_is_told_what_was_measured_here_of_the_texts_that_are_here(tmp_path, monkeypatch):
    from bilevel.codec import content_hash
    from bilevel.mechanisms import library

    monkeypatch.setenv("BILEVEL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = library()["revert"].source
    folder = tmp_path / "mechanisms"
    folder.mkdir()
    monkeypatch.chdir(folder)  # so that the project's folder is another
    for name, origin in (("mine", Origin()), ("theirs", Origin(imported="set.zip")), ("changed", Origin())):
        (folder / f"{name}.py").write_text(text + ("# more\n" if name == "changed" else ""))
        record = Record(source_hash=content_hash(text), origin=origin, evidence=(measurement("1"),))
        (folder / f"{name}.toml").write_text(written(record))
    assert list(evidence_for("sphere")) == ["mine"]
    assert list(evidence_for("sphere", foreign=True)) == ["mine", "theirs"]
    assert evidence_for("gpt") == {}


@pytest.mark.parametrize("told", [0, 1])
def test_a_sentence_says_what_it_rests_on(told):
    sentence = measurement("1", told=told, low=-0.1 if told else None, high=0.3 if told else None).sentence
    assert "undecided after 1 fork" in sentence and "against the search without it" in sentence
    assert ("none told" in sentence) == (told == 0)
