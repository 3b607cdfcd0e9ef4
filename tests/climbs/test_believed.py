"""How often a loop of loops believes in a mechanism that does nothing, over many seeds with noise."""

import math
from dataclasses import dataclass

import pytest

from bilevel.arms import Control
from bilevel.evidence import CONFIRMED, SURE, verdict
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.nesting import nest
from bilevel.situations import Bowl, Walk
from bilevel.surfaces import MechanismSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trial import Proposal

SHUFFLES = '''
from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class Shuffles(Mechanism):
    """Changes every decision and nothing in distribution: the same random step, drawn again."""

    domain = "control"

    def propose(self, view, parent, proposals):
        rng = view.rng(f"drawn again {len(view.turned_back)}")
        names = rng.sample(view.space.active, min(2, len(view.space.active)))
        drawn = {name: view.space.draw(rng, name, parent.params[name]) for name in names}
        return (Proposal(parent.with_params(**drawn), "drawn again"),)
'''


@dataclass(frozen=True)
class InAndOut:
    """Puts a mechanism in, and takes it out again where it was kept: each cycle is one more fork of it."""

    guest: Guest
    name: str = "in and out"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        there = guests_of(parent)
        return [Proposal(mechanism_set(() if there else (self.guest,)), "in or out")]


def search(text, seed, cycles, controls=()):
    """The climbs of the mechanism in each cycle of one run, the last one on the evidence of all its forks."""
    inner = LoopSpec("inner", Bowl(), Walk(), seed=seed, calibration=2)
    surface, researcher = MechanismSurface(admit_loadable), InAndOut(Guest("null", text))
    spec = nest(inner, surface, researcher, name="outer", trials=5, cycles=cycles + 1, ladder=(), controls=controls)
    trace = Loop(spec, Lab()).run()
    return [climb for trial in trace for climb in trial.climbs if climb.rung in ("trial", "probation")]


def allowed(share, runs):
    return share + 3 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.slow
@pytest.mark.parametrize("controls", [(), (Control("again"),)])
@pytest.mark.parametrize("cycles", [1, 4])
def test_what_changes_every_decision_to_no_effect_is_rarely_called_helped(cycles, controls):
    runs = 60
    last = [search(SHUFFLES, seed, cycles, controls)[-1] for seed in range(runs)]
    assert sum(climb.evidence["word"] == "helped" for climb in last) / runs <= allowed(1 - SURE, runs)
    assert sum(climb.evidence["word"] == "hurt" for climb in last) / runs <= allowed(1 - SURE, runs)
    assert not [climb for climb in last if climb.outcome == "inert"]  # it did change decisions


@pytest.mark.slow
def test_over_many_seeds_and_cycles_it_is_not_called_helped_or_confirmed_beyond_the_stated_rates():
    runs, cycles = 300, 8
    every = [search(SHUFFLES, seed, cycles) for seed in range(runs)]
    helped = sum(climbs[-1].evidence["word"] == "helped" for climbs in every)
    confirmed = sum(any(climb.evidence["e_value"] >= CONFIRMED for climb in climbs) for climbs in every)
    assert helped / runs <= allowed(1 - SURE, runs)
    assert confirmed / runs <= allowed(1 / CONFIRMED, runs)


def test_a_placebo_changes_nothing_gains_nothing_and_is_credited_nothing():
    for seed in range(20):
        for climb in search(source("placebo"), seed, 3):
            assert climb.outcome in ("inert", "undecided", "removed") and climb.evidence["gain"] == 0.0
            assert climb.evidence["forks"] == 0 or climb.evidence["effect"] == 0.0
            assert climb.evidence["e_value"] == 1.0
    assert verdict([]).word == "undecided"
