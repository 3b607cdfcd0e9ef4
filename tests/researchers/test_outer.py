"""The outer researchers: what they read in an inner trace, and that what they write is admitted."""

import functools

import pytest

from bilevel.budget import Budget
from bilevel.errors import InputError
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import library, source
from bilevel.nesting import nest
from bilevel.researchers import make
from bilevel.researchers.diagnosis import Diagnosis, diagnose
from bilevel.researchers.library import AUTHOR, LibraryResearcher
from bilevel.researchers.scripted import Scripted
from bilevel.surfaces import MechanismSurface, SettingsSurface, admit_loadable, mechanism_set
from bilevel.tasks.sphere import sphere
from bilevel.testing import admit, check_surface
from bilevel.trial import Decision, Proposal, Run, Status, Trial
from bilevel.view import Below, Briefing, View

TASK = sphere(dimensions=3, noise=0.01, crash=True)
author = functools.partial(LibraryResearcher, mechanism_set, source, library())


def inner(researcher, mechanisms=(), seed=1) -> LoopSpec:
    return LoopSpec("inner", TASK, researcher, tuple(mechanisms), seed=seed)


def searched(researcher, trials=24, seed=1):
    return Loop(LoopSpec("inner", TASK, researcher, budget=Budget(trials=trials), seed=seed), Lab()).run()


def outer_view(trace, surface, spec, reads_advice=False, outer=None) -> tuple[View, object]:
    """The view of an outer loop's researcher over an inner trace, and the parent that it starts from."""
    level = Loop(nest(spec, surface, Scripted(), name="outer", trials=6, cycles=4), Lab())
    view = level.view(1, outer or level.trace)
    below = Below(
        trace=trace, space=TASK.space, reads_advice=reads_advice, objective=TASK.objective, brief="", trials=6
    )
    return type(view)(**{**vars(view), "below": below}), surface.read(spec)


TRACES = {
    "stuck": lambda: searched(make("stuck")),
    "random": lambda: searched(make("random")),
    "coordinate": lambda: searched(make("coordinate")),
    "plateau": lambda: searched(Scripted(tuple({"x0": 4.0 + 0.01 * n} for n in range(24)))),
    "crashing": lambda: searched(
        Scripted(tuple({"rows": 8, "batch": 8192, "depth": 12, "x0": 0.1 * n} for n in range(24)))
    ),
    "one direction": lambda: searched(Scripted(tuple({"x1": 0.2 + 0.01 * n, "depth": 9} for n in range(24)))),
    "short": lambda: searched(make("random"), trials=1),
}
AILMENTS = {"stuck": "repetition", "plateau": "plateau", "crashing": "crashes"}


@pytest.mark.parametrize("kind", AILMENTS)
def test_the_diagnosis_names_what_is_wrong_with_its_numbers(kind):
    found = diagnose(TRACES[kind](), TASK.space)
    words = dict(found.ailments())
    assert AILMENTS[kind] in words
    assert any(digit in words[AILMENTS[kind]] for digit in "0123456789")


def test_the_diagnosis_of_a_healthy_search_and_of_none_says_so():
    assert Diagnosis().ailments() == [("none", "nothing conspicuous in 0 trials")]
    assert diagnose(searched(make("random"), trials=0), TASK.space) == Diagnosis()
    words = dict(diagnose(searched(make("random"), trials=6), TASK.space).ailments())
    assert "repetition" not in words and "refusals" not in words


def test_repetition_counts_changes_made_again_elsewhere():
    trace = searched(Scripted(({"depth": 7}, {"depth": 8}, {"depth": 7}, {"depth": 8})), trials=4)
    assert diagnose(trace, TASK.space).repetition > 0.3


@pytest.mark.parametrize("kind", TRACES)
@pytest.mark.parametrize("attempt", [0, 1])
def test_settings_by_rules_are_always_valid(kind, attempt):
    surface, spec = SettingsSurface(), inner(make("stuck"))
    for _ in range(4):
        view, parent = outer_view(TRACES[kind](), surface, spec)
        (proposal,) = make("settings_rules").propose(view, parent, Briefing(attempt=attempt))
        assert surface.problems(spec, proposal.candidate, parent) == []
        assert view.space.problems(proposal.candidate, parent) == []
        spec = surface.write(spec, proposal.candidate)
    assert sum(name not in spec.settings.frozen for name in TASK.space.unlocked) >= 2


def test_settings_by_rules_freeze_what_fails_and_say_why():
    surface, spec = SettingsSurface(), inner(make("random"))
    view, parent = outer_view(TRACES["plateau"](), surface, spec)
    (proposal,) = make("settings_rules").propose(view, parent, Briefing())
    assert proposal.candidate.params["freeze.x0"] is True
    assert proposal.candidate.params["strategy"] == "explore"
    assert "freeze x0: 2" in proposal.why and "changes in a row not kept" in proposal.why
    view, parent = outer_view(TRACES["plateau"](), surface, surface.write(spec, proposal.candidate))
    (proposal,) = make("settings_rules").propose(view, parent, Briefing())
    assert proposal.candidate.params["freeze.x0"] is False
    assert "unfreeze x0 after the plateau" in proposal.why


def test_settings_by_rules_give_guidance_to_a_researcher_that_reads():
    surface, spec = SettingsSurface(), inner(make("random"))
    view, parent = outer_view(TRACES["plateau"](), surface, spec, reads_advice=True)
    (proposal,) = make("settings_rules").propose(view, parent, Briefing())
    assert "never changed so far: x1" in proposal.candidate.files["guidance.md"]
    assert check_surface(surface, spec, [proposal.candidate]) == []


