"""The suite that admits mechanisms, shipped or generated: `check_mechanism`. For the other ports see `port_suites`.

It returns what is wrong, in sentences for the author; an empty list says nothing is. A passed suite says that the
contract holds in the cases tried, not that the mechanism is useful.
"""

import copy
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import Any

from bilevel.budget import Budget
from bilevel.codec import content_hash
from bilevel.fold import Fold, Record
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import HOOKS, Guest, Mechanism, overridden
from bilevel.situations import (
    RUNGS,
    Bowl,
    Case,
    Walk,
    cases,
    made_trial,
    view_of,
)
from bilevel.space import Candidate, Space
from bilevel.trial import Fault, Proposal, Run, Status, Step, Trial, TurnedBack
from bilevel.view import Briefing, View

SECONDS = 1.0  # for all hooks over the long trace, CPU time of this process
MOST_MEMORY = 1_000_000  # characters of a memory's repr after the long trace
MOST_ADVICE = 40_000  # characters added to a briefing
MOST_PROBLEMS = 12
ROLLOUT = 16  # trials of the small loop in which a mechanism is put in force


# ---- mechanisms ----


def check_mechanism(make: Callable[[], Mechanism]) -> list[str]:
    """What is wrong with a mechanism, at most 12 sentences; `make` gives a new instance each time.

    Each sentence says in which hook and situation, what was expected, what came, and the line where there is one.
    """
    try:
        mechanism = make()
    except Exception as error:
        return [f"it cannot be made: {said(error)}"]
    hooks = overridden(mechanism)
    wrong = _check_declarations(mechanism)
    if not hooks:
        return [*wrong, f"it overrides no hook, so it would never be called; the hooks are: {', '.join(HOOKS)}"]
    problems: dict[tuple[str, str], str] = {}
    turned_back_all: list[bool] = []
    for case in cases(numeric_only="numeric" in mechanism.needs):
        for hook, kind, text in _check_case(make, hooks, case, turned_back_all):
            problems.setdefault((hook, kind), f"{hook}, with {case.name}: {text}")
    wrong += problems.values()
    if turned_back_all and all(turned_back_all):
        wrong.append(
            "propose: it turned back all of several fresh, different proposals in every situation; compare only the "
            "parameters that a proposal changes: unchanged ones always equal earlier values"
        )
    return (wrong or _check_rollout(make))[:MOST_PROBLEMS]


def _check_declarations(mechanism: Mechanism) -> list[str]:
    found = []
    if not isinstance(mechanism.needs, frozenset) or not mechanism.needs <= {"numeric", "advice"}:
        found.append(f'needs must be a frozenset of "numeric" and "advice" or empty, not {mechanism.needs!r}')
    if not isinstance(mechanism.domain, str):
        found.append(f"domain must be a text of a word or two, not {mechanism.domain!r}")
    return found


def _check_case(
    make: Callable[[], Mechanism], hooks: tuple[str, ...], case: Case, turned_back_all: list[bool]
) -> Iterator[tuple[str, str, str]]:
    """(hook, kind, sentence) for whatever goes wrong in one case."""
    small = len(case.trace) <= 100
    first, second, began = make(), make(), time.process_time()
    before = content_hash([*case.trace]) if small else ""
    memory: Any = None
    if "remember" in hooks:
        try:
            memory = yield from _remembered(first, second, case, small)
        except _Failed:
            return
    view = view_of(case, memory)
    for hook in hooks:
        if hook == "remember":
            continue
        for question in _questions(hook, case):
            yield from _check_answer(first, second, hook, view, question, turned_back_all, small)
    seconds = time.process_time() - began
    if small and content_hash([*case.trace]) != before:
        yield (
            "a hook",
            "mutated",
            "the records of earlier trials were changed; make new ones with dataclasses.replace",
        )
    if not small and seconds > SECONDS:
        yield (
            "all hooks", "slow",
            f"one call of each took {seconds:.1f} s in all, and must take under {SECONDS:g} s: keep running totals in "
            "remember instead of going through the whole trace",
        )  # fmt: skip
    if not small and len(repr(memory)) > MOST_MEMORY:
        yield ("remember", "large", f"the memory has {len(repr(memory)):,} characters, more than {MOST_MEMORY:,}")


class _Failed(Exception):
    """A hook failed in a way that makes the other hooks' checks meaningless."""


