"""What is tried: each mechanism makes another candidate run than the same search without it."""

from dataclasses import dataclass, replace

import pytest
from searches import SPACE, START, TASK, count, guest, scripted, search, told

from bilevel.budget import Budget
from bilevel.call import Reply
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.researchers.scripted import Scripted
from bilevel.settings import Settings

THREE = [{"decay": 0.9}, {"depth": 5}, {"rate": 0.2}]


@dataclass
class Answers:
    """A model that prefers whatever sets a parameter: it answers with the label of the line that names it."""

    favourite: str
    name: str = "test:answers"

    def complete(self, request, seed, watch):
        lines = [line for line in request.messages[-1].text.splitlines() if self.favourite in line]
        return Reply(lines[0].split(":")[0] if lines else "none", self.name)


def changed(trial):
    return {name: change.new for name, change in trial.changes.items()}


def test_lazarus_tries_a_discarded_change_again_once_its_context_has_changed():
    replies = [{"decay": 0.7}, {"depth": 8}, {"mix_a": 0.3}, {"mix_a": 0.4}]
    plain, trace = scripted(replies), scripted(replies, "lazarus")
    assert [trial.decision.keep for trial in trace][:3] == [True, False, True]
    assert changed(plain[4]) == {"mix_a": 0.4} and changed(trace[4]) == {"decay": 0.7}
    assert trace[4].candidate.params["depth"] == 8 and trace[4].proposal.notes["lazarus"] == 1
    assert count(trace, "lazarus", "propose").decisive == 1


def test_bin_grid_goes_to_the_least_visited_bin():
    replies = [{"rate": 0.002}, {"rate": 0.003}, {"rate": 0.002}]
    trace = scripted(replies, guest("bin_grid", every=3), trials=3)
    assert changed(trace[3]) == {"rate": SPACE.domains["rate"].at(3 / 8)}  # the first bin without a visit
    assert "was visited 0 times" in trace[3].proposal.why
    assert count(trace, "bin_grid", "propose").decisive == 1


def test_diversity_perturbs_a_draft_that_is_near_an_earlier_one():
    replies = [{"decay": 0.9}, {"decay": 0.91}, {"decay": 0.1}]
    trace = scripted(replies, "diversity")
    assert abs(changed(trace[2])["decay"] - 0.9) >= 0.2 and abs(changed(trace[2])["decay"] - 0.5) >= 0.2
    assert trace[2].proposal.author == "scripted"
    assert count(trace, "diversity", "propose").touched == 1
    assert count(trace, "diversity", "propose").decisive == 1
    assert changed(scripted(replies)[2]) == {"decay": 0.91}


@pytest.mark.parametrize(
    ("draft", "mended", "rule"),
    [
        ({"batch": 100}, {"batch": 128}, "batch must be a power of two"),
        ({"batch": 300}, {"batch": 256}, "batch must be a power of two"),
        ({"width": 33}, {"width": 32}, "width must be divisible by heads"),
        ({"heads": 5}, {"width": 30, "heads": 5}, "width must be divisible by heads"),
        ({"mix_a": 0.8, "mix_b": 0.7}, {"mix_a": 0.533333, "mix_b": 0.466666}, r"mix_a + mix_b must be at most 1"),
    ],
)
def test_repair_mends_a_broken_rule_and_says_which(draft, mended, rule):
    draft, mended = {**draft, "decay": 0.4}, {**mended, "decay": 0.4}
    trace = scripted([draft], "repair", trials=1)
    assert trace[1].candidate == START.with_params(**mended)
    assert rule in trace[1].proposal.why and rule in trace[1].proposal.notes["repaired"][0]
    assert count(trace, "repair", "propose").decisive == 1
    assert scripted([draft], trials=1)[1].status == "refused"


def test_momentum_adds_to_a_draft_what_has_helped_and_switches_itself_off():
    better, worse = [{"decay": 0.4}, {"decay": 0.3}], [{"decay": 0.8}, {"decay": 0.85}, {"decay": 0.9}, {"decay": 0.95}]
    trace = scripted([*better, *worse], guest("momentum_nudge", patience=2))
    values = [changed(trial).get("decay") for trial in trace][1:]
    assert values == [0.4, 0.25, 0.7375, 0.7875, 0.9, 0.95]  # nudged down by half the mean kept step, twice in vain
    assert count(trace, "momentum_nudge", "propose").decisive == 3


