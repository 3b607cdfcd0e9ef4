"""One planned run of a trial: served where it was measured before, else made, checked and stored."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from bilevel.codec import derive_seed
from bilevel.description import LoopSpec
from bilevel.errors import Stopped
from bilevel.facts import checked, must_go_on
from bilevel.lab import Bench, Lab, RunKey
from bilevel.space import Candidate
from bilevel.task import with_built_in
from bilevel.trace import Trace
from bilevel.trial import Pending, Run, Status, Step


@dataclass(frozen=True)
class Measuring:
    """Makes the runs of a loop's trials on a branch. Each is charged, made or served."""

    spec: LoopSpec
    lab: Lab
    branch: str

    def run(self, pending: Pending, step: Step, trace: Trace, most: Callable[[], int | None]) -> Run:
        """The run of a step. `most`: how many measurements the trial may take, looked at where one is made.

        One that is to be made waits where a person must allow to spend more. Raises LimitReached where the answer is
        no, Stopped where it was broken off, and HarnessError where the search cannot go on with what came of it.
        """
        task, candidate = self.spec.task, pending.parent if step.of_parent else pending.proposal.candidate
        seed = derive_seed(self.spec.seed, "evaluation", step.seed)
        key = RunKey(task.harness, candidate.id, step.rung, seed)
        with nullcontext() if task.remembers else self.lab.alone(key):
            run = None if task.remembers else self.lab.store.find_run(key)
            if run is None:
                if not task.remembers:
                    self.lab.persons.spend()
                run = self._made(pending, step, candidate, key, trace, most())
        if not task.remembers:
            self.lab.meter.charge(run.cost)
        return replace(run, rung=step.rung, seed=step.seed)

    def _made(
        self, pending: Pending, step: Step, candidate: Candidate, key: RunKey, trace: Trace, most: int | None
    ) -> Run:
        """A measurement that is not there yet, stored where it may be served again."""
        task = self.spec.task
        options = next(rung.options for rung in task.rungs if rung.name == step.rung)
        bench = Bench(
            self.lab, step.rung, step.seed, key.seed, options,
            pending.parent, pending.state, self.branch, pending.number, most,
        )  # fmt: skip
        run = task.run(candidate, bench)
        if run.status is Status.INFRASTRUCTURE:
            if self.lab.stop.is_set():
                raise Stopped(f"stopped within trial {pending.number}; resume the run to finish it")
            lost = run.cost
            run = task.run(candidate, bench)
            run = replace(run, cost=run.cost + lost)
        run = with_built_in(task, candidate, checked(task, self.lab.without_secrets(run)))
        must_go_on(task, pending, run, trace)
        if not task.remembers and run.status is not Status.INFRASTRUCTURE:
            self.lab.store.add_run(key, run)
        return run
