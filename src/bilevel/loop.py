"""The loop: propose, run, evaluate, keep or discard. One class serves every level.

`ask` gives a pending trial, `tell` finishes it, `step` does one of each, `run` goes on until the budget is spent.
With W workers the view of trial n holds exactly the trials 0 ... n-W: the trace does not depend on who is faster.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from bilevel.acts import UNSTEERED, Act
from bilevel.answered import WITHIN_AN_ASK, Answers
from bilevel.budget import Budget
from bilevel.carrying import code_of, no_place_for, texts_of, with_texts
from bilevel.climbing import Climber, rules_for
from bilevel.codec import content_hash, derive_seed
from bilevel.description import LoopSpec as LoopSpec
from bilevel.description import budget_of, host_space, view_for
from bilevel.draft import Drafting
from bilevel.errors import GuestError, InputError, Stopped
from bilevel.facts import mean_score, status_of
from bilevel.fold import Fold, Record, Without
from bilevel.holding import with_fallen
from bilevel.keep import keep_by_default, with_rule
from bilevel.lab import Bench, Branch, Lab
from bilevel.learning import learn
from bilevel.measurement import Measuring
from bilevel.mechanism import Guest, Mechanism
from bilevel.persons import Place, admitted, heard
from bilevel.planning import HELD, Spending, converged, default_steps, put_aside, steps_after
from bilevel.researcher import Researcher
from bilevel.stints import seated, timed
from bilevel.task import BESIDE, Climbing, Comparing, as_steered
from bilevel.trace import NOTHING_TOLD, Trace
from bilevel.trial import Decision, Fault, Pending, Proposal, Run, Status, Step, Trial, merge
from bilevel.view import View


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
        loaded = self._load()
        answers = None if spec.name in lab.models else Answers(WITHIN_AN_ASK)
        self.fold = Fold(loaded if spec.guards.mechanisms else (), spec.settings.max_faults, self.branch.at, answers)
        named = (*(guest.name for guest, _ in loaded), *(text.name for text in texts_of(spec.mechanisms)))
        self._uncalled = () if spec.guards.mechanisms else named
        self._space = (UNSTEERED, host_space(spec))
        self._due: dict[int, tuple[Act, ...]] = {}  # by trial that is not asked for yet
        spent = sum(trial.cost.evaluations for trial in self.trace[self.branch.at :])
        self._spent = Spending(spec, self.branch.at, spent)
        self._measuring = Measuring(spec, lab, self.branch.id)
        self.workers = 1 if spec.task.remembers else lab.workers
        self._flight = {pending.number: pending for pending in lab.store.pendings(self.branch.id)}
        self._guests = threading.RLock()  # mechanisms are asked one at a time
        self._books = threading.RLock()  # what was told and what it took change together
        self._allowed: tuple[int | None, int | None] = (None, None)  # measurements, until so many trials
        self._asked = len(self.trace)  # the number of the next trial to ask for

    def _load(self) -> list[tuple[Guest, Mechanism]]:
        """The mechanisms that can be loaded; the others, and texts that the researcher has no place for, are faults of
        the first trial that is asked for."""
        loaded: list[tuple[Guest, Mechanism]] = []
        for text in texts_of(self.spec.mechanisms):
            if problem := no_place_for(self.spec.researcher, text.name):
                self._unloaded.append(Fault(text.name, "load", problem[:500]))
        for guest in code_of(self.spec.mechanisms):
            try:
                loaded.append((guest, self.spec.load(guest)))
            except GuestError as error:
                self._unloaded.append(Fault(guest.name, "load", str(error)[:500]))
        return loaded

    # ---- ask ----

    def ask(self) -> Pending:
        """The next trial to run, written to the store before it is returned. Trial 0 is the baseline.

        Raises LimitReached where the run may spend no more.
        """
        self.lab.check_limits()
        acts = self._acts(self._asked)
        number, self._asked = self._asked, self._asked + 1
        if number not in self._flight:
            self.lab.persons.asking(self.branch.id, number)
            pending = self._ask_baseline(acts) if number == 0 else self._ask_researcher(number, acts)
            self.lab.store.add_pending(self.branch.id, pending)
            self._flight[number] = pending
            self._due.pop(number, None)
        return self._flight[number]

    def _acts(self, number: int) -> tuple[Act, ...]:
        """What persons told this loop since the trials that one sees: the same for all that is asked about it."""
        if number in self._flight:
            return self._flight[number].acts
        if number not in self._due:
            known = self.trace.upto(self._sees(number)).steering.taken
            self._due[number] = self.lab.persons.due(self.spec.name, self.branch.id, number, known)
        return self._due[number]

    def _ask_baseline(self, acts: tuple[Act, ...]) -> Pending:
        start = self.spec.task.baseline()
        repeats = 1 if self.spec.task.remembers else self.spec.calibration
        steps = tuple(Step(self.spec.top, seed) for seed in range(repeats))
        proposal, told = Proposal(start, "the baseline", "baseline"), self._told(0, self.trace)
        return Pending(
            0, 0, start, proposal, steps, state=self.trace.state, told=told, known=self.spec.noise, acts=acts
        )

    def _ask_researcher(self, number: int, acts: tuple[Act, ...]) -> Pending:
        sees, first = self._sees(number), number == max(self.branch.at, 1)
        trace, record = self.trace.upto(sees).steered(acts), Record()
        told = self._told(number, trace)
        flying = tuple(map(self._in_flight, range(sees, number)))
        view = replace(self.view(number, trace, told), pending=flying)
        in_flight = [pending.proposal.candidate for pending in view.pending]
        start = as_steered(self.spec.task, trace.current or self.spec.task.baseline(), trace.steering)
        rules = rules_for(self.spec.task, self.lab.traces, trace)
        with self._guests:
            learned = learn(self.spec.researcher, view, self.spec.lessons_every, record)
            view = replace(view, lessons=(*view.lessons, *learned))
            drafting = Drafting(
                rules, self._researcher(trace), self.fold, view, start, in_flight, self.spec.shadow, self.spec.watched,
                self.spec.guards,
            )  # fmt: skip
            self.fold.remember(trace, sees - 1 if first else self._sees(number - 1), record)
            draft = drafting.draft(record)
        proposal, refused = draft.proposal, None
        if proposal is None:
            proposal = draft.last or Proposal(draft.parent, "nothing was proposed", self.spec.researcher.name)
            reasons = "; ".join(dict.fromkeys(back.reason for back in draft.turned_back))
            refused = reasons[:500] or self._nothing(record)
        else:
            no, answer = admitted(
                self.spec.task, self.lab.persons, self._place(number), proposal.candidate, draft.parent
            )
            refused, acts = no or None, acts if answer is None else (*acts, answer)
        return Pending(
            number=number,
            sees=sees,
            parent=draft.parent,
            proposal=proposal,
            steps=() if refused else default_steps(self.spec, trace, proposal),
            changes=proposal.candidate.changes_from(draft.parent),
            state=trace.state,
            refused=refused,
            overruled=draft.overruled,
            moved=draft.parent.id != start.id,
            turned_back=draft.turned_back,
            ledger=record.counts | {name: {} for name in self._uncalled},
            faults=(*self._unloaded, *record.faults) if first else tuple(record.faults),
            told=told,
            learned=learned,
            shadows=draft.shadows,
            climbs=tuple(rules.climbs) if isinstance(rules, Climber) else (),
            acts=acts,
        )

    def _researcher(self, trace: Trace) -> Researcher:
        """The researcher with the texts in force, without those that a person retired, or that failed too often."""
        texts = texts_of(self.spec.mechanisms) if self.spec.guards.mechanisms else ()
        retired, faulty = trace.steering.retired, self.fold.retired(trace)
        left = [text for text in texts if (text.name, content_hash(text.source)) not in retired]
        left = [text for text in left if text.name not in faulty]
        return with_texts(self.spec.researcher, left)

    def _nothing(self, record: Record) -> str:
        """Why there is no proposal, where none was turned back."""
        name = self.spec.researcher.name
        faults = [fault.message for fault in record.faults if fault.guest == f"researcher {name}"]
        return (
            f"researcher {name!r} failed: {faults[-1]}"[:500]
            if faults
            else f"researcher {name!r} had nothing to propose"
        )

    def _place(self, number: int) -> Place:
        return Place(self.spec.name, self.branch.id, number)

    def _told(self, number: int, trace: Trace) -> dict[str, str]:
        """What a person wrote that the trace does not know yet."""
        said = self.lab.words(self.spec.task.brief, self.spec.task.guidance, self.branch.id, number)
        words = {name: self.lab.redact(text) for name, text in said.items()}
        return {name: text for name, text in words.items() if text != trace.told.get(name, "")}

    def _sees(self, number: int) -> int:
        """How many trials the view of a trial holds. All those that its branch started from are told."""
        return max(1, self.branch.at, number - self.workers + 1)

    def view(self, number: int, trace: Trace, told: Mapping[str, str] = NOTHING_TOLD) -> View:
        """What guests may know of trial `number` after `trace`, apart from the trials in flight."""
        below = self.spec.task.below(self.lab.traces, trace.state)
        asks = self.lab.asks(self.spec.name, self.branch.id, number)
        steering, space = self._space
        if steering != trace.steering:
            steering, space = self._space = trace.steering, host_space(self.spec, trace.steering)
        return view_for(self.spec, space, number, trace, told, below, asks)

    def _in_flight(self, number: int) -> Pending:
        """A trial that a view does not hold, as that view shows it: the same whether it is finished by now or not."""
        known = self._flight[number] if number in self._flight else self.trace[number]
        return Pending(number, self._sees(number), known.parent, known.proposal, (), known.changes)

    # ---- run ----

    def measure(self, pending: Pending) -> tuple[tuple[Run, ...], Record, tuple[Run, ...]]:
        """Run what the plan says, asking the keep rule and then the mechanisms again after each run; gives the runs,
        the plan's ledger, and the runs of the parent."""
        record, steps = Record(), pending.steps
        runs: tuple[Run, ...] = ()
        parent_runs: tuple[Run, ...] = ()
        view = self.view(pending.number, self.trace.upto(pending.sees).steered(pending.acts), pending.told)
        most = self._most(pending.number)
        while True:
            if pending.number > 0 and not pending.refused:
                steps = steps_after(self.spec, view.trace, pending, runs, parent_runs, steps)
                steps = self._plan(view, pending.proposal, runs, steps, record)
                scored = any(run.rung == self.spec.top for run in runs)
                if scored and most is not None and sum(run.cost.evaluations for run in (*runs, *parent_runs)) >= most:
                    steps = ()  # the budget pays for no repeat
            if not steps:
                return runs, record, parent_runs
            run = self._run_step(pending, steps[0])
            if steps[0].of_parent:
                parent_runs = (*parent_runs, run)
            else:
                runs = (*runs, run)
            steps = steps[1:]

    def _plan(
        self, view: View, proposal: Proposal, runs: tuple[Run, ...], steps: tuple[Step, ...], record: Record
    ) -> tuple[Step, ...]:
        if not any("plan" in member.hooks for member in self.fold.members):
            return steps  # nobody to wait for, while a researcher thinks
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
        return self._measuring.run(pending, step, self.trace, partial(self._most, pending.number))

    # ---- tell ----

    def tell(
        self, pending: Pending, runs: tuple[Run, ...], planned: Record | None = None, parent_runs: tuple[Run, ...] = ()
    ) -> Trial:
        """Finish a trial: score, decide, store. Trials are told in the order of their numbers."""
        planned = planned or Record()
        status, reason = self._status(pending, runs, parent_runs)
        score = mean_score(self.spec.task, runs, self.spec.top) if status is Status.OK else None
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
            told=pending.told,
            learned=pending.learned,
            shadows=pending.shadows,
            isolation=self.lab.isolation,
            known=pending.known,
            parent_runs=parent_runs,
            acts=pending.acts,
        )
        trial = with_rule(self.spec.rule, self.trace, self._with_fallen(trial))
        trial = replace(trial, decision=keep_by_default(self.trace, trial))
        trial = self._beside(trial)
        record = Record()
        if pending.number > 0 and not pending.refused:
            trial = self._decide(trial, record)
            trial = heard(self.spec.task, self.lab.persons, self._place(trial.number), trial, self.trace)
        if isinstance(self.spec.task, Climbing):
            trial = replace(trial, climbs=(*pending.climbs, *self.spec.task.climbed(trial, self.trace)))
        ledger = merge(pending.ledger, planned.counts, record.counts)
        trial = replace(trial, ledger=ledger, faults=(*trial.faults, *record.faults))
        with self._books:
            self.trace = self.lab.add_trial(self.branch.id, trial)
            self._flight.pop(pending.number, None)
            self._spent.told += trial.cost.evaluations
        self._asked = max(self._asked, len(self.trace))
        return trial

    def _with_fallen(self, trial: Trial) -> Trial:
        return with_fallen(self.spec.rule, self.trace, trial, self.spec.top)

    def _beside(self, trial: Trial) -> Trial:
        """A trial that would be kept, held beside the candidate whose place it would take."""
        task = self.spec.task
        if not isinstance(task, Comparing) or trial.number == 0 or not trial.decision.keep:
            return trial
        seed = derive_seed(self.spec.seed, "evaluation", 0)
        bench = Bench(self.lab, self.spec.top, 0, seed, branch=self.branch.id, number=trial.number)
        reason = task.worse(trial.candidate, trial.parent, bench)
        return replace(trial, decision=Decision(False, BESIDE + reason), beside=reason) if reason else trial

    def _decide(self, trial: Trial, record: Record) -> Trial:
        trace = self.trace.steered(trial.acts)
        view = self.view(trial.number, trace, trial.told)
        with self._guests:
            self.fold.remember(trace, len(trace), Record())
            decision = self.fold.decide(view, trial, record)
            self.fold.count_decisive(
                "decide", record, decision.keep, lambda w: self.fold.decide(view, trial, Record(), w).keep
            )
        return replace(trial, decision=decision)

    def _status(self, pending: Pending, runs: tuple[Run, ...], parent_runs: tuple[Run, ...]) -> tuple[Status, str]:
        if pending.refused is not None:
            return Status.REFUSED, pending.refused
        baseline = self.trace.baseline
        start = () if baseline is None else baseline.runs
        return status_of(self.spec.task, runs, start, self.spec.top, parent_runs, self.spec.rules)

    # ---- all of it ----

    @property
    def finished(self) -> bool:
        """Whether the loop's own budget is spent (asked-for trials counted), or somebody asked to stop."""
        budget = self.budget
        if self.lab.stop.is_set() or (budget.trials is not None and self._asked > budget.trials):
            return True
        if self.converged:
            return True
        if budget.evaluations is None or self._asked == 0 or self._asked in self._flight:
            return False  # what was asked for before a kill is finished
        need = self.spec.task.evaluations
        return self._spent_before(self._asked) + need > budget.evaluations

    @property
    def budget(self) -> Budget:
        """What the loop may spend, as it stands for the next trial."""
        known = self.trace.upto(self._sees(self._asked))
        return budget_of(self.spec, known.steered(self._acts(self._asked)).steering)

    @property
    def converged(self) -> bool:
        """Whether the best has held the target after each of the last trials that the next one would see."""
        number, target = self._asked, self.spec.target
        if target is None or number in self._flight or number < HELD:
            return False
        return converged(self.trace, self._sees(number), target)

    def _spent_before(self, number: int) -> int:
        return self._spent.before(number, self._sees(number), self.trace, self._flight)

    def _most(self, number: int) -> int | None:
        """How many measurements a trial may take; None is no limit. Those to come in this cycle are put aside."""
        most, until = self._allowed if self._allowed[0] is not None else (self._evaluations(number), None)
        if most is None or self.spec.keep is None:
            return None
        with self._books:
            return most - self._spent_before(number) - put_aside(self.spec, number, until)

    def _evaluations(self, number: int) -> int | None:
        """The budget of measurements, as it stands for a trial that was asked for."""
        known = self.trace.upto(self._sees(number))
        return budget_of(self.spec, known.steered(self._flight[number].acts).steering).evaluations

    def step(self) -> Trial:
        """One iteration."""
        pending = self.ask()
        return self.tell(pending, *timed(self.lab.clock, self.branch.id, pending, self.measure))

    def run(self, until: int | None = None, most: int | None = None) -> Trace:
        """Iterate until the budget is spent, or the trace has `until` trials; they repeat nothing beyond `most`
        measurements."""
        self._allowed = (most, until)
        if self.workers == 1:
            while not self._done(until):
                if self.lab.persons.paused:
                    self.lab.persons.wait()
                else:
                    self.step()
        else:
            self._run_in_threads(until)
        return self.trace

    def _done(self, until: int | None) -> bool:
        if until is not None and self._asked >= until:
            return True
        self._due.clear()  # what came meanwhile counts
        if self._asked not in self._flight and not self.finished:  # what was asked for before a kill is finished first
            self.lab.persons.attend(self.branch.id, self._asked)
            self._due.clear()
        return self.finished

    def _run_in_threads(self, until: int | None) -> None:
        """Up to W trials in flight; told in order, each asked as soon as the trials that it sees are told."""
        flight: list[tuple[Pending, Future[tuple[tuple[Run, ...], Record, tuple[Run, ...]]]]] = []
        stopped: Stopped | None = None
        with seated(self.workers) as pool:
            while True:
                while stopped is None and not self._done(until) and self._may_ask(len(flight)):
                    try:
                        pending = self.ask()
                    except Stopped as error:  # what is in flight is paid for: it is told before the loop ends
                        stopped = error
                        break
                    flight.append((pending, pool.submit(timed, self.lab.clock, self.branch.id, pending, self.measure)))
                if not flight and stopped is not None:
                    raise stopped
                if not flight and self.lab.persons.paused and not self._done(until):
                    self.lab.persons.wait()
                    continue
                if not flight:
                    return
                pending, future = flight.pop(0)
                self.tell(pending, *future.result())

    def _may_ask(self, in_flight: int) -> bool:
        free = in_flight < self.workers and not self.lab.persons.paused
        return free and (self._asked == 0 or len(self.trace) > 0)
