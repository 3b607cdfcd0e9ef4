"""The loop: propose, run, evaluate, keep or discard. One class serves every level.

`ask` gives a pending trial, `tell` finishes it, `step` does one of each, `run` goes on until the budget is spent.
With W workers the view of trial n holds exactly the trials 0 ... n-W: the trace does not depend on who is faster.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from bilevel.budget import Budget
from bilevel.codec import derive_seed
from bilevel.draft import Drafting
from bilevel.errors import BilevelError, GuestError, HarnessError, InputError, Stopped
from bilevel.fold import Fold, Record, Without
from bilevel.lab import Bench, Branch, Lab, RunKey
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.objective import is_score
from bilevel.researcher import Researcher
from bilevel.settings import Settings
from bilevel.space import Space
from bilevel.task import Task
from bilevel.trace import Trace, top_scores
from bilevel.trial import Decision, Fault, Pending, Proposal, Run, Status, Step, Trial, merge
from bilevel.view import View

MOST_INFRASTRUCTURE = 4  # trials in a row that the machine may fail; with one more the run stops


@dataclass(frozen=True)
class LoopSpec:
    """The description of a loop: everything that decides what it does, and nothing that it has done.

    `name` is the level's name. `rung` is the top rung, the one that scores (the task's last if empty). `calibration`:
    on how many seeds the baseline is measured, to know the noise.
    """

    name: str
    task: Task
    researcher: Researcher
    mechanisms: tuple[Guest, ...] = ()
    settings: Settings = field(default_factory=Settings)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    rung: str = ""
    calibration: int = 3
    load: Callable[[Guest], Mechanism] = load

    @property
    def top(self) -> str:
        return self.rung or self.task.rungs[-1].name


class Loop:
    """A search in progress on one branch of a store; made again after a crash it goes on where it was."""

    def __init__(self, spec: LoopSpec, lab: Lab, branch: Branch | None = None) -> None:
        self.spec = spec
        self.lab = lab
        self.branch = branch or Branch("root", spec.name)
        lab.store.open_branch(self.branch)
        self.trace = lab.traces.trace(self.branch.id, spec.task.objective)
        if spec.top not in [rung.name for rung in spec.task.rungs]:
            raise InputError(f"loop {spec.name!r}: task {spec.task.name!r} has no rung {spec.top!r}")
        self._unloaded: list[Fault] = []
        self.fold = Fold(self._load(), spec.settings.max_faults, self.branch.at)
        self._space = self._host_space()
        self._spent = sum(trial.cost.evaluations for trial in self.trace[self.branch.at :])
        self.workers = 1 if spec.task.remembers else lab.workers
        self._flight = {pending.number: pending for pending in lab.store.pendings(self.branch.id)}
        self._guests = threading.RLock()  # mechanisms are asked one at a time
        self._asked = len(self.trace)  # the number of the next trial to ask for

    def _load(self) -> list[tuple[Guest, Mechanism]]:
        """The mechanisms that can be loaded; the others are faults of the first trial that is asked for."""
        loaded: list[tuple[Guest, Mechanism]] = []
        for guest in self.spec.mechanisms:
            try:
                loaded.append((guest, self.spec.load(guest)))
            except GuestError as error:
                self._unloaded.append(Fault(guest.name, "load", str(error)[:500]))
        return loaded

    # ---- ask ----

    def ask(self) -> Pending:
        """The next trial to run, written to the store before it is returned. Trial 0 is the baseline."""
        number, self._asked = self._asked, self._asked + 1
        if number not in self._flight:
            pending = self._ask_baseline() if number == 0 else self._ask_researcher(number)
            self.lab.store.add_pending(self.branch.id, pending)
            self._flight[number] = pending
        return self._flight[number]

    def _ask_baseline(self) -> Pending:
        start = self.spec.task.baseline()
        repeats = 1 if self.spec.task.remembers else self.spec.calibration
        steps = tuple(Step(self.spec.top, seed) for seed in range(repeats))
        return Pending(0, 0, start, Proposal(start, "the baseline", "baseline"), steps, state=self.trace.state)

    def _ask_researcher(self, number: int) -> Pending:
        sees, first = self._sees(number), number == max(self.branch.at, 1)
        trace, record = self.trace.upto(sees), Record()
        view = replace(self.view(number, trace), pending=tuple(map(self._in_flight, range(sees, number))))
        in_flight = [pending.proposal.candidate for pending in view.pending]
        start = trace.current or self.spec.task.baseline()
        drafting = Drafting(self.spec.task, self.spec.researcher, self.fold, view, start, in_flight)
        with self._guests:
            self.fold.remember(trace, sees - 1 if first else self._sees(number - 1), record)
            draft = drafting.draft(record)
        proposal, refused = draft.proposal, None
        if proposal is None:
            proposal = draft.last or Proposal(draft.parent, "nothing was proposed", self.spec.researcher.name)
            reasons = "; ".join(dict.fromkeys(back.reason for back in draft.turned_back))
            refused = reasons[:500] or f"researcher {self.spec.researcher.name!r} had nothing to propose"
        return Pending(
            number=number,
            sees=sees,
            parent=draft.parent,
            proposal=proposal,
            steps=() if refused else self._default_steps(trace, proposal),
            changes=proposal.candidate.changes_from(draft.parent),
            state=trace.state,
            refused=refused,
            overruled=draft.overruled,
            moved=draft.parent.id != start.id,
            turned_back=draft.turned_back,
            ledger=record.counts,
            faults=(*self._unloaded, *record.faults) if first else tuple(record.faults),
        )

    def _sees(self, number: int) -> int:
        """How many trials the view of a trial holds. All those that its branch started from are told."""
        return max(1, self.branch.at, number - self.workers + 1)

    def _default_steps(self, trace: Trace, proposal: Proposal) -> tuple[Step, ...]:
        if not proposal.repeats:
            return (Step(self.spec.top, 0),)
        done = {run.seed for trial in trace.measured(proposal.candidate.id) for run in trial.runs}
        fresh = (seed for seed in count() if seed not in done)
        return tuple(Step(self.spec.top, next(fresh)) for _ in range(min(proposal.repeats, 8)))

    def view(self, number: int, trace: Trace) -> View:
        """What guests may know of trial `number` after `trace`, apart from the trials in flight."""
        limit = self.spec.budget.trials
        return View(
            number=number,
            seed=self.spec.seed,
            brief=self.spec.task.brief,
            objective=self.spec.task.objective,
            space=self._space,
            settings=self.spec.settings,
            trace=trace,
            trials_left=None if limit is None else max(limit - number + 1, 0),
            below=self.spec.task.below(self.lab.traces, trace.state),
        )

    def _in_flight(self, number: int) -> Pending:
        """A trial that a view does not hold, as that view shows it: the same whether it is finished by now or not."""
        known = self._flight[number] if number in self._flight else self.trace[number]
        return Pending(number, self._sees(number), known.parent, known.proposal, (), known.changes)

    def _host_space(self) -> Space:
        space = self.spec.task.space
        for name, reason in self.spec.settings.frozen.items():
            space = space.freeze([name], f"settings ({reason})")
        return space

    # ---- run ----

    def measure(self, pending: Pending) -> tuple[tuple[Run, ...], Record]:
        """Run what the plan says, asking the mechanisms again after each run; gives the runs and the plan's ledger."""
        record, steps = Record(), pending.steps
        runs: tuple[Run, ...] = ()
        view = self.view(pending.number, self.trace.upto(pending.sees))
        while True:
            if runs and runs[-1].status is not Status.OK:
                steps = ()  # a failure ends a trial, unless a mechanism plans otherwise
            if pending.number > 0 and not pending.refused:
                steps = self._plan(view, pending.proposal, runs, steps, record)
            if not steps:
                return runs, record
            run = self._run_step(pending, steps[0])
            runs, steps = (*runs, run), steps[1:]

    def _plan(
        self, view: View, proposal: Proposal, runs: tuple[Run, ...], steps: tuple[Step, ...], record: Record
    ) -> tuple[Step, ...]:
        rungs, asked = tuple(rung.name for rung in self.spec.task.rungs), Record()
        with self._guests:
            self.fold.remember(view.trace, len(view.trace), Record())
            planned = self.fold.plan(view, proposal, runs, steps, rungs, asked)

            def plan(without: Without) -> tuple[Step, ...]:
                return self.fold.plan(view, proposal, runs, steps, rungs, Record(), without)

            # The whole plan: a run that is added at the end is no part of the question when its turn comes.
            self.fold.count_decisive("plan", asked, planned, plan)
        record.counts = merge(record.counts, asked.counts)
        record.faults += asked.faults
        return planned

    def _run_step(self, pending: Pending, step: Step) -> Run:
        task, candidate = self.spec.task, pending.proposal.candidate
        seed = derive_seed(self.spec.seed, "evaluation", step.seed)
        key = RunKey(task.harness, candidate.id, step.rung, seed)
        run = None if task.remembers else self.lab.store.find_run(key)
        if run is None:
            options = next(rung.options for rung in task.rungs if rung.name == step.rung)
            bench = Bench(
                self.lab, step.rung, step.seed, seed, options,
                pending.parent, pending.state, self.branch.id, pending.number,
            )  # fmt: skip
            run = task.run(candidate, bench)
            if run.status is Status.INFRASTRUCTURE:
                if self.lab.stop.is_set():
                    raise Stopped(f"stopped within trial {pending.number}; resume the run to finish it")
                lost = run.cost
                run = task.run(candidate, bench)
                run = replace(run, cost=run.cost + lost)
            run = self._checked(run)
            self._must_go_on(pending, run)
            if not task.remembers and run.status is not Status.INFRASTRUCTURE:
                self.lab.store.add_run(key, run)
        if not task.remembers:
            self.lab.meter.charge(run.cost)
        return replace(run, rung=step.rung, seed=step.seed)

    def _must_go_on(self, pending: Pending, run: Run) -> None:
        """A search without a baseline, or on a machine that fails each time, is no search: nothing is stored of it."""
        before = self.trace[max(0, len(self.trace) - MOST_INFRASTRUCTURE) :]
        failing = [trial for trial in before if trial.status is Status.INFRASTRUCTURE]
        if run.status is Status.OK or self.spec.task.remembers:
            return
        what = f"{run.status.value}: {failure_reason(run)}"
        if pending.number == 0 and run.status is Status.INFRASTRUCTURE:
            raise HarnessError(f"the baseline of task {self.spec.task.name!r} cannot be measured here ({what})")
        if pending.number == 0:
            raise InputError(
                f"the baseline of task {self.spec.task.name!r} fails ({what}); mend the task (`bilevel check` helps) "
                "and start again in another folder"
            )
        if run.status is Status.INFRASTRUCTURE and len(failing) == MOST_INFRASTRUCTURE:
            raise HarnessError(
                f"the machine failed in {MOST_INFRASTRUCTURE + 1} trials in a row ({what}); mend it, then go on with "
                "`bilevel resume`"
            )

    def _checked(self, run: Run) -> Run:
        """An ok run whose score is missing, NaN or infinite becomes an invalid one."""
        if run.status is not Status.OK:
            return run
        score, name = _score(self.spec.task, run), self.spec.task.objective.name
        if score is not None and is_score(score):
            metrics = {key: value for key, value in (run.metrics or {}).items() if is_score(value)}
            return replace(run, metrics={name: score, **metrics})
        return replace(
            run,
            status=Status.INVALID_METRIC,
            metrics=None,
            log=f"{self.spec.task.objective.name} is missing or not a finite number\n{run.log}",
        )

    # ---- tell ----

    def tell(self, pending: Pending, runs: tuple[Run, ...], planned: Record | None = None) -> Trial:
        """Finish a trial: score, decide, store. Trials are told in the order of their numbers."""
        planned = planned or Record()
        status, reason = self._status(pending, runs)
        score = self._score(runs) if status is Status.OK else None
        trial = Trial(
            number=pending.number,
            parent=pending.parent,
            proposal=pending.proposal,
            runs=runs,
            status=status,
            score=score,
            decision=Decision(False, ""),
            changes=pending.changes,
            overruled=pending.overruled,
            sees=pending.sees,
            moved=pending.moved,
            reason=reason,
            turned_back=pending.turned_back,
            faults=(*pending.faults, *planned.faults),
        )
        trial = replace(trial, decision=keep_by_default(self.trace, trial))
        record = Record()
        if pending.number > 0 and not pending.refused:
            trial = self._decide(trial, record)
        ledger = merge(pending.ledger, planned.counts, record.counts)
        trial = replace(trial, ledger=ledger, faults=(*trial.faults, *record.faults))
        self.trace = self.lab.add_trial(self.branch.id, trial)
        self._flight.pop(pending.number, None)
        self._spent += trial.cost.evaluations
        self._asked = max(self._asked, len(self.trace))
        return trial

    def _decide(self, trial: Trial, record: Record) -> Trial:
        view = self.view(trial.number, self.trace)
        with self._guests:
            self.fold.remember(self.trace, len(self.trace), Record())
            decision = self.fold.decide(view, trial, record)
            self.fold.count_decisive(
                "decide", record, decision.keep, lambda w: self.fold.decide(view, trial, Record(), w).keep
            )
        return replace(trial, decision=decision)

    def _status(self, pending: Pending, runs: tuple[Run, ...]) -> tuple[Status, str]:
        if pending.refused is not None:
            return Status.REFUSED, pending.refused
        failed = next((run for run in runs if run.status is not Status.OK), None)
        if failed is not None:
            return failed.status, failure_reason(failed)
        if not any(run.rung == self.spec.top for run in runs):
            return Status.PRUNED, "stopped before the top rung"
        return Status.OK, ""

    def _score(self, runs: tuple[Run, ...]) -> float:
        scores = [self.spec.task.evaluate(run) for run in runs if run.rung == self.spec.top]
        return sum(scores) / len(scores)

    # ---- all of it ----

    @property
    def finished(self) -> bool:
        """Whether the loop's own budget is spent (asked-for trials counted), or somebody asked to stop."""
        budget = self.spec.budget
        if self.lab.stop.is_set() or (budget.trials is not None and self._asked > budget.trials):
            return True
        need = self.spec.task.evaluations
        flying = sum(len(self._flight[n].steps) for n in range(len(self.trace), self._asked) if n in self._flight)
        spent = self._spent + flying * self.spec.task.evaluations
        return budget.evaluations is not None and self._asked > 0 and spent + need > budget.evaluations

    def step(self) -> Trial:
        """One iteration."""
        pending = self.ask()
        return self.tell(pending, *self.measure(pending))

    def run(self, until: int | None = None) -> Trace:
        """Iterate until the budget is spent, or the trace has `until` trials."""
        if self.workers == 1:
            while not self._done(until):
                self.step()
        else:
            self._run_in_threads(until)
        return self.trace

    def _done(self, until: int | None) -> bool:
        return self.finished or (until is not None and self._asked >= until)

    def _run_in_threads(self, until: int | None) -> None:
        """Up to W trials in flight; told in order, each asked as soon as the trials that it sees are told."""
        flight: list[tuple[Pending, Future[tuple[tuple[Run, ...], Record]]]] = []
        with ThreadPoolExecutor(self.workers, thread_name_prefix="trial") as pool:
            while True:
                while not self._done(until) and self._may_ask(len(flight)):
                    pending = self.ask()
                    flight.append((pending, pool.submit(self.measure, pending)))
                if not flight:
                    return
                pending, future = flight.pop(0)
                self.tell(pending, *future.result())

    def _may_ask(self, in_flight: int) -> bool:
        return in_flight < self.workers and (self._asked == 0 or len(self.trace) > 0)


