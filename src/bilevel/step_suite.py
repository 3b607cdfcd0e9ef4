"""The suite that admits steps of a workflow as code; see `conformance` for mechanisms.

A step is tried on texts of several kinds, with what the steps before it might have said. What it says there is judged
for its form alone: whether its gate lets it through depends on the text, and is seen in a run.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from bilevel.call import Reply, Request
from bilevel.codec import canonical
from bilevel.errors import GuestError
from bilevel.mechanism import Guest, Mechanism
from bilevel.objective import Objective
from bilevel.outside import changed_in_host, host_picture, kept_state, state_of
from bilevel.rollout import Wall
from bilevel.saying import raised
from bilevel.settings import Settings
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.view import View
from bilevel.watch import StillRunning, Watch
from bilevel.workflow_step import PLACES, SoFar, WorkflowStep, misfit, place_of, taken

PATIENCE = 4.0  # seconds for one text
PROSE = (
    "# On waiting",
    "Most people wait 12 minutes a day, as [a study](https://example.org/wait) says. They think that it is more.",
    "- one thing\n- another thing, with `code` in it",
    "```\nwait(12)\n```",
    "Therefore nobody should be asked to wait: it costs what cannot be given back, and it is never counted by those "
    "who let others wait for them.",
)
SAID = {
    "analysis": {
        "weaknesses": [{"paragraph": 2, "dimension": "rigour", "problem": "Nothing is said of whom was asked."}]
    },
    "hypotheses": {"hypotheses": [{"weakness": 1, "change": "Say who was asked.", "why": "Readers ask for it first."}]},
    "plan": {"edits": [{"paragraph": 2, "hypothesis": 1, "instruction": "Name those who were asked."}]},
    "assessment": {"verdicts": [{"edit": 1, "gain": 6, "risk": 2, "reason": "It answers what a reader asks."}]},
}
ORDER = ("analysis", "hypotheses", "plan", "assessment", "revision")


@dataclass
class _Meaningless:
    """A model whose answers mean nothing; `asked` once a step asked it: what it makes of that answer is not judged."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request, purpose: str, seed: int, repeat: int) -> Reply:
        self.asked.append(purpose)
        return Reply("an answer without any meaning", "none:none")


def texts_for(behind: str, target: str) -> dict[str, SoFar]:
    """What a step is tried on that stands behind one or in place of one, by a name for each."""
    upto = ORDER.index(behind) + 1 if behind in ORDER else ORDER.index(target) if target in ORDER else 0
    before = ORDER[:upto]
    said = {step: SAID[step] for step in before if step in SAID}
    step = target or "mine"
    edit = {"paragraph": 2, "instruction": "Name those who were asked."}
    edits = (edit,) if target == "revision" else ()
    tried = ("Say who was asked.",) if target == "hypotheses" else ()
    long = tuple(f"Paragraph {n} says {'very ' * (n % 40)}little of {n} things." for n in range(1, 301))
    return {
        "a text of five paragraphs": SoFar(step, "a.md", PROSE, (1, 2, 3, 5), said, tried, edits),
        "a text without paragraphs": SoFar(step, "empty.md", (), (), {}),
        "a text in another alphabet": SoFar(
            step, "b.md", ("# \u4e00", "\u5929\u5730\u7384\u9ec4\u3002" * 9), (1, 2), said, (), edits
        ),
        "a text of 300 paragraphs": SoFar(step, "long.md", long, tuple(range(1, 301)), said, (), edits),
        "a text of which no step said anything": SoFar(step, "c.md", PROSE, (1, 2, 3, 5), {}, (), edits),
    }


def view_for(ask: _Meaningless | None) -> View:
    """The view that a step has where it is tried."""
    objective = Objective("score", minimize=False)
    return View(
        3, 7, "Make the text clear.", objective, Space({}), Settings(), Trace(objective), trials_left=5, asks=ask
    )


def check_step(make: Callable[[], Mechanism], kind: type[WorkflowStep], watch: Watch) -> list[str]:
    """What is wrong with a step of this class, in sentences for its author."""
    if kind.remove:
        return []  # it says nothing, and nothing of it is called
    host, found = host_picture(), list[str]()
    for name, so_far in texts_for(kind.after, kind.replace).items():
        try:
            with watch.over(f"take, with {name}", PATIENCE):
                found += [f"take, with {name}: {problem}" for problem in _problems(make, so_far, bool(kind.replace))]
        except StillRunning as error:
            where = f": it was at line {error.line} then" if error.line else ""
            return [*found, f"take, with {name}: it did not end within {error.seconds:g} s of CPU time{where}"]
    return [*found, *changed_in_host(host)]


def _problems(make: Callable[[], Mechanism], so_far: SoFar, gated: bool) -> Iterator[str]:
    first, answers, ask = make(), list[dict[str, Any]](), _Meaningless()
    state, before = state_of(first), canonical(so_far)
    for step in (first, first, make()):
        try:
            answers.append(taken(step, view_for(ask), so_far))
        except Exception as error:
            if not ask.asked or not isinstance(error, GuestError | ValueError | LookupError | TypeError):
                yield str(error) if isinstance(error, GuestError) else raised(step, error)
            return
    if canonical(so_far) != before:
        yield "it changed what it was given; make new values"
    if any(answer != answers[0] for answer in answers):
        yield (
            f"equal questions got different answers ({answers[0]!s:.80} and {answers[-1]!s:.80}); keep nothing on "
            "self, in the class or in the module, and take chance from view.rng(name)"
        )
    if not gated and not ask.asked and (problem := misfit(answers[0])):
        yield problem
    yield from kept_state(first, state)


def step_seen_across(open_wall: Callable[[], AbstractContextManager[Wall]], guest: Guest) -> list[str]:
    """What the host sees of a step that runs elsewhere: its answers, twice, each time behind a new wall."""
    place = {key: value[0] for key, value in place_of(guest.source).items() if key in PLACES}
    if place.get("remove"):
        return []
    ways = []
    for _ in range(2):
        answers = dict[str, object]()
        with open_wall() as wall:
            step = wall.load(guest)
            for name, so_far in texts_for(place.get("after", ""), place.get("replace", "")).items():
                ask = _Meaningless()
                try:
                    answers[name] = taken(step, view_for(ask), so_far)
                except GuestError as error:
                    if not ask.asked:
                        return [f"take, with {name}: {error}"]
        ways.append(answers)
    other = next((name for name in ways[0] if name in ways[1] and ways[0][name] != ways[1][name]), None)
    return [] if other is None else [f"take, with {other}: asked again in a fresh process, it gave another answer"]
