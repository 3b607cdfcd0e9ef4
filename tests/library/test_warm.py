"""`--warm`: level 2 chooses by what earlier runs on the same family of tasks left in the library."""

import datetime
import json

import pytest

from bilevel import mechanisms
from bilevel.codec import content_hash
from bilevel.shelf.record import Measurement, Record, written

LEVEL_2 = """
name = "small"
title = "a test"
task = "sphere"
[inner]
researcher = "random"
[[outer]]
level = "mechanisms"
researcher = "library"
trials = 4
cycles = 2
start = "fork"
ladder = []
proof_share = 0.0
"""


@pytest.fixture
def lay(library):
    """Lay a shipped mechanism's text into the user library with one measurement of it."""

    def put(name, word, family="sphere", as_name=None, kinds=(), **parameters):
        library.mkdir(parents=True, exist_ok=True)
        text = mechanisms.source(name, **parameters)
        effect = {"helped": 0.2, "hurt": -0.2}.get(word, 0.0)
        evidence = Measurement(
            family=family, task=family, harness="h", control="without it", effect=effect, low=effect - 0.1,
            high=effect + 0.1, forks=4, told=4, verdict=word, e_value=3.0, evaluations=40,
            date=datetime.date(2026, 1, 1), arms=("a" * 64,), gains=(effect,) * 4, spreads=(0.1,) * 4, kinds=kinds,
        )  # fmt: skip
        name = as_name or name
        (library / f"{name}.py").write_text(text)
        (library / f"{name}.toml").write_text(written(Record(source_hash=content_hash(text), evidence=(evidence,))))
        return text

    return put


@pytest.fixture
def first(bilevel, bilevel_json, work):
    """The mechanism that level 2 tries first."""

    def run(folder, *options):
        (work / "small.toml").write_text(LEVEL_2)
        return bilevel_json("run", "small.toml", "--folder", folder, *options)["mechanisms"][0]

    return run


@pytest.mark.slow
def test_what_helped_is_tried_first_in_the_text_that_was_measured_and_the_reason_says_so(first, lay, bilevel):
    cold = first("cold")
    text = lay("crossover", "helped", patience=2)
    warm = first("warm", "--warm")
    assert cold["name"] != "crossover" == warm["name"] and warm["source"] == text
    assert "the library says of crossover: 9" in warm["why"]
    assert first("still_cold")["name"] == cold["name"], "without --warm nothing of it is read"
    assert "byte for byte" in bilevel("replay", "warm").stdout


@pytest.mark.slow
def test_what_hurt_is_tried_last_and_other_families_do_not_count(first, lay):
    cold = first("cold")
    lay(cold["name"], "hurt", family="gpt-table")
    assert first("other", "--warm")["name"] == cold["name"]
    lay(cold["name"], "hurt")
    assert first("hurt", "--warm")["name"] != cold["name"]


def test_a_mechanism_that_is_not_shipped_becomes_a_candidate(first, lay):
    text = lay("crossover", "helped", as_name="mixed")
    found = first("warm", "--warm")
    assert (found["name"], found["source"]) == ("mixed", text)


def test_a_run_says_what_it_starts_with_and_goes_on_with_it_when_the_library_has_changed(lay, library, bilevel, work):
    (work / "small.toml").write_text(LEVEL_2)
    assert "starts cold" in bilevel("run", "small.toml", "--folder", "none", "--warm").stdout
    lay("crossover", "helped")
    done = bilevel("run", "small.toml", "--folder", "warm", "--warm")
    assert "crossover (9" in done.stdout
    stored = json.loads((work / "warm" / "run.json").read_text())
    assert stored["recipe"]["warm"] and list(stored["warm"]) == ["crossover"]
    (library / "crossover.py").unlink()
    assert "byte for byte" in bilevel("replay", "warm").stdout


def test_where_nobody_would_read_it_warm_is_an_error(bilevel):
    done = bilevel("run", "a", "--task", "sphere", "--warm", "--folder", "x")
    assert done.returncode != 0 and "no level's researcher is 'library'" in done.stderr


def test_what_was_measured_without_a_kind_of_parameter_that_the_task_has_does_not_count_and_is_named(
    first, lay, bilevel, bilevel_json
):
    cold = first("cold")["name"]
    lay("crossover", "helped", kinds=("Float", "Int"))
    assert first("other", "--warm")["name"] == cold
    done = bilevel("run", "small.toml", "--folder", "told", "--warm")
    assert "starts cold" in done.stdout
    why = "measured on parameters of kind Float, Int; this task has Bool, Choice too"
    assert f"crossover does not count: {why}" in " ".join(done.stdout.split())
    lay("crossover", "helped", kinds=("Bool", "Choice", "Float", "Int", "Derived"))
    assert first("same", "--warm")["name"] == "crossover"
    bilevel("mechanisms", "export", "same", "crossover", "--library")
    measured = bilevel_json("mechanisms", "show", "user:crossover")["evidence"]
    assert {"Bool", "Choice", "Float", "Int"} in [set(one["kinds"]) for one in measured]
