"""The suites that admit guests. Each returns what is wrong, in sentences for the author; an empty list says nothing is.

    check_mechanism(make)                  before a mechanism, shipped or generated, may steer a search
    check_researcher(researcher, task)     check_task(task)
    check_surface(surface, spec, others)   check_store(make)

A passed suite says that the contract holds in the cases tried, not that the guest is useful.
"""

import copy
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from bilevel.budget import Budget, Cost
from bilevel.call import Call, Event, Message, Reply, Request, call_key
from bilevel.codec import content_hash, derive_seed
from bilevel.draft import Drafting
from bilevel.errors import BilevelError
from bilevel.fold import Fold, Record
from bilevel.lab import Bench, Branch, Lab, RunKey, Store
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import HOOKS, Guest, Mechanism, overridden
from bilevel.objective import is_score
from bilevel.researcher import Researcher
from bilevel.settings import Settings
from bilevel.situations import (
    BASELINE,
    NUMERIC,
    RUNGS,
    Bowl,
    Case,
    Walk,
    cases,
    made_trial,
    mixed_trace,
    view_of,
)
from bilevel.space import Candidate, Space
from bilevel.surfaces import Surface
from bilevel.task import Task
from bilevel.trial import Fault, Pending, Proposal, Run, Status, Step, Trial, TurnedBack
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
        return [f"it cannot be made: {_said(error)}"]
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
    return f"it raised {_said(error)}{place}{_hint(error)}"


def _frames(mechanism: Mechanism, error: Exception) -> list[traceback.FrameSummary]:
    """The mechanism's own frames in a traceback."""
    own = getattr(sys.modules.get(type(mechanism).__module__), "__file__", None)
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if frame.filename.startswith("<mechanism") or frame.filename == own]


def _said(error: Exception) -> str:
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


# ---- researchers, tasks, surfaces, stores ----


def check_researcher(researcher: Researcher, task: Task, trials: int = 12) -> list[str]:
    """What is wrong with a researcher on a task: purity, types, and that it proposes something the host admits."""
    if not isinstance(researcher, Researcher):
        return ["it must have name, reads_advice, free and propose(view, parent, briefing)"]
    spec = LoopSpec("check", task, researcher, settings=Settings(drafts=2), budget=Budget(trials=trials), calibration=1)
    found: list[str] = []
    loop, admitted = Loop(spec, Lab()), 0
    loop.step()
    while len(loop.trace) <= trials and not found:
        number, trace = len(loop.trace), loop.trace
        view, parent = loop.view(number, trace), trace.current or task.baseline()
        try:
            first = list(researcher.propose(view, parent, Briefing()))
            again = list(researcher.propose(view, parent, Briefing()))
        except BilevelError as error:
            return [f"trial {number}: it raised {_said(error)}"]
        if not all(isinstance(item, Proposal) for item in first):
            found.append(f"trial {number}: it must return Proposals, not {first!r:.80}")
        elif first != again:
            found.append(f"trial {number}: two calls with equal arguments gave different proposals")
        elif any(item.candidate.params.keys() != parent.params.keys() for item in first):
            found.append(f"trial {number}: a proposal must have exactly the task's parameters")
        else:
            draft = Drafting(task, researcher, loop.fold, view, parent).draft(Record())
            admitted += draft.proposal is not None
            loop.step()
    if not found and not admitted:
        found.append(f"in {trials} trials it proposed nothing that the host would admit")
    return found


def check_task(task: Task, repeatable: bool = True) -> list[str]:
    """What is wrong with a task; it runs the baseline on each rung, twice where `repeatable` says that equal seeds give
    equal metrics."""
    if not isinstance(task, Task):
        missing = [name for name in sorted(_members(Task)) if not hasattr(task, name)]
        return [f"it lacks {', '.join(missing)}; see bilevel.task.Task"]
    start, lab = task.baseline(), Lab()
    found = [f"the baseline does not fit the space: {wrong}" for wrong in task.space.problems(start)]
    found += [f"its own rules forbid the baseline: {wrong}" for wrong in task.problems(start, start)]
    if start.id != task.baseline().id:
        found.append("baseline() gives another candidate each time")
    if not task.rungs or len({rung.name for rung in task.rungs}) < len(task.rungs):
        found.append("it needs at least one rung, each with a name of its own")
    if not isinstance(task.harness, str) or not task.harness or task.harness != task.harness:
        found.append("harness must be a constant text, the hash of all that measures")
    if found or task.remembers:
        return found
    for rung in task.rungs:
        bench = Bench(lab, rung.name, 0, derive_seed("check", 0), rung.options)
        runs = [task.run(start, bench) for _ in range(2 if repeatable else 1)]
        if runs[0].status is not Status.OK:
            found.append(f"rung {rung.name!r}: the baseline failed ({runs[0].status.value}): {runs[0].log[-300:]}")
            continue
        if not is_score(task.evaluate(runs[0])):
            found.append(f"rung {rung.name!r}: evaluate must give a finite number, not {task.evaluate(runs[0])!r}")
        if any(a.metrics != b.metrics for a, b in pairwise(runs)):
            found.append(f"rung {rung.name!r}: two runs with one seed differ: {runs[0].metrics} and {runs[1].metrics}")
    return found


