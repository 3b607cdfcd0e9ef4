"""The ladder that a mechanism climbs before it may steer a search, up to its live trial.

    door        is it sound? (`admission`)
    replay      would it have changed a decision of the search so far, or does it on a synthetic landscape?
    rehearsal   a race on models of the task against a placebo and a restart (`rehearsal`)
    trial       challenger against control, from the same state (`levels.LoopTask.run`)
    probation   evidence over several forks, and rollback on evidence (`probation`)

Each rung gives a `Climb`, stored with the outer loop's trial. A mechanism that fails one goes back to its author with
the reason; a rung that a recipe leaves out is recorded as off.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bilevel.answered import Answers
from bilevel.budget import Budget
from bilevel.call import Reply, Request, Watch
from bilevel.carrying import CODE, PYTHON, Carrying, carrier_of, code_of, with_texts
from bilevel.codec import content_hash, plain
from bilevel.description import host_space, view_for
from bilevel.draft import Drafting, ToldBy
from bilevel.errors import GuestError
from bilevel.evidence import forks_of, verdict
from bilevel.fold import EVERYTHING, Fold, Record, Without
from bilevel.keep import keep_by_default
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism
from bilevel.planning import default_steps, steps_after
from bilevel.researcher import Researcher
from bilevel.situations import Bowl, Walk
from bilevel.space import Candidate, Derived
from bilevel.task import BESIDE
from bilevel.trace import Trace
from bilevel.trial import Climb, Count, Decision, Proposal, Run, Step, Trial, merge
from bilevel.view import Below, Briefing, View

BEFORE_THE_TRIAL = ("door", "replay", "rehearsal")
MOST_REPLAYED = 60  # trials; the newest ones
LEFT_OUT = "the recipe leaves this rung out"
NO_MODEL = "a text works through the researcher, of which there is no model"
FEW = 8  # trials of a loop of loops, or for a text: without a landscape, a shorter record convicts nothing
SYNTHETIC = 40  # trials on the synthetic landscape


@dataclass(frozen=True)
class Recorded:
    """Stands in for a researcher that cannot be asked again: it proposes what was proposed in that trial."""

    proposals: tuple[Proposal, ...]
    name: str = "recorded"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        return self.proposals


@dataclass
class Replayed:
    """What a replay counted: how many trials it went through, where, and the ledger of the mechanism in question."""

    where: str
    trials: int
    counts: Mapping[str, Count]
    faults: list[str] = field(default_factory=list)

    @property
    def decisive(self) -> int:
        return sum(count.decisive for count in self.counts.values())

    @property
    def sentence(self) -> str:
        parts = [
            f"{hook} called {count.calls}, touched {count.touched}, decisive {count.decisive}"
            for hook, count in self.counts.items()
            if hook != "remember" or count.touched
        ]
        return f"{self.where} ({self.trials} trials): {'; '.join(parts) or 'no hook was called'}"


def climb(
    guest: Guest,
    door: Callable[[Guest], str | None],
    replay: Callable[[Guest], Climb],
    rehearse: Callable[[Guest], Climb],
    rungs: Collection[str],
) -> list[Climb]:
    """The rungs before the live trial, up to the first that a mechanism fails; those left out are recorded as off."""
    climbs = [_climb_door(guest, door) if "door" in rungs else _off(guest, "door", LEFT_OUT)]
    if climbs[-1].outcome == "refused":
        return climbs
    climbs.append(replay(guest) if "replay" in rungs else _off(guest, "replay", LEFT_OUT))
    if climbs[-1].outcome in ("passed", "off") and carrier_of(guest.name) != CODE:
        climbs.append(_off(guest, "rehearsal", NO_MODEL))
    elif climbs[-1].outcome in ("passed", "off"):
        climbs.append(rehearse(guest) if "rehearsal" in rungs else _off(guest, "rehearsal", LEFT_OUT))
    return climbs


def _off(guest: Guest, rung: str, reason: str) -> Climb:
    return Climb(guest.name, content_hash(guest.source), rung, "off", reason)


def _climb_door(guest: Guest, door: Callable[[Guest], str | None]) -> Climb:
    began = time.perf_counter()
    refusal = door(guest)
    seconds = round(time.perf_counter() - began, 4)
    source = content_hash(guest.source)
    if refusal is not None:
        return Climb(guest.name, source, "door", "refused", refusal, seconds=seconds)
    sound = carrier_of(guest.name) in PYTHON
    reason = "it is sound in every situation tried" if sound else "the researcher can read it"
    return Climb(guest.name, source, "door", "passed", reason, seconds=seconds)


def climb_replay(
    spec: LoopSpec, guest: Guest, trace: Trace, below: Callable[[Trace], Below | None], answers: Answers | None = None
) -> Climb:
    """Whether a mechanism, put in force in `spec` already, changes any decision of a recorded search.

    Goes through the newest trials of `trace` again: the same views, the researcher asked again where that is free and
    its recorded drafts where it is not. Where nothing changes, the mechanism is tried on a synthetic landscape too: it
    may be made for what has not happened yet. Nothing is measured and no model is asked. `answers`: what guests said in
    earlier replays of the same loop; that is not asked again.
    """
    began = time.process_time()
    if carrier_of(guest.name) != CODE:
        outcome, reason, evidence = _text_on_the_record(spec, guest, trace, below)
        seconds = round(time.process_time() - began, 4)
        return Climb(guest.name, content_hash(guest.source), "replay", outcome, reason, evidence, seconds)
    runs = [_on_the_record(spec, guest, trace, below, answers or Answers())]
    derived = all(isinstance(domain, Derived) for domain in spec.task.space.domains.values())
    if not runs[0].decisive and not runs[0].faults and not derived:
        runs.append(_on_a_landscape(spec, guest))
    outcome, reason = _judged(spec, runs)
    if outcome == "inert" and derived and runs[0].trials < FEW:
        outcome, reason = "passed", f"too short a record to say: {runs[0].sentence}"
    evidence = {run.where: {hook: _numbers(count) for hook, count in run.counts.items()} for run in runs}
    seconds = time.process_time() - began
    return Climb(guest.name, content_hash(guest.source), "replay", outcome, reason, evidence, round(seconds, 4))


def _text_on_the_record(
    spec: LoopSpec, text: Guest, trace: Trace, below: Callable[[Trace], Below | None]
) -> tuple[str, str, dict[str, Any]]:
    """In how many recorded trials a text would have had a say in what the researcher was told. No model is asked, so
    whether it changes a draft is measured live."""
    researcher, first = with_texts(spec.researcher, spec.mechanisms), max(1, len(trace) - MOST_REPLAYED)
    used = 0
    for number in range(first, len(trace)):
        trial = trace[number]
        seen = trace.upto(trial.sees)
        view = view_for(spec, host_space(spec), number, seen, trial.told, below(seen), _meaningless)
        view = replace(view, lessons=(*view.lessons, *trial.learned))
        briefing = Briefing(history_window=view.settings.history_window, guidance=view.settings.guidance)
        if isinstance(researcher, Carrying) and text.name in researcher.used(view, trial.parent, briefing):
            used += 1
    trials = max(len(trace) - first, 0)
    said = f"this run ({trials} trials): it would have had a say in {used}"
    evidence = {"this run": {"advise": [trials, used, 0, 0]}}
    if used or trials < FEW:
        return "passed", f"{said}; whether that changes a draft is measured live", evidence
    return "inert", f"{said}: its conditions never held, or all that it lets through was let through before", evidence


def _judged(spec: LoopSpec, runs: list[Replayed]) -> tuple[str, str]:
    faults = [fault for run in runs for fault in run.faults]
    said = "; ".join(run.sentence for run in runs)
    if faults:
        return "refused", f"it failed when decisions were replayed: {faults[0]}"
    if any(run.decisive for run in runs):
        return "passed", said
    advised = sum(run.counts.get("advise", Count()).touched for run in runs)
    if advised and spec.researcher.reads_advice:
        return "passed", f"{said}; whether the advice changes a draft is measured live"
    if advised:
        said += f"; its advice reaches nobody: researcher {spec.researcher.name!r} reads none"
    return "inert", f"no decision would have been another. {said}"


def _on_the_record(
    spec: LoopSpec, guest: Guest, trace: Trace, below: Callable[[Trace], Below | None], answers: Answers
) -> Replayed:
    fold = Fold(_loaded(spec), spec.settings.max_faults, len(trace), answers)
    total, faults, first = Record(), list[str](), max(1, len(trace) - MOST_REPLAYED)
    for number in range(first, len(trace)):
        record = Record(only=guest.name)
        _replay_one(spec, fold, trace, trace[number], below, record, answers)
        total.counts = merge(total.counts, record.counts)
        faults += [f"{f.hook}, trial {number}: {f.message}" for f in record.faults if f.guest == guest.name]
    return Replayed("this run", max(len(trace) - first, 0), total.counts.get(guest.name, {}), faults)


def _replay_one(
    spec: LoopSpec, fold: Fold, trace: Trace, trial: Trial, below: Callable[[Trace], Below | None], record: Record,
    answers: Answers,
) -> None:  # fmt: skip
    """Every decision of one recorded trial, once more, with the mechanisms of `fold`."""
    seen = trace.upto(trial.sees).steered(trial.acts)
    space = host_space(spec, seen.steering)
    view = view_for(spec, space, trial.number, seen, trial.told, below(seen), _meaningless)
    fold.remember(seen, len(seen), Record())
    researcher: Researcher = spec.researcher if spec.researcher.free else Recorded((trial.proposal,))
    said: ToldBy = answers.get("researcher", view, researcher, dict)
    Drafting(spec.task, researcher, fold, view, seen.current or trial.parent, answers=said).draft(record)
    steps, rungs = default_steps(spec, seen, trial.proposal), tuple(rung.name for rung in spec.task.rungs)
    for own, left in _stages(spec, seen, trial, steps):
        runs, asked = trial.runs[:own], Record(only=record.only)
        plan = partial(_planned, fold, view, trial.proposal, runs, left, rungs)
        fold.count_decisive("plan", asked, plan(asked), partial(plan, Record()))
        record.counts, record.faults = merge(record.counts, asked.counts), [*record.faults, *asked.faults]
    before = trace.upto(trial.number).steered(trial.acts)
    fold.remember(before, len(before), record)
    told = replace(trial, decision=_decided(before, trial))
    view = view_for(spec, space, trial.number, before, trial.told, below(before), _meaningless)
    keep = fold.decide(view, told, record).keep
    fold.count_decisive("decide", record, keep, lambda w: fold.decide(view, told, Record(), w).keep)


def _decided(before: Trace, trial: Trial) -> Decision:
    """What mechanisms were asked about: the keep rule's decision, taken back where a comparison did so."""
    return Decision(False, BESIDE + trial.beside) if trial.beside else keep_by_default(before, trial)


