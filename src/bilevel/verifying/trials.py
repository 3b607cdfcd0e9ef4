"""The records of a search against each other: measurements, scores, decisions, cycles of outer loops, calls."""

from dataclasses import replace
from typing import Any

from bilevel.call import call_key
from bilevel.codec import derive_seed, plain
from bilevel.errors import BilevelError
from bilevel.facts import mean_score, status_of
from bilevel.holding import with_fallen
from bilevel.keep import keep_by_default, with_rule
from bilevel.lab import Bench, Branch, Lab, RunKey, summary_of
from bilevel.levels import LoopTask, leaf, level_named
from bilevel.loop import LoopSpec
from bilevel.persons import gated
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.task import BESIDE, Steerable, Task, steered
from bilevel.tasks.external import External, ExternalFolder
from bilevel.trace import Trace
from bilevel.trial import Count, Decision, Run, Status, Trial
from bilevel.verifying.tally import NOTHING, Tally
from bilevel.verifying.texts import Again, NotRecorded

LADDER_FORMAT = 2  # of run folders whose outer trials hold what a mechanism climbed


def check_search(tally: Tally, folder: RunFolder[Any], spec: LoopSpec) -> None:
    """All trials of all branches."""
    reader = folder.store
    for what in reader.misnamed():
        tally.differs("the store", f"{what} by its name", "another content")
    lab, decided = Lab(reader), list[str]()
    own = _Measurements(folder, spec)
    for branch in reader.branches():
        try:
            level = level_named(spec, branch.level)
            trace = lab.traces.trace(branch.id, level.task.objective)
        except (BilevelError, ValueError, KeyError) as error:
            tally.differs(f"branch {branch.id}", "a line of trials", f"none: {error}")
            continue
        if len(trace) < branch.at:
            tally.differs(f"branch {branch.id}", f"a start after {branch.at} trials", f"{len(trace)} of them")
        for trial in trace[branch.at :]:
            _check_trial(tally, folder, lab, level, branch, trace, trial, own)
            decided += _who_decided(trial)
    if own.outside:
        tally.note("measured by whoever drives the run: the trials' own records are all there is of the measurements")
    for name in dict.fromkeys(decided):
        tally.note(
            f"mechanism {name} decided {decided.count(name)} trials; `bilevel replay` asks it again, this does not"
        )
    _check_calls(tally, folder)


def _check_trial(
    tally: Tally, folder: RunFolder[Any], lab: Lab, spec: LoopSpec, branch: Branch, trace: Trace, trial: Trial,
    own: "_Measurements",
) -> None:  # fmt: skip
    where, before = f"trial {branch.id}#{trial.number}", trace.upto(trial.number)
    tally.equal(f"{where} changes", plain(trial.changes), plain(trial.candidate.changes_from(trial.parent)))
    if isinstance(spec.task, LoopTask):
        _check_cycle(tally, where, lab, spec.task, branch, before, trial)
    else:
        own.check(tally, where, branch, trial)
    baseline = trial.runs if trial.number == 0 else trace[0].runs
    if trial.status is Status.REFUSED and not trial.runs:
        status, reason = Status.REFUSED, trial.reason
    else:
        start = () if trial.number == 0 else baseline
        status, reason = status_of(spec.task, trial.runs, start, spec.top, trial.parent_runs, spec.rules)
    score = mean_score(spec.task, trial.runs, spec.top) if status is Status.OK else None
    found = replace(trial, status=status, reason=reason, score=score, fallen=())
    found = with_fallen(spec.rule, before, found, spec.top)
    status, reason, score = found.status, found.reason, found.score
    tally.equal(f"{where} status", trial.status.value, status.value)
    if trial.fallen or found.fallen:
        tally.equal(f"{where} candidates out", plain(list(trial.fallen)), plain(list(found.fallen)))
    tally.said(f"{where} reason", trial.reason, reason)
    tally.equal(f"{where} score", trial.score, score)
    rule = with_rule(spec.rule, before, replace(trial, rule=None)).rule
    tally.equal(f"{where} keep rule", plain(trial.rule), plain(rule))
    _check_decision(tally, where, before, trial, spec.task, None if isinstance(spec.task, LoopTask) else own.again)
    for name, hooks in trial.ledger.items():
        for hook, count in hooks.items():
            if not count.decisive <= count.touched <= count.calls + count.faults:
                tally.differs(f"{where} ledger of {name}, {hook}", _counts(count), "no more touched than calls, and "
                              "no more decisive than touched")  # fmt: skip
            tally.checked += 4
    if isinstance(spec.task, LoopTask) and folder.config.get("format", 1) >= LADDER_FORMAT:
        told = spec.task.climbed(replace(trial, climbs=()), before)
        live = trial.climbs[len(trial.climbs) - len(told) :] if len(told) <= len(trial.climbs) else trial.climbs
        tally.equal(f"{where} climbs", plain(list(live)), plain(list(told)))


def _counts(count: Count) -> str:
    return f"{count.calls} calls, {count.touched} touched, {count.decisive} decisive"


def _who_decided(trial: Trial) -> list[str]:
    """The mechanisms that answered otherwise than they were asked, when it came to keep or not."""
    return [name for name, hooks in trial.ledger.items() if hooks.get("decide", Count()).touched]


