"""Advice that steers: phases, registers, frames, flags, seasons, lessons; and the settings that an outer loop turns.

The carriers of an outer loop that do not exist yet (steps of a workflow, prompts, skills, what memory keeps) have no
test here.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from searches import TASK, Heeding, count, guest, search, told

from bilevel.budget import Budget
from bilevel.codec import content_hash
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.nesting import nest
from bilevel.researchers.random import Random
from bilevel.settings import Settings
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable, guests_of, mechanism_set
from bilevel.trial import Lesson, Proposal, Status, merge

WORSE = [{"decay": value} for value in (0.6, 0.7, 0.8, 0.9)]


def test_phases_replace_the_whole_briefing():
    settings = Settings(guidance="always change the width", history_window=7)
    replies = [{"decay": 0.4}, {"depth": 5}, {"mix_a": 0.1}, {"mix_a": 0.3}, {"mix_a": 0.4}]
    other = guest("coverage")
    found = told(replies, other, "phases", settings=settings)
    phases = [found.heard[number].blocks[0].text.split(":")[0] for number in range(1, 7)]
    assert phases == ["Explore", "Explore", "Explore", "Exploit", "Exploit", "Plateau"]
    assert all(len(briefing.blocks) == 1 and briefing.guidance == "" for briefing in found.heard.values())
    assert [found.heard[number].history_window for number in (1, 4)] == [0, 5]
    assert count(found.trace, "phases", "advise").touched == 6
    assert count(found.trace, "phases", "advise").decisive == 1  # without it the coverage would be heeded
    assert found.last == ("mix_b",) and told(replies, other, settings=settings).last == ("batch",)
    reflects = told(replies, guest("phases", reflect=6), settings=settings)
    assert reflects.text.startswith("Reflect:")


def test_the_register_is_chosen_by_a_bandit_that_credits_the_right_one():
    replies = [{"decay": 0.4}, {"depth": 3}, {"rate": 0.5}]
    found = told(replies, guest("register_bandit", exploration=2.0), more=2)
    registers = [found.heard[number].register for number in range(1, 6)]
    assert registers[:4] == ["plain", "terse", "a sceptical reviewer", "plain"]
    assert [trial.proposal.notes["register"] for trial in found.trace[1:]] == registers
    assert found.trace[4].decision.keep is False and registers[4] == "terse"
    assert found.last == ("mix_a",) and count(found.trace, "register_bandit", "advise").decisive == 1


def test_a_foreign_frame_is_shown_on_fixation_only():
    found = told(WORSE, "foreign_frame")
    assert found.text.startswith("Look at the task as ") and found.text.endswith("only changed decay.")
    assert [bool(found.heard[number].blocks) for number in range(1, 6)] == [False, False, False, True, True]
    assert count(found.trace, "foreign_frame", "advise").decisive == 1 and found.last == ("decay",)
    moving = told([{"decay": 0.4}, {"depth": 5}, {"rate": 0.2}], "foreign_frame")
    assert count(moving.trace, "foreign_frame", "advise").touched == 0


def test_proposals_are_flagged_as_stale_after_k_discards():
    found = told([*WORSE, {"depth": 3}], guest("stale_proposals", k=3))
    assert found.text == "STALE: decay, discarded 4 times in a row"
    assert [bool(found.heard[number].blocks) for number in range(1, 5)] == [False, False, False, True]
    assert count(found.trace, "stale_proposals", "advise").decisive == 1 and found.last == ("decay",)


def test_families_of_parameters_have_their_seasons():
    seasons = guest("seasons", size=5, season=3)
    trace, plain = search(Random(), seasons, trials=6), search(Random(), trials=6)
    first, second = {"rate", "decay", "batch", "depth", "width"}, {"heads", "mix_a", "mix_b", "shape", "bias"}
    changed = [set(trial.changes) for trial in trace]
    assert all(names <= first for names in changed[1:4]) and all(names <= second for names in changed[4:])
    assert any(trial.changes.keys() & second for trial in plain[1:4])
    assert count(trace, "seasons", "constrain").decisive > 0
    assert count(search(Random(), guest("seasons", size=10), trials=3), "seasons", "constrain").touched == 0


LESSONS = (
    Lesson("works", "more depth helps", "raise depth first", 0.9),
    Lesson("fails", "shape long crashes", "do not take it", 0.8),
    Lesson("method", "be patient", "go on", 1.0),
    Lesson("works", "less decay and less rate help", "lower decay", 0.5),
)


@dataclass(frozen=True)
class Learning(Heeding):
    """Draws its lessons before the second trial."""

    free: bool = field(default=True, kw_only=True)

    def learn(self, view):
        return LESSONS


class Mute:
    """A model that nobody asks: lessons are drawn only where there is one."""

    name = "test:mute"

    def complete(self, request, seed, watch):
        raise AssertionError("nobody should ask")


@pytest.mark.parametrize("seed", [1, 2])
def test_lessons_are_retrieved_deterministically_and_their_ids_are_recorded(seed):
    researcher = Learning([{"decay": 0.4}])
    trace = search(researcher, guest("earlier_lessons", most=2), trials=2, lessons_every=1,
                   lab=Lab(models={"inner": Mute()}))  # fmt: skip
    ids = [content_hash(lesson)[:8] for lesson in (LESSONS[3], LESSONS[0])]
    lines = researcher.heard[2].blocks[0].text.splitlines()
    assert [line[1:9] for line in lines] == ids and "less decay and less rate help: lower decay" in lines[0]
    assert list(trace[2].proposal.notes["lessons"]) == ids and "lessons" not in trace[1].proposal.notes
    assert count(trace, "earlier_lessons", "advise").decisive == 1 and trace[2].changes.keys() == {"decay"}


# ---- of the loop itself, through surfaces ----


@dataclass(frozen=True)
class Turning:
    """An outer researcher that turns settings as it is told, trial by trial."""

    turns: tuple[dict[str, object], ...]
    guidance: str = ""
    name: str = "turning"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        if view.number > len(self.turns) or briefing.attempt:
            return []
        candidate = parent.with_params(**self.turns[view.number - 1])
        return [Proposal(replace(candidate, files={"guidance.md": self.guidance}))]


def outer(turns, guidance="", surface=None, inner=None, trials=2):
    inner = inner or LoopSpec("inner", TASK, Random(), budget=Budget(), seed=3, calibration=1)
    surface = surface or SettingsSurface(least_active=2, most_changed=3)
    spec = nest(inner, surface, Turning(tuple(turns), guidance), name="outer", trials=trials, cycles=len(turns) + 1)
    lab = Lab()
    return Loop(spec, lab).run(), lab


def inner_trials(trace, lab, number, arm="challenger"):
    branch = trace[number].runs[0].data["arms"][arm]["branch"]
    return list(lab.traces.trace(branch, TASK.objective))


def test_parameters_are_frozen_and_unfrozen_within_a_maximum_per_cycle_and_a_minimum_left_active():
    names = [f"freeze.{name}" for name in TASK.space.domains]
    many, some, most = (dict.fromkeys(names[:n], True) for n in (4, 3, 9))
    trace, lab = outer([some])
    assert trace[1].status is Status.OK
    touched = {name for trial in inner_trials(trace, lab, 1)[-2:] for name in trial.changes}
    assert touched and not touched & set(list(TASK.space.domains)[:3])
    refused, _ = outer([many])
    assert "at most 3 parameters may be frozen or unfrozen per cycle, not 4" in refused[1].reason
    refused, _ = outer([most], surface=SettingsSurface(least_active=2, most_changed=9))
    assert "at least 2 parameters must stay active, not 1" in refused[1].reason
    frozen = LoopSpec("inner", TASK, Random(), settings=Settings(dict.fromkeys(list(TASK.space.domains)[:8], "a test")),
                      seed=3, calibration=1)  # fmt: skip
    trace, _ = outer([dict.fromkeys(names[:2], False)], inner=frozen)
    assert trace[1].status is Status.OK and not trace[1].candidate.params["freeze.rate"]


def test_drafts_strategy_and_guidance_are_turned():
    inner = LoopSpec("inner", replace(TASK, rule=None), Random(), (guest("picker_novelty"),), seed=3, calibration=1)
    trace, lab = outer([{"drafts": 8, "strategy": "explore"}], "Look at depth.", inner=inner)
    settings = SettingsSurface().write(inner, trace[1].candidate).settings
    assert (settings.drafts, settings.strategy, settings.guidance) == (8, "explore", "Look at depth.")
    turned, control = inner_trials(trace, lab, 1), inner_trials(trace, lab, 1, "control")
    assert {trial.proposal.why for trial in turned[-2:]} == {"every parameter drawn anew"}
    assert all(trial.proposal.why.startswith("drawn anew: ") for trial in control[-2:])
    reordered = [merge(trial.ledger)["picker_novelty"]["propose"].decisive for trial in (*turned[-2:], *control[-2:])]
    assert sum(reordered[:2]) > 0 and sum(reordered[2:]) == 0  # one draft cannot be reordered


def test_a_mechanism_is_added_replaced_and_removed():
    surface, inner = MechanismSurface(admit_loadable), LoopSpec("inner", TASK, Random())
    sets = [(), ("seasons",), ("seasons", "coverage"), ("coverage",)]
    candidates = [mechanism_set(tuple(guest(name) for name in names)) for names in sets]
    for before, after in pairwise(candidates):
        assert surface.problems(inner, after, before) == []
        assert surface.read(surface.write(inner, after)) == after
    replaced = mechanism_set((Guest("coverage", guest("coverage", bins=4).source),))
    assert surface.problems(inner, replaced, candidates[-1]) == []
    assert surface.credited(replaced, candidates[-1]) == ("coverage",)
    assert [made.name for made in guests_of(replaced)] == ["coverage"]
