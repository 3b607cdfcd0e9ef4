"""The recipe `recursive`: level 2 keeps mechanisms, level 3 lifts them; the report measures both levels themselves."""

import json
from dataclasses import dataclass, replace

import in_process
import pytest

from bilevel.call import Reply
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.mechanism import Guest, load
from bilevel.recipe import find, unread
from bilevel.wiring import build, sources

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


def checked(bilevel, folder, *args):
    done = bilevel("run", *args, "--folder", "r", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [one["level"] for one in summary["yields"]] == ["mechanisms", "mechanisms-3"]
    assert all(one["candidates"] for one in summary["yields"]) and set(summary["yields"][1]["lifted"])
    assert [cost["level"] for cost in summary["costs"]] == ["inner", "mechanisms", "mechanisms-3"]
    printed = bilevel("status", "r").stdout
    assert "level 2 itself" in printed and "level 3 itself" in printed and "over its unlifted twin" in printed
    assert "level 3 (mechanisms of level 2)" in printed
    is_told_everywhere(bilevel, folder, printed, next(iter(summary["yields"][1]["lifted"])))
    replayed = bilevel("replay", "r")
    assert replayed.returncode == 0 and "byte for byte" in replayed.stdout, replayed.stderr


@pytest.mark.slow
def test_a_second_level_of_mechanisms_lifts_tells_what_each_level_was_worth_and_replays(bilevel, tmp_path):
    text = THREE.format(by="lift", start="fork").replace('ladder = ["door"]', "ladder = []")
    text = text.replace("trials = 3\n", "trials = 3\nladder = []\n")
    (tmp_path / "three.toml").write_text(text)
    checked(bilevel, tmp_path / "r", "three.toml")


def is_told_everywhere(bilevel, folder, printed, name):
    """A trial of level 3 is told like one of level 2: in the summary, the mechanism's life, claims, and its export."""
    assert f"level 3, trial 1: add {name}" in printed and f"{name} (" in printed.partition("ladder\n")[2]
    assert "level 2: no live trial has a control" in printed and "level 3: no live trial" not in printed
    life = json.loads(bilevel("mechanisms", "show", name, "--run", "r", "--json").stdout)
    assert life["changes"][0]["level"] == life["forks"][0]["level"] == "mechanisms-3"
    assert life["forks"][0]["on"] == life["standing"][0]["on"] == "mechanisms"
    shown = bilevel("mechanisms", "show", name, "--run", "r").stdout
    assert "against the search without it on level 2 (mechanisms)" in shown and "level    trial" in shown
    stored = bilevel("mechanisms", "export", "r", name, "--to", "lifted.py")
    assert stored.returncode == 0 and "of level 2, onto which it was lifted" in stored.stdout, stored.stderr
    told = json.loads(bilevel("mechanisms", "show", "./lifted.py", "--json").stdout)
    assert told["record"]["preconditions"]["kinds"] == ["Derived"] and told["record"]["origin"]["trial"] == 1
    assert [one["on"] for one in told["evidence"]] == ["mechanisms"]
    claims = json.loads((folder / "claims.json").read_text())["claims"]
    (claim,) = [one for one in claims if one["subject"].startswith(f"{name} ")]
    assert claim["claim"] == f"mechanism {name} helps level 2 to search mechanisms"
    assert claim["rests_on"]["trials"] == ["root#1"] and claim["control"] != "none"
    verified = bilevel("verify", "r")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.slow
def test_the_shipped_recipe_does_the_same_through_the_door(bilevel, tmp_path):
    checked(bilevel, tmp_path / "r", "recursive", "--task", "sphere", "--inner-budget", "3", "--outer-cycles", "2")


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


LIFTS = """
name = "lifts"
title = "a test"
task = "sphere"
[[outer]]
level = "mechanisms"
researcher = "library"
trials = 4
drafts = 3
ladder = []
[[outer]]
level = "mechanisms"
researcher = "lift"
offers = ["{offer}"]
trials = 4
cycles = 2
start = "fork"
ladder = []
"""
MODEL = '[models]\nmechanisms = "says:2"\n'


@dataclass(frozen=True)
class Says:
    name: str = "says:2"

    def complete(self, request, seed, watch):
        return Reply("Draft 2.", self.name, tokens_in=7, tokens_out=1)


@pytest.mark.parametrize("offer", ["tabu", "semantic_duplicate", "track_record", "debate"])
def test_what_a_recipe_offers_is_lifted_and_changes_which_mechanisms_level_2_tries(tmp_path, offer):
    (tmp_path / "lifts.toml").write_text(LIFTS.format(offer=offer) + MODEL)
    recipe = find(str(tmp_path / "lifts.toml"))
    store = MemoryStore()
    spec = build(recipe)
    trace = Loop(spec, Lab(store, models={"mechanisms": Says()})).run()
    assert trace[1].proposal.notes["lifted"] == f"lifted {offer}" and "offers it" in trace[1].proposal.why
    data = trace[1].runs[-1].data
    assert data["ledger"][f"lifted {offer}"]["propose"][2] > 0 and not data.get("inert")
    tried = {
        arm: [(t.candidate.params["newest"], t.proposal.why) for t in store.trials(f"root/1.{arm}")]
        for arm in ("challenger", "control")
    }
    assert tried["challenger"] != tried["control"]
    assert sources(recipe, spec)[offer] == trace[1].candidate.files[f"lifted {offer}"]
    assert bool(store.calls()) == (offer == "debate")


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ("bandit", "constructs candidates"),
        ("debate", "asks a language model, and level 'mechanisms' has none"),
        ("nonsense", "no mechanism 'nonsense'"),
    ],
)
def test_an_offer_that_cannot_be_lifted_is_an_error_with_the_way_out(bilevel, tmp_path, offer, said):
    (tmp_path / "lifts.toml").write_text(LIFTS.format(offer=offer))
    done = bilevel("run", "lifts.toml", "--folder", "t")
    assert done.returncode != 0 and said in " ".join(done.stderr.split()), done.stderr


def test_offers_that_nobody_reads_are_said_to_be_unread(tmp_path):
    for by, wanted in (("lift", False), ("library", False), ("library:random", True)):
        (tmp_path / "lifts.toml").write_text(LIFTS.format(offer="tabu").replace('"lift"', f'"{by}"'))
        assert any("outer.1.offers: only" in line for line in unread(find(str(tmp_path / "lifts.toml")))) == wanted


def test_what_steers_outer_loops_is_picked_by_nobody_unless_it_is_offered(tmp_path):
    inner = LIFTS.partition("[[outer]]")[0]
    for offers, wanted in (("[]", False), ('["track_record"]', True)):
        (tmp_path / "two.toml").write_text(
            f'{inner}[[outer]]\nlevel = "mechanisms"\nresearcher = "library"\noffers = {offers}\ntrials = 1\n'
            "cycles = 2\nladder = []\ndrafts = 8\n"
        )
        trace = Loop(build(find(str(tmp_path / "two.toml"))), Lab()).run()
        assert (trace[1].proposal.notes["mechanism"] == "track_record") == wanted
    assert find("recursive").outer[1].offers == ("tabu", "track_record")