def _remembered(
    first: Mechanism, second: Mechanism, case: Case, small: bool
) -> Generator[tuple[str, str, str], None, Any]:
    """The memory after the case's trace; a generator that yields problems and returns the memory."""
    memory: Any = None
    other: Any = None
    began = time.process_time()
    for trial in case.trace:
        if time.process_time() - began > SECONDS:
            text = f"{trial.number} calls took more than {SECONDS:g} s in all, and each must take constant time"
            yield ("remember", "slow", text)
            raise _Failed
        saved = _copied(memory) if small else None
        try:
            after = first.remember(memory, trial)
            other = second.remember(other, trial) if small else None
        except Exception as error:
            yield ("remember", f"raised {type(error).__name__}", _raised(first, error))
            raise _Failed from None
        if small and not _same(saved, memory):
            text = f"it changed the memory it was given ({saved!r:.80} became {memory!r:.80}); return a new one"
            yield ("remember", "mutated", text)
            raise _Failed
        memory = after
    if small and not _same(memory, other):
        text = f"two instances remember different things of one trace ({memory!r:.80} and {other!r:.80})"
        yield ("remember", "impure", f"{text}; nothing may be kept on self, and chance must come from view.rng(name)")
    return memory


def _check_answer(
    first: Mechanism,
    second: Mechanism,
    hook: str,
    view: View,
    question: tuple[Any, ...],
    turned_back_all: list[bool],
    small: bool,
) -> Iterator[tuple[str, str, str]]:
    before, saved = content_hash(question) if small else "", _copied(view.memory) if small else None
    try:
        answer = _tuple(getattr(first, hook)(view, *question))
        again = _tuple(getattr(first, hook)(view, *question)) if small else answer
        elsewhere = _tuple(getattr(second, hook)(view, *question)) if small else answer
    except Exception as error:
        yield (hook, f"raised {type(error).__name__}", _raised(first, error))
        return
    if small and content_hash(question) != before:
        yield (hook, "mutated", "it changed its arguments; return changed copies (dataclasses.replace)")
    if small and not _same(saved, view.memory):
        yield (hook, "mutated memory", "it changed view.memory; only remember makes a memory, and always a new one")
    if not _same(answer, again) or not _same(answer, elsewhere):
        text = f"equal questions got different answers ({answer!r:.80} and {(again, elsewhere)!r:.80})"
        yield (hook, "impure", f"{text}; keep nothing on self, and take chance from view.rng(name)")
    wrong = _nonsense(hook, view, question, answer)
    if wrong:
        yield (hook, wrong, wrong)
    elif hook == "propose":
        yield from _check_proposals(question[1], answer)
        if len(question[1]) > 3 and len(view.trace):
            turned_back_all.append(not any(not proposal.dropped for proposal in answer))


def _check_proposals(proposals: tuple[Proposal, ...], answer: tuple[Proposal, ...]) -> Iterator[tuple[str, str, str]]:
    old = {proposal.candidate.id for proposal in proposals}
    own = [proposal.candidate for proposal in answer if proposal.candidate.id not in old]
    if len(own) > 2 and len({candidate.id for candidate in own}) == 1:
        changed = dict(own[0].params)
        yield ("propose", "identical", f"its {len(own)} own proposals are one and the same: {changed!r:.200}")
    for proposal in answer:
        if proposal.dropped and proposal.candidate.id in old and not isinstance(proposal.dropped, str):
            yield ("propose", "reason", f"a reason for dropping must be a text, not {proposal.dropped!r:.80}")


def _nonsense(hook: str, view: View, question: tuple[Any, ...], answer: Any) -> str | None:
    """What the loop's own fold says against an answer."""
    fold: Any = Fold([(Guest("mechanism", ""), _Echo(answer))], 1_000_000)
    record = Record()
    names = tuple(rung.name for rung in RUNGS)
    match hook:
        case "select":
            fold.select(view, *question, record)
        case "constrain":
            fold.constrain(view, *question, record)
        case "advise":
            fold.advise(view, *question, record)
        case "propose":
            fold.propose(view, *question, record, lambda proposal, reason: None)
        case "plan":
            fold.plan(view, *question, names, record)
        case _:
            fold.decide(view, *question, record)
    if record.faults:
        return record.faults[0].message
    if hook == "advise" and isinstance(answer, Briefing) and sum(len(b.text) for b in answer.blocks) > MOST_ADVICE:
        return f"all advice together must be at most {MOST_ADVICE:,} characters"
    return None


