"""The recipe `recursive`: level 2 keeps mechanisms, level 3 lifts them; the report measures both levels themselves."""

import json
from dataclasses import replace

import in_process
import pytest

from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.mechanism import Guest, load
from bilevel.recipe import find
from bilevel.wiring import build

THREE = """
name = "three"
title = "a test"
task = "sphere"
[inner]
researcher = "random"
[[outer]]
level = "mechanisms"
researcher = "library"
trials = 3
[[outer]]
level = "mechanisms"
researcher = "{by}"
trials = 2
cycles = 2
start = "{start}"
ladder = ["door"]
"""


@pytest.fixture
def bilevel(tmp_path):
    def run(*args):
        return in_process.run(*args, cwd=tmp_path, env={"HOME": str(tmp_path), "COLUMNS": "160"})

    return run


def checked(bilevel, *args):
    done = bilevel("run", *args, "--folder", "r", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [one["level"] for one in summary["yields"]] == ["mechanisms", "mechanisms-3"]
    assert all(one["candidates"] for one in summary["yields"]) and set(summary["yields"][1]["lifted"])
    assert [cost["level"] for cost in summary["costs"]] == ["inner", "mechanisms", "mechanisms-3"]
    printed = bilevel("status", "r").stdout
    assert "level 2 itself" in printed and "level 3 itself" in printed and "over its unlifted twin" in printed
    assert "level 3 (mechanisms of level 2)" in printed
    replayed = bilevel("replay", "r")
    assert replayed.returncode == 0 and "byte for byte" in replayed.stdout, replayed.stderr


def test_a_second_level_of_mechanisms_lifts_tells_what_each_level_was_worth_and_replays(bilevel, tmp_path):
    text = THREE.format(by="lift", start="fork").replace('ladder = ["door"]', "ladder = []")
    text = text.replace("trials = 3\n", "trials = 3\nladder = []\n")
    (tmp_path / "three.toml").write_text(text)
    checked(bilevel, "three.toml")


@pytest.mark.slow
def test_the_shipped_recipe_does_the_same_through_the_door(bilevel):
    checked(bilevel, "recursive", "--task", "sphere", "--inner-budget", "3", "--outer-cycles", "2")


@pytest.mark.parametrize(
    ("by", "start", "text", "said"),
    [
        ("lift", "fork", THREE.replace('researcher = "library"', 'researcher = "lift"', 1), "put it on a second level"),
        ("settings_rules", "fork", THREE, "settings_rules"),
    ],
)
def test_levels_that_cannot_be_are_refused_with_the_way_out(bilevel, tmp_path, by, start, text, said):
    (tmp_path / "three.toml").write_text(text.format(by=by, start=start))
    done = bilevel("run", "three.toml", "--folder", "t")
    assert done.returncode != 0 and said in done.stderr + done.stdout


LAST = """
from bilevel.mechanism import Mechanism


class Last(Mechanism):
    def propose(self, view, parent, proposals):
        return proposals[::-1]
"""


@pytest.mark.parametrize("drafts", [1, 3])
def test_with_several_drafts_a_mechanism_on_level_2_has_something_to_choose_from(tmp_path, drafts):
    text = THREE.partition("[[outer]]")[0] + (
        f'[[outer]]\nlevel = "mechanisms"\nresearcher = "library"\ntrials = 3\ncycles = 2\n'
        f"ladder = []\ndrafts = {drafts}\n"
    )
    (tmp_path / "two.toml").write_text(text)
    spec = build(find(str(tmp_path / "two.toml")))
    chooses = replace(spec, mechanisms=(Guest("last", LAST),), load=load)
    plain, chosen = (Loop(one, Lab()).run()[1].proposal.notes["mechanism"] for one in (spec, chooses))
    assert (plain != chosen) == (drafts > 1)
