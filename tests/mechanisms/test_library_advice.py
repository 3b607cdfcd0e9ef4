"""What the library's advising mechanisms say, and that a researcher who listens does something else."""

from library_searches import SPACE, Listening, count, search

from bilevel.mechanism import Guest, load
from bilevel.mechanisms import source
from bilevel.objective import Objective
from bilevel.settings import Settings
from bilevel.trace import Trace
from bilevel.trial import Proposal
from bilevel.view import View

DOWN = tuple({"decay": 0.5 - 0.05 * n} for n in range(1, 5))


class Obedient(Listening):
    """Proposes as scripted unless its advice names a parameter to go on with; then it goes on with that."""

    def propose(self, view, parent, briefing):
        text = "\n".join(block.text for block in briefing.blocks)
        self.told.setdefault(view.number, text)
        if "decay down" in text or "Leave these alone" in text:
            new = {"decay": parent.params["decay"] - 0.01} if "decay down" in text else {"bias": True}
            return [Proposal(parent.with_params(**new), "as advised", self.name)]
        return super().propose(view, parent, briefing)


# ---- momentum ----


def test_momentum_tells_direction_size_and_gain_with_a_confidence_that_grows_with_the_sample():
    researcher = Listening((*DOWN, {"depth": 4}))
    search(researcher, "momentum", 5)
    assert researcher.told[1] == ""
    once, often = researcher.told[2], researcher.told[5]
    assert (
        "decay down by 0.05 of its range: kept 1 of 1 times, mean gain 0.0375 (last 0.5 -> 0.45); confidence 50%"
        in once
    )
    assert "kept 4 of 4 times" in often
    assert int(often.rpartition("confidence ")[2][:2]) > int(once.rpartition("confidence ")[2][:2]) > 0


def test_failures_lower_the_confidence_and_directions_that_never_helped_are_not_named():
    researcher = Listening(({"decay": 0.1}, {"rate": 0.9}, {"decay": 0.0}, {"shape": "round"}, {"bias": True}))
    search(researcher, "momentum", 5)
    last = researcher.told[5]
    assert "decay down by 0.4 of its range: kept 1 of 2 times" in last and "rate" not in last
    assert "shape to 'round': kept 1 of 1 times" in last
    assert last.index("shape to") < last.index("decay down")  # 1 of 1 is surer than 1 of 2


def test_a_researcher_that_listens_does_something_else_and_the_ledger_says_so():
    trace = search(Obedient((*DOWN[:1], {"depth": 1})), "momentum", 2)
    assert trace[2].candidate.params["decay"] == DOWN[0]["decay"] - 0.01
    assert count(trace, "momentum", "advise").decisive == 1


def test_momentum_is_silent_when_nothing_helped():
    trace = search(Listening(tuple({"decay": 0.6 + 0.05 * n} for n in range(5))), "momentum", 5)
    assert count(trace, "momentum", "advise").touched == 0


# ---- plateau ----

VAIN = (*({"decay": 0.6 + 0.02 * n} for n in range(5)), *({"depth": 4 - n} for n in range(3)))


def test_on_a_plateau_the_researcher_is_told_what_was_tried_in_vain_and_what_was_left_alone():
    researcher = Listening((*VAIN[:5], {"bias": True}))
    trace = search(researcher, "plateau", 6)
    assert [researcher.told[number] for number in range(1, 6)] == [""] * 5
    assert researcher.told[6].startswith("5 trials in a row brought nothing. Changed in vain: decay (5 times).")
    assert "others, those left alone longest first: rate (never), batch (never)" in researcher.told[6]
    assert count(trace, "plateau", "constrain").touched == 0


def test_a_researcher_that_listens_leaves_the_plateau():
    trace = search(Obedient((*VAIN[:5], {"decay": 0.8})), "plateau", 6)
    assert trace[6].changes.keys() == {"bias"}
    assert count(trace, "plateau", "advise").decisive == 1


def test_after_further_patience_the_parameters_are_frozen_for_a_while():
    replies = (*VAIN[:5], {"decay": 0.75}, {"bias": True}, {"decay": 0.77}, {"decay": 0.78}, {"decay": 0.79})
    trace = search(replies, "plateau", 9, patience=3, further=2, rest=2)
    assert trace[6].changes.keys() == {"bias"}  # the draft for decay was turned back
    assert "frozen by a plateau (2 or more changes in vain)" in trace[6].turned_back[0].reason
    assert count(trace, "plateau", "constrain").decisive == 1
    assert trace[7].overruled  # nothing but decay was drafted, so the host let it run
    later = [back.reason for trial in trace[8:10] for back in trial.turned_back]
    assert not any("frozen by" in reason for reason in later)  # free again
    assert [trial.changes.keys() for trial in trace[8:10]] == [{"decay"}, {"decay"}]


def test_enough_parameters_stay_free_and_a_success_ends_the_plateau():
    plateau = load(Guest("plateau", source("plateau", most=99, least_active=4)))
    stuck = {name: number for number, name in enumerate(SPACE.active, 2)}
    view = View(40, 1, "", Objective("loss"), SPACE, Settings(), Trace(Objective("loss")), memory=(9, stuck, {}))
    assert set(plateau.constrain(view, SPACE).frozen) == {"bias", "shape"}  # those tried most often
    better = search([{"decay": 0.5 - 0.02 * n} for n in range(1, 20)], "plateau", 19, patience=2, further=0)
    assert count(better, "plateau", "constrain").touched == count(better, "plateau", "advise").touched == 0
