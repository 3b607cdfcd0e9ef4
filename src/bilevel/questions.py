"""What each hook is asked in a situation, and what the loop's own fold says against an answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bilevel.fold import Fold, Record
from bilevel.mechanism import Guest, Mechanism
from bilevel.situations import RUNGS, Case, made_trial
from bilevel.trial import Proposal, Run, Status, Step, Trial, TurnedBack
from bilevel.view import Briefing, View

MOST_ADVICE = 40_000  # characters added to a briefing


@dataclass(frozen=True)
class _Echo(Mechanism):
    """Answers what a mechanism has answered, so that the loop's own fold judges it."""

    answer: Any

    def select(self, view: View, parent: Any) -> Any:
        return self.answer

    def advise(self, view: View, briefing: Briefing) -> Any:
        return self.answer

    def constrain(self, view: View, space: Any) -> Any:
        return self.answer

    def propose(self, view: View, parent: Any, proposals: tuple[Proposal, ...]) -> Any:
        return self.answer

    def plan(self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]) -> Any:
        return self.answer

    def decide(self, view: View, trial: Trial) -> Any:
        return self.answer


def nonsense(hook: str, view: View, question: tuple[Any, ...], answer: Any) -> str | None:
    """What the loop's own fold says against an answer."""
    fold: Any = Fold([(Guest("mechanism", ""), _Echo(answer))], 1_000_000)
    record = Record()
    names = tuple(rung.name for rung in RUNGS)
    match hook:
        case "propose":
            fold.propose(view, *question, record, lambda proposal, reason: None)
        case "plan":
            fold.plan(view, *question, names, record)
        case _:
            getattr(fold, hook)(view, *question, record)
    if record.faults:
        return record.faults[0].message
    if hook == "advise" and isinstance(answer, Briefing) and sum(len(b.text) for b in answer.blocks) > MOST_ADVICE:
        return f"all advice together must be at most {MOST_ADVICE:,} characters"
    return None


def questions(hook: str, case: Case) -> Iterator[tuple[Any, ...]]:
    """What a hook is asked, apart from the view."""
    proposals = tuple(Proposal(candidate, "a fresh idea", "fixture") for candidate in case.fresh)
    steps = (Step("quick"), Step("full"))
    ok = Run("quick", 0, Status.OK, {"loss": 0.5})
    if hook == "select":
        yield (case.parent,)
    elif hook == "advise":
        yield (Briefing(),)
        back = TurnedBack(case.fresh[0].id, "already measured as trial 3 (score 0.5)", "fixture")
        yield (Briefing(guidance="be bold", attempt=1, turned_back=(back,)),)
    elif hook == "constrain":
        yield (case.space,)
    elif hook == "propose":
        for some in (proposals, proposals[:1], ()):
            yield (case.parent, some)
    elif hook == "plan":
        yield (proposals[0], (), steps)
        yield (proposals[0], (ok,), steps[1:])
        yield (proposals[0], (ok, Run("full", 0, Status.TIME_OUT)), ())
    else:
        number = len(case.trace)
        for status, loss in ((Status.OK, 0.4), (Status.OUT_OF_MEMORY, None), (Status.PRUNED, None)):
            yield (made_trial(number, case.parent, case.fresh[0], case.space, status, loss),)