def check_surface(surface: Surface, spec: LoopSpec, candidates: Sequence[Candidate]) -> list[str]:
    """Whether a surface keeps a lens's laws for a loop and some candidates, and shows nothing of the evaluator."""
    found: list[str] = []
    here = surface.read(spec)
    if surface.write(spec, here) != spec:
        found.append("write(spec, read(spec)) must be spec again")
    found += [f"read(spec) does not fit its own space: {wrong}" for wrong in surface.space(spec).problems(here)]
    for candidate in candidates:
        written = surface.write(spec, candidate)
        back = surface.read(written)
        if back != candidate:
            found.append(f"read(write(spec, c)) must be c again, for c = {dict(candidate.params)!r:.200}")
        if surface.write(written, here) != spec:
            found.append("write(write(spec, c), read(spec)) must be spec again: something else was changed")
        if written.task.harness != spec.task.harness and not spec.task.remembers:
            found.append("writing a candidate changed the task's harness; the evaluator is never part of a surface")
    return found


def check_store(make: Callable[[], Store]) -> list[str]:
    """What is wrong with a store; `make` opens the one to be tested, empty."""
    store = make()
    found: list[str] = []
    space, root = Space(NUMERIC), Branch("root", "inner")
    trace = mixed_trace(space, 8)
    pending = Pending(0, 0, BASELINE, trace[0].proposal, (Step("full"),), {})
    store.open_branch(root)
    store.open_branch(root)
    child = Branch("root/1.control", "inner", "root", 4)
    store.open_branch(child)
    if store.branch("root") != root or store.branch(child.id) != child:
        found.append("branch must give back what open_branch wrote; opening twice changes nothing")
    store.add_pending("root", pending)
    if list(store.pendings("root")) != [pending]:
        found.append("pendings must give back what add_pending wrote")
    for trial in trace:
        store.add_trial("root", trial)
    if list(store.pendings("root")):
        found.append("add_trial must remove the pending record of its number")
    if [content_hash(trial) for trial in store.trials("root")] != [content_hash(trial) for trial in trace]:
        found.append("trials must give back what add_trial wrote, in order")
    if list(store.trials(child.id)):
        found.append("a branch's own trials do not include its parent's")
    key, run = RunKey("harness", "candidate", "full", 3), Run("full", 3, Status.OK, {"loss": 0.1}, Cost(1, 2.5))
    if store.find_run(key) is not None:
        found.append("find_run must give None for what was never measured")
    store.add_run(key, run)
    if store.find_run(key) != run or store.find_run(replace(key, seed=4)) is not None:
        found.append("find_run must give back what add_run wrote, for that key only")
    return found + _check_calls(store)


def _check_calls(store: Store) -> list[str]:
    found: list[str] = []
    request = Request((Message("system", "rules"), Message("user", "what next?")), {"type": "object"})
    key = call_key("none:none", request, 7)
    call = Call(1, key, "inner", "root", 3, "propose", "none:none", request, Reply("{}", "none:none", "hm", money=0.5))
    if store.find_call(key) is not None or list(store.calls()):
        found.append("find_call must give None for what was never asked")
    store.add_call(call)
    store.add_call(replace(call, number=2, reply=Reply("another", "none:none")))
    if store.find_call(key) != call or store.call(1) != call:
        found.append("find_call and call must give back the first call of a key that add_call wrote")
    if [line.number for line in store.calls()] != [1] or list(store.calls(after=1)):
        found.append("calls must list the stored calls above a number, in order")
    events = [Event(1.0, "note", "inner", "first"), Event(2.0, "note", "", "second")]
    for event in events:
        store.add_event(event)
    listed = list(store.events())
    if [event for _, event in listed] != events or list(store.events(after=listed[0][0])) != listed[1:]:
        found.append("events must give back what add_event wrote, in order, above a position")
    return found


def _members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}