def _stages(
    spec: LoopSpec, seen: Trace, trial: Trial, steps: tuple[Step, ...]
) -> Iterator[tuple[int, tuple[Step, ...]]]:  # fmt: skip
    """How many runs of its own a recorded trial had, and what was left of the plan, each time that mechanisms were
    asked for it."""
    own = others = 0
    while True:
        steps = steps_after(spec, seen, trial, trial.runs[:own], trial.parent_runs[:others], steps)
        yield own, steps
        if own == len(trial.runs) and others == len(trial.parent_runs):
            return
        of_parent = bool(steps) and steps[0].of_parent and others < len(trial.parent_runs)
        own, others = (own, others + 1) if of_parent or own == len(trial.runs) else (own + 1, others)
        steps = steps[1:]


def _planned(
    fold: Fold, view: View, proposal: Proposal, runs: tuple[Run, ...], left: tuple[Step, ...], rungs: tuple[str, ...],
    record: Record, without: Without = EVERYTHING,
) -> tuple[Step, ...]:  # fmt: skip
    return fold.plan(view, proposal, runs, left, rungs, record, without)


def _on_a_landscape(spec: LoopSpec, guest: Guest) -> Replayed:
    """In force alone on a bowl with a crashing corner, searched by a researcher that walks at random."""
    alone = LoopSpec(
        "landscape", Bowl(), Walk(), (guest,),
        budget=Budget(trials=SYNTHETIC), load=spec.load, keep=spec.keep,
    )  # fmt: skip
    trace = Loop(alone, Lab(models={"landscape": Meaningless()})).run()
    faults = [fault for trial in trace for fault in trial.faults if fault.guest == guest.name]
    said = [f"{fault.hook}, on a synthetic landscape: {fault.message}" for fault in faults]
    return Replayed("a synthetic landscape", len(trace) - 1, trace.ledger().get(guest.name, {}), said)


