"""Every behaviour that a mechanism must be able to express stands here with the mechanism that expresses it.

Behaviours that the library ships are in its own tests. Each mechanism here is admitted like one that a model wrote, and
is put in force in a search by a test of this folder, where it changes a decision or what the researcher is told.
Of what an outer loop changes, settings and mechanisms are covered; the steps of a workflow, prompts, skills and what
memory keeps have no surface yet.
"""

from pathlib import Path

import pytest
from searches import FOLDER, search, text_of

from bilevel.admission import admit, read
from bilevel.mechanism import Guest, load, overridden
from bilevel.mechanisms import library
from bilevel.researchers.random import Random
from bilevel.sandbox.proxy import Sandbox
from bilevel.testing import check_mechanism

BEHAVIOURS = {
    # what is tried
    "Lazarus: try again a discarded change whose context has changed": ["lazarus"],
    "grid of bins per parameter: propose from the least visited bin": ["bin_grid"],
    "diversity: perturb a draft until it is at least so far from the last five": ["diversity"],
    "repair: fix what breaks the task's rules (power of two, divisibility, sums <= 1), and say which rule": ["repair"],
    "nudge numeric values by momentum x calibrated step; switch itself off after k bad results": ["momentum_nudge"],
    "batch diversity: within one batch no two candidates closer than a threshold": ["batch_diversity"],
    "factorial waves with main effects and interactions": ["factorial_wave"],
    "multiple drafts and a picker (by model, by surrogate, by novelty)": [
        "picker_model", "picker_surrogate", "picker_novelty",
    ],
    "idea tournament: pairwise comparison (Elo) of drafts, best k go on": ["idea_tournament"],
    "a Gaussian process that takes over, with the usual package or written out": [
        "gaussian_process_regressor_sklearn", "gaussian_process_regressor_numpy",
    ],
    "a tabu list that is a queue with a tenure": ["tabu_list"],
    # where from
    "islands with migration": ["islands"],
    "MAP-Elites cells": ["map_elites"],
    "tree search (best-first, UCT)": ["best_first", "uct"],
    # what is kept
    "regression cap": ["regression_cap"],
    "minimal-gain threshold": ["minimal_gain"],
    "Pareto rule over secondary metrics (memory, size of the diff)": ["pareto"],
    # how it is run
    "infrastructure failure is told from a candidate's failure and does not count against it": ["machine_failures"],
    # what the researcher is told
    "step sizes that helped and hurt": ["step_sizes"],
    "landscape roughness per parameter": ["roughness"],
    "noise floor and signal-to-noise of each gain": ["noise_report"],
    "pair interactions (synergy, antagonism)": ["pair_interactions"],
    "correlations among elites": ["elite_correlations"],
    "effect of a change given the others' values": ["conditional_effects"],
    "attribution of a joint change to its parts by earlier single changes": ["attribution"],
    "layers: which settings are old and proven, which are recent": ["layers"],
    "settled and volatile parameters": ["settled"],
    "intervals in which everything failed": ["failed_intervals"],
    "coverage of each parameter's range": ["coverage"],
    "search health (entropy, breadth, velocity) with directives": ["search_health"],
    "prediction calibration: what the researcher predicted against what happened, per parameter": ["calibration"],
    "surprise: an improvement against the momentum is followed up first": ["surprise"],
    "phases (explore, exploit, plateau, reflect) that replace the whole briefing": ["phases"],
    "prompt register chosen by a bandit": ["register_bandit"],
    "a foreign frame when fixation is seen": ["foreign_frame"],
    "stale-proposal flag after k discards": ["stale_proposals"],
    "rotation through parameter families by season": ["seasons"],
    "lessons retrieved deterministically, with their ids recorded": ["earlier_lessons"],
}  # fmt: skip
WITH_A_RICH_MEMORY = ("islands", "stale_proposals", "factorial_wave")  # candidates, tuples as keys, None
NAMES = [name for names in BEHAVIOURS.values() for name in names]
THROUGH_THE_DOOR = ("lazarus", "islands", "pareto", "settled", "gaussian_process_regressor_numpy", "machine_failures")


def test_the_table_and_the_mechanisms_are_the_same():
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert not set(NAMES) & set(library())
    tests = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    text = "\n".join(path.read_text("utf-8") for path in tests)
    assert [name for name in NAMES if f'"{name}"' not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_and_conforms_like_any_mechanism(name):
    if "sklearn" in name:
        pytest.importorskip("sklearn")
    if name.startswith("gaussian"):
        pytest.importorskip("numpy")
    source = text_of(name)
    assert read(source) == []
    mechanism = load(Guest(name, source))
    assert overridden(mechanism) and mechanism.domain
    assert check_mechanism(lambda: load(Guest(name, source))) == []


@pytest.mark.parametrize("name", THROUGH_THE_DOOR)
def test_it_passes_the_door(name):
    if name.startswith("gaussian"):
        pytest.importorskip("numpy")
    admission = admit(text_of(name))
    assert admission.problems == ()


@pytest.mark.parametrize("name", WITH_A_RICH_MEMORY)
def test_it_does_the_same_in_a_process_of_its_own(name):
    here = search(Random(), name, trials=12)
    there = search(Random(), name, trials=12, load=Sandbox("limits").load)
    assert there.fingerprint() == here.fingerprint()