def test_batch_diversity_keeps_drafts_of_one_batch_and_trials_in_flight_apart():
    replies = [[{"decay": 0.9}], [{"decay": 0.92}, {"decay": 0.94}, {"decay": 0.3}], [{"depth": 5}]]
    spec = LoopSpec("inner", TASK, Scripted(replies), (guest("batch_diversity"),), Settings(drafts=3),
                    Budget(trials=2), 3, calibration=1)  # fmt: skip
    trace = Loop(spec, Lab(workers=2)).run()
    assert trace[2].sees == 1 and changed(trace[2]) == {"decay": 0.3}
    assert "within 0.1 of trial 1, in flight" in trace[2].turned_back[0].reason
    assert count(trace, "batch_diversity", "propose").decisive == 1
    alone = scripted([replies[1]], guest("batch_diversity"), settings=Settings(drafts=3))
    assert "draft 1 of this batch" in alone[1].turned_back[0].reason


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_factorial_wave_runs_all_four_corners_and_tells_main_effects_and_interaction(workers):
    wave = guest("factorial_wave")
    found = told([{"mix_a": 0.3}], wave, more=5, lab=Lab(workers=workers))
    trace, cells = found.trace, {}
    for trial in trace:
        if "cell" in trial.proposal.notes:
            cells.setdefault(trial.proposal.notes["cell"], trial)
    assert sorted(cells) == ["++", "+-", "-+", "--"]
    assert len({trial.parent.id for trial in cells.values()}) == 1  # one base, whatever was kept meanwhile
    assert set(cells["+-"].changes) == {"rate", "decay"}
    assert count(trace, "factorial_wave", "propose").decisive >= 4
    if workers == 1:
        score = {cell: trial.score for cell, trial in cells.items()}
        effect = (score["--"] + score["-+"] - score["+-"] - score["++"]) / 2
        assert f"gain of a higher rate: {effect:+.4g}" in found.text and "beyond the sum" in found.text
        assert count(trace, "factorial_wave", "advise").touched == 1
        assert count(trace, "factorial_wave", "select").decisive > 0


def test_the_picker_by_novelty_runs_the_draft_farthest_from_all_trials():
    drafts = [{"decay": 0.55}, {"decay": 0.6, "depth": 5}, {"decay": 0.9, "depth": 8}]
    trace = scripted([drafts], "picker_novelty", settings=Settings(drafts=3))
    assert changed(trace[1]) == {"decay": 0.9, "depth": 8}
    assert count(trace, "picker_novelty", "propose").decisive == 1


def test_the_picker_by_surrogate_runs_the_draft_that_the_trace_speaks_for():
    replies = [{"decay": 0.3}, {"decay": 0.9}, [{"decay": 0.8}, {"decay": 0.2}]]
    trace = scripted(replies, "picker_surrogate", settings=Settings(drafts=2))
    assert changed(trace[3]) == {"decay": 0.2}
    assert changed(scripted(replies, settings=Settings(drafts=2))[3]) == {"decay": 0.8}
    assert count(trace, "picker_surrogate", "propose").decisive == 1


def test_the_picker_by_model_runs_the_draft_that_the_model_names():
    lab = Lab(models={"inner": Answers("depth")})
    trace = scripted([THREE], "picker_model", settings=Settings(drafts=3), lab=lab)
    assert changed(trace[1]) == {"depth": 5}
    assert count(trace, "picker_model", "propose").decisive == 1


def test_a_tournament_of_ideas_lets_the_best_by_elo_go_on():
    lab = Lab(models={"inner": Answers("rate")})
    trace = scripted([THREE], guest("idea_tournament", best=1), settings=Settings(drafts=3), lab=lab)
    assert changed(trace[1]) == {"rate": 0.2}
    assert [back.reason[:23] for back in trace[1].turned_back] == ["idea_tournament: rating"] * 2
    assert count(trace, "idea_tournament", "propose").decisive == 1


# ---- whole climbers ----


@pytest.mark.parametrize("name", ["gaussian_process_regressor_sklearn", "gaussian_process_regressor_numpy"])
def test_a_gaussian_process_takes_over_and_finds_what_a_poor_researcher_does_not(name):
    if name.endswith("sklearn"):
        pytest.importorskip("sklearn")
    pytest.importorskip("numpy")
    replies = [{"decay": 0.6}, {"decay": 0.7}, {"decay": 0.8}, *({"decay": 0.8 + n / 100} for n in range(1, 12))]
    task = replace(TASK, rule=None)
    plain, trace = scripted(replies, task=task), scripted(replies, guest(name), task=task)
    assert {trial.proposal.author for trial in trace[4:]} == {name}
    assert count(trace, name, "propose").decisive == len(trace) - 4
    assert plain.incumbent.number == 0 and trace.incumbent.score < plain.incumbent.score - 0.05


def test_a_tabu_list_does_not_move_a_parameter_within_its_tenure():
    replies = [{"decay": 0.6}] * 12
    plain, trace = search(Scripted(replies), trials=8), search(Scripted(replies), "tabu_list", trials=8)
    moved = [next(iter(trial.changes)) for trial in trace[1:]]
    assert all(len(set(moved[at : at + 4])) == 4 for at in range(len(moved) - 3))
    assert count(trace, "tabu_list", "propose").decisive == 8
    assert trace.incumbent.score < plain.incumbent.score