def failure_reason(run: Run) -> str:
    """Why a run failed, in a line: what its task says, or the last line of its log."""
    lines = run.log.strip().splitlines()
    return str(run.data.get("reason") or (lines[-1] if lines else run.status.value))[:300]


def keep_by_default(trace: Trace, trial: Trial) -> Decision:
    """Greedy against the parent: keep what is better by more than the noise margin.

    Both are compared on the seeds that they share. A relative score is a gain already and compared with 0.
    """
    if trial.score is None:
        return Decision(False, trial.reason or trial.status.value)
    if trial.number == 0:
        return Decision(True, "the baseline")
    if trace.objective.relative:
        return _keep_relative(trial, trial.score)
    parent = trace.of(trial.parent.id)
    if parent is None or parent.score is None:
        return Decision(True, "its parent has no score")
    return _verdict(_paired_gain(trace, parent, trial), trace.noise.margin, f"its parent (trial {parent.number})")


def _keep_relative(trial: Trial, gain: float) -> Decision:
    """What a loop as a task says of its run: the innermost margin, why a gain is not credited, who wins a tie."""
    data = trial.runs[-1].data
    if data.get("discredit"):
        return Decision(False, str(data["discredit"]))
    if data.get("simpler") and gain == 0:
        return Decision(True, "equal to its control, and simpler")
    return _verdict(gain, float(data.get("margin", 0.0)), "its control" if data.get("control") else "the cycle's start")


def _paired_gain(trace: Trace, parent: Trial, trial: Trial) -> float:
    """The mean gain over the seeds that both were measured on, or the gain of the mean scores where there are none."""
    name = trace.objective.name
    old, new = top_scores(parent, name), top_scores(trial, name)
    shared = old.keys() & new.keys()
    if not shared or parent.score is None or trial.score is None:
        return trace.objective.gain(parent.score or 0.0, trial.score or 0.0)
    return sum(trace.objective.gain(old[seed], new[seed]) for seed in sorted(shared)) / len(shared)


def _verdict(gain: float, margin: float, than: str) -> Decision:
    if gain > margin:
        return Decision(True, f"better than {than} by {gain:.4g} (margin {margin:.2g})")
    if gain > 0:
        return Decision(False, f"better than {than} by {gain:.4g}, within the noise margin of {margin:.2g}")
    return Decision(False, f"not better than {than} ({-gain:.4g} worse)" if gain else f"equal to {than}")


def _score(task: Task, run: Run) -> float | None:
    try:
        return task.evaluate(run)
    except (ArithmeticError, AttributeError, BilevelError, LookupError, TypeError, ValueError):
        return None