def _check_decision(tally: Tally, where: str, before: Trace, trial: Trial, task: Task, again: Again | None) -> None:
    found, worse = keep_by_default(before, replace(trial, decision=Decision(False, ""), climbs=(), ledger={})), ""
    if found.keep and trial.number > 0 and again is not None:
        try:
            worse = again.worse(trial)
        except NotRecorded as error:
            tally.differs(f"{where} comparison with its parent", repr(trial.beside), str(error))
            return
    tally.said(f"{where} comparison with its parent", trial.beside, worse)
    if _who_decided(trial):
        if trial.decision.keep and trial.score is None:
            tally.differs(f"{where} decision", "kept", "no score, and what has none cannot be kept")
        return
    found = Decision(False, BESIDE + worse) if worse else found
    if isinstance(task, Steerable):
        found = steered(task, replace(trial, decision=found), before.steering.after((*trial.acts, *trial.late)))
    found = gated(replace(trial, decision=found))
    tally.equal(f"{where} decision", trial.decision.keep, found.keep)
    tally.said(f"{where} decision's reason", trial.decision.reason, found.reason)


def _check_cycle(
    tally: Tally, where: str, lab: Lab, task: LoopTask, branch: Branch, before: Trace, trial: Trial
) -> None:
    """What the run of an outer trial says of its arms, from their own trials."""
    for run in trial.runs:
        bench = Bench(
            lab, run.rung, run.seed, 0, {}, trial.parent, before.state, branch.id, trial.number
        )  # fmt: skip
        try:
            again = task.recorded(trial.candidate, bench)
        except (BilevelError, ValueError, KeyError) as error:
            tally.differs(f"{where} run", "a cycle of the loop below", f"none: {error}")
            continue
        tally.equal(f"{where} run", plain(run), plain(replace(again, rung=run.rung, seed=run.seed)))


class _Measurements:
    """The innermost loop's measurements: each is stored by what was measured, and in the trials that it served."""

    def __init__(self, folder: RunFolder[Any], spec: LoopSpec) -> None:
        inner = leaf(spec)
        self.store, self.spec = folder.store, inner
        self.harness = str(folder.meta("harness") or inner.task.harness)
        self.workers = int(folder.config["recipe"].get("workers", 1))
        self.outside = isinstance(inner.task, External | ExternalFolder)
        self.again = Again(folder, spec)
        self._texts: set[tuple[str, int]] = set()

    def check(self, tally: Tally, where: str, branch: Branch, trial: Trial) -> None:
        for run in trial.runs:
            self._check_run(tally, where, branch, trial, run, trial.candidate)
        for run in trial.parent_runs:
            self._check_run(tally, f"{where} parent's", branch, trial, run, trial.parent)

    def _check_run(
        self, tally: Tally, where: str, branch: Branch, trial: Trial, run: Run, candidate: Candidate
    ) -> None:
        if run.status is Status.INFRASTRUCTURE or self.outside:
            tally.checked += run.metrics is not None
            return
        seed = derive_seed(self.spec.seed, "evaluation", run.seed)
        stored = self.store.find_run(RunKey(self.harness, candidate.id, run.rung, seed))
        place = f"{where} run on {run.rung}, seed {run.seed}"
        if stored is None:
            tally.differs(place, _facts(run), f"{NOTHING}: no such measurement is stored")
        elif _measured(run) != _measured(stored) and self._at_the_same_time(branch, trial, run, stored, candidate.id):
            tally.note(f"{place}: measured twice at the same time, and the other measurement is the stored one")
        else:
            tally.equal(place, _measured(run), _measured(stored))
        if self.again.measures:
            self._check_text(tally, place, run, candidate)

    def _check_text(self, tally: Tally, place: str, run: Run, candidate: Candidate) -> None:
        """A measurement of texts, made again from its rules or from what the judge is recorded to have said."""
        if (candidate.id, run.seed) in self._texts:
            return
        self._texts.add((candidate.id, run.seed))
        try:
            found = self.again.run(candidate, run.rung, run.seed)
        except NotRecorded as error:
            tally.differs(place, _facts(run), str(error))
            return
        tally.equal(f"{place} of the texts", _measured(run)["metrics"], _measured(found)["metrics"])

    def _at_the_same_time(self, branch: Branch, trial: Trial, run: Run, stored: Run, candidate: str) -> bool:
        """Whether another trial that was in flight with this one holds the stored measurement of a candidate, be it as
        its own or as its parent's."""
        if self.workers == 1:
            return False
        return any(
            other.number != trial.number
            and (other.number >= trial.sees and trial.number >= other.sees)
            and (one.rung, one.seed) == (run.rung, run.seed)
            and _measured(one) == _measured(stored)
            for other in self.store.trials(branch.id)
            for one in _runs_of(other, candidate)
        )


def _runs_of(trial: Trial, candidate: str) -> tuple[Run, ...]:
    """The runs of a trial that are of a candidate."""
    own = trial.runs if trial.candidate.id == candidate else ()
    return (*own, *trial.parent_runs) if trial.parent.id == candidate else own


def _measured(run: Run) -> Any:
    return {"status": run.status.value, "metrics": plain(run.metrics), "cost": plain(run.cost)}


def _facts(run: Run) -> str:
    return f"{run.status.value} {dict(run.metrics or {})}"


def _check_calls(tally: Tally, folder: RunFolder[Any]) -> None:
    """What the list of calls says of each, against the call itself; and the request against its hash."""
    store = folder.store
    for listed in store.calls():
        call = store.call(listed.number)
        tally.equal(f"call {listed.number}", plain(listed), plain(summary_of(call)))
        if call_key(call.asked, call.request, call.key.seed, call.key.repeat) != call.key:
            tally.differs(f"call {listed.number} request", f"hash {call.key.request[:12]}", "another text")