class _Echo(Mechanism):
    """Gives a ready-made answer in every hook, so that the fold judges an answer without asking the guest again."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def select(self, view: View, parent: Candidate) -> Any:
        return self.answer

    def advise(self, view: View, briefing: Briefing) -> Any:
        return self.answer

    def constrain(self, view: View, space: Space) -> Any:
        return self.answer

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> Any:
        return self.answer

    def plan(self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]) -> Any:
        return self.answer

    def decide(self, view: View, trial: Trial) -> Any:
        return self.answer


def _questions(hook: str, case: Case) -> Iterator[tuple[Any, ...]]:
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


def _check_rollout(make: Callable[[], Mechanism]) -> list[str]:
    """Put in force in a small loop: faults that only a real search brings out, and proposals that never change."""
    spec = LoopSpec(
        "rollout", Bowl(), Walk(), (Guest("mechanism", ""),), budget=Budget(trials=ROLLOUT), load=lambda _: make()
    )
    try:
        trace = Loop(spec, Lab()).run()
    except Exception as error:
        mechanism = make()
        if not _frames(mechanism, error):
            raise  # the loop's own failure: what a guest raises in a hook is a fault
        return [f"in a loop of {ROLLOUT} trials: {_raised(mechanism, error)}"]
    faults: list[Fault] = [fault for trial in trace for fault in trial.faults if "view.ask" not in fault.message]
    found = [f"{fault.hook}, in a loop of {ROLLOUT} trials: {fault.message}" for fault in faults[:3]]
    own = [back for trial in trace for back in trial.turned_back if back.author == "mechanism"]
    again = [back for back in own if back.reason.startswith("already measured")]
    distinct = {back.candidate for back in again}
    if len(again) > 3 * len(distinct):
        found.append(
            f"propose, in a loop of {ROLLOUT} trials: it proposed the same {len(distinct)} candidate(s) {len(again)} "
            "times although they were measured; make the choice depend on view.trace, view.number or view.memory"
        )
    overruled = [trial for trial in trace if trial.overruled]
    if 2 * len(overruled) > len(trace):
        reasons = [back.reason for trial in overruled for back in trial.turned_back]
        found.append(
            f"propose, in a loop of {ROLLOUT} trials: it turned back every draft in {len(overruled)} of them, though "
            f"all were fresh, so the host had to overrule it; for example: {reasons[0]:.200}"
        )
    return found


def _raised(mechanism: Mechanism, error: Exception) -> str:
    """What a guest raised, where, and what may mend it."""
    frames = _frames(mechanism, error)
    place = f" (line {frames[-1].lineno}{f': {frames[-1].line}' if frames[-1].line else ''})" if frames else ""
    return f"it raised {said(error)}{place}{_hint(error)}"


def _frames(mechanism: Mechanism, error: Exception) -> list[traceback.FrameSummary]:
    """The mechanism's own frames in a traceback."""
    own = getattr(sys.modules.get(type(mechanism).__module__), "__file__", None)
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if frame.filename.startswith("<mechanism") or frame.filename == own]


def said(error: Exception) -> str:
    """An error as a message names it: its kind, and what it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _hint(error: Exception) -> str:
    thing = getattr(error, "obj", None)
    if isinstance(error, AttributeError) and type(thing).__module__.startswith("bilevel."):
        names = [name for name in dir(thing) if not name.startswith("_")]
        return f"; a {type(thing).__name__} has: {', '.join(names)}"
    if isinstance(error, MemoryError):
        return "; it may use about a gigabyte, Python and all packages included"
    if isinstance(error, KeyError):
        return "; parameters differ from task to task: ask view.space.active, or use .get"
    if isinstance(error, ValueError | ZeroDivisionError | OverflowError):
        return "; values and scores may be 0, equal or missing: use space.step and domain.unit, or test first"
    if isinstance(error, TypeError):
        return "; a score is None where a trial failed; values are numbers, texts, flags or tuples, never source text"
    return ""


def _tuple(answer: Any) -> Any:
    return tuple(answer) if isinstance(answer, list) else answer


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied cannot be compared; then the check is left out
        return value


def _same(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # such as arrays, whose comparison is not one truth value
        return repr(a) == repr(b)
