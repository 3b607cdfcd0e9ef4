"""The suites that admit researchers, tasks, surfaces and stores. That of mechanisms is in `conformance`.

    check_researcher(researcher, task)     check_task(task)
    check_surface(surface, spec, others)   check_store(make)

Each returns what is wrong, in sentences for the author; an empty list says nothing is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from bilevel.budget import Budget, Cost
from bilevel.call import Call, Event, Message, Reply, Request, call_key
from bilevel.codec import content_hash, derive_seed
from bilevel.conformance import said
from bilevel.draft import Drafting
from bilevel.errors import BilevelError
from bilevel.fold import Record
from bilevel.lab import Bench, Branch, Lab, RunKey, Store
from bilevel.loop import Loop, LoopSpec
from bilevel.objective import is_score
from bilevel.researcher import Researcher
from bilevel.settings import Settings
from bilevel.situations import (
    BASELINE,
    NUMERIC,
    mixed_trace,
)
from bilevel.space import Candidate, Space
from bilevel.surfaces import Surface
from bilevel.task import Task
from bilevel.trial import Pending, Proposal, Run, Status, Step
from bilevel.view import Briefing


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
            return [f"trial {number}: it raised {said(error)}"]
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