@pytest.mark.parametrize("kind", TRACES)
def test_what_the_library_author_writes_passes_the_door(kind):
    surface, spec = MechanismSurface(admit_loadable), inner(make("stuck"))
    view, parent = outer_view(TRACES[kind](), surface, spec)
    (proposal,) = author().propose(view, parent, Briefing())
    assert proposal == author().propose(view, parent, Briefing())[0]
    assert surface.problems(spec, proposal.candidate, parent) == []
    (text,) = proposal.candidate.files.values()
    assert admit(text).problems == ()
    assert proposal.author == AUTHOR and proposal.why.startswith("diagnosis ")
    assert check_surface(surface, spec, [proposal.candidate]) == []


def outer_trials(*pairs):
    """Discarded trials of an outer loop, each of one mechanism for one ailment."""
    level = Loop(
        nest(inner(make("stuck")), MechanismSurface(admit_loadable), Scripted(), name="outer", trials=6, cycles=4),
        Lab(),
    )
    trace, start = level.trace, mechanism_set(())
    for number, (ailment, name) in enumerate([("", ""), *pairs]):
        candidate = start if not name else mechanism_set((Guest(name, source(name)),))
        notes = {"ailment": ailment, "mechanism": name} if name else {}
        trace = trace + Trial(
            number, start, Proposal(candidate, notes=notes), (Run("cycle", 0, Status.OK, {"gain": 0.0}),),
            Status.OK, 0.0, Decision(number == 0, "a test"),
        )  # fmt: skip
    return trace


def test_the_library_author_does_not_repeat_an_answer_that_was_discarded():
    surface, spec, below = MechanismSurface(admit_loadable), inner(make("stuck")), TRACES["stuck"]()
    tried: list[tuple[str, str]] = []
    for _ in range(6):
        view, parent = outer_view(below, surface, spec, outer=outer_trials(*tried))
        (proposal,) = author().propose(view, parent, Briefing())
        pair = (proposal.notes["ailment"], proposal.notes["mechanism"])
        assert pair not in tried
        tried.append(pair)
    assert len({name for _, name in tried}) >= 3


def test_what_is_in_force_is_not_added_again_while_anything_else_is_left():
    surface, below = MechanismSurface(admit_loadable), TRACES["stuck"]()
    spec = inner(make("stuck"), [Guest(name, source(name)) for name in ("orthogonal", "bandit")])
    view, parent = outer_view(below, surface, spec)
    (proposal,) = author().propose(view, parent, Briefing())
    assert proposal.notes["mechanism"] not in ("orthogonal", "bandit")
    assert set(proposal.candidate.files) > {"orthogonal", "bandit"}
    assert surface.problems(spec, proposal.candidate, parent) == []


def test_a_full_set_makes_room_before_it_grows():
    surface, names = MechanismSurface(admit_loadable, most=40), [name for name in library() if name != "placebo"]
    spec = inner(make("stuck"), [Guest(name, source(name)) for name in names])
    view, parent = outer_view(TRACES["stuck"](), surface, spec)
    (proposal,) = author(most=len(names)).propose(view, parent, Briefing())
    assert len(proposal.candidate.files) == len(names) - 1 and proposal.why.startswith("remove ")
    (retuned,) = author(most=40).propose(view, parent, Briefing())
    assert "replace" in retuned.why and surface.problems(spec, retuned.candidate, parent) == []


@pytest.mark.parametrize("name", ["placebo", "restart"])
def test_a_control_recipe_always_proposes_its_mechanism(name):
    surface, spec = MechanismSurface(admit_loadable), inner(make("stuck"))
    view, parent = outer_view(TRACES["stuck"](), surface, spec)
    (proposal,) = author(mode=f"only:{name}").propose(view, parent, Briefing())
    assert list(proposal.candidate.files) == [name]


def test_the_shuffled_control_draws_without_the_diagnosis_and_never_a_placebo():
    surface, spec, drawn = MechanismSurface(admit_loadable), inner(make("stuck")), set()
    for number in range(1, 30):
        view, parent = outer_view(TRACES["short"](), surface, spec)
        (proposal,) = author(mode="random").propose(type(view)(**{**vars(view), "number": number}), parent, Briefing())
        drawn.add(proposal.notes["mechanism"])
    assert len(drawn) >= 5 and "placebo" not in drawn


def test_a_mode_or_a_level_that_does_not_exist_is_explained():
    view, parent = outer_view(TRACES["short"](), MechanismSurface(admit_loadable), inner(make("stuck")))
    with pytest.raises(InputError, match="the modes are: diagnose, random, only:NAME"):
        author(mode="best").propose(view, parent, Briefing())
    with pytest.raises(InputError, match="no mechanism 'taboo'; the library has: annealing"):
        author(mode="only:taboo").propose(view, parent, Briefing())
    with pytest.raises(InputError, match="put it on an outer level"):
        author().propose(type(view)(**{**vars(view), "below": None}), parent, Briefing())


def test_an_outer_loop_writes_mechanisms_that_change_decisions_of_the_inner_one():
    surface = MechanismSurface(door=lambda guest: None if admit(guest.source).ok else "refused")
    outer = nest(inner(make("stuck")), surface, author(), name="outer", trials=8, cycles=4)
    trace = Loop(outer, Lab()).run()
    assert len(trace) == 4
    assert all(trial.status is Status.OK for trial in trace)
    ledgers = [trial.runs[-1].data["ledger"] for trial in trace if trial.number]
    assert any(counts[2] for ledger in ledgers for hooks in ledger.values() for counts in hooks.values())
    assert any(trial.score > 0 for trial in trace if trial.number)


def test_two_levels_with_settings():
    outer = nest(inner(make("random")), SettingsSurface(), make("settings_rules"), name="outer", trials=6, cycles=4)
    trace = Loop(outer, Lab()).run()
    assert all(trial.status is Status.OK for trial in trace)