def _loaded(spec: LoopSpec) -> list[tuple[Guest, Mechanism]]:
    loaded = []
    for guest in code_of(spec.mechanisms):
        try:
            loaded.append((guest, spec.load(guest)))
        except GuestError:
            continue  # a fault of the live loop, told there
    return loaded


@dataclass(frozen=True)
class Meaningless:
    """The model of a landscape: what a mechanism is told that asks one while only its liveness is looked at."""

    name: str = "none:none"

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        return Reply("an answer without any meaning", self.name)


def _meaningless(request: Request, purpose: str, seed: int, repeat: int) -> Reply:
    return Meaningless().complete(request, seed, Watch())


# ---- the live trial, and after ----


def judged(trial: Trial, trace: Trace, test: Mapping[str, Any], data: Mapping[str, Any]) -> Climb:
    """What a trial of an outer loop, told after `trace`, says of a mechanism that it tested (see `surfaces.Test`)."""
    name, source = test["mechanism"], test["source"]
    found = verdict(forks_of([*trace, trial], name, source))
    rung, reason, gain = "trial", found.sentence, trial.score
    if test["sign"] < 0:
        rung, outcome = "probation", "removed" if trial.decision.keep else found.word
        reason = f"{'left out for good' if trial.decision.keep else 'left out once'}: {found.sentence}"
    elif data.get("discredit"):
        outcome, reason = "inert" if data.get("inert") else "undecided", str(data["discredit"])
    else:
        outcome = "confirmed" if found.confirmed else found.word
    if not data.get("control"):
        reason += f"; no control in this cycle: gain {gain} over its start, which proves nothing"
    elif gain is not None:
        reason += f"; this fork: {gain * test['sign'] + 0.0:+.4g} (spread by chance {data.get('spread', 0.0):.3g})"
    evidence = {**plain(found), "gain": gain, "control": bool(data.get("control")), "kept": trial.decision.keep}
    cost = trial.cost
    return Climb(name, source, rung, outcome, reason, evidence, round(cost.seconds, 3), cost.evaluations)


def _numbers(count: Count) -> list[int]:
    return [count.calls, count.touched, count.decisive, count.faults]
