"""Measurements on seeds that no search uses: what a report or a claim rests on.

Each purpose has a list of its own (a `stream` of seeds); the search's is "evaluation". The seeds are derived from the
loop's seed, so they are the same whoever asks, and a measurement is made once and stored with those of the search.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from bilevel.codec import derive_seed
from bilevel.errors import HarnessError, Stopped
from bilevel.facts import checked, failure_reason
from bilevel.guardrails import breach
from bilevel.lab import Bench, Lab, Records, RunKey
from bilevel.loop import LoopSpec
from bilevel.space import Candidate
from bilevel.task import with_built_in
from bilevel.trace import Trace
from bilevel.trial import Run, Status, Trial

COMPARISON, CLAIM = "comparison", "claim"  # streams
LOOKS = 2  # fresh seeds on which a best candidate is looked at before a task is taken for deterministic


class Measurements(Protocol):
    """Where measurements are looked up."""

    def find_run(self, key: RunKey) -> Run | None: ...


@dataclass(frozen=True)
class AsMeasured:
    """The measurements of a run as they were made: what measures its task may be another by now (None: it is not known
    what it was)."""

    records: Measurements
    harness: str | None

    def find_run(self, key: RunKey) -> Run | None:
        return self.records.find_run(key if self.harness is None else replace(key, harness=self.harness))


def fresh_seed(spec: LoopSpec, stream: str, index: int) -> int:
    """A seed of the innermost loop `spec` that no search uses; the same for all recipes with its seed."""
    return derive_seed(spec.seed, stream, index)


def key_of(spec: LoopSpec, candidate: str, seed: int) -> RunKey:
    """Under which a measurement on the top rung is stored; `candidate` is an id."""
    return RunKey(spec.task.harness, candidate, spec.top, seed)


def baseline_of(records: Records, spec: LoopSpec) -> Trial | None:
    """Trial 0 of the first search in a store."""
    branch = next((branch for branch in records.branches() if branch.level == spec.name), None)
    trials = records.trials(branch.id) if branch is not None else ()
    return trials[0] if trials else None


def steady(spec: LoopSpec, baseline: Trial | None) -> bool:
    """Whether the baseline's repeats were all equal."""
    return baseline is not None and (Trace(spec.task.objective) + baseline).noise.deterministic


def deterministic(records: Measurements, spec: LoopSpec, baseline: Trial | None, candidate: str, stream: str) -> bool:
    """Whether no seed changes a score, so that fresh seeds tell nothing new.

    The baseline's repeats say so, and what was seen of a candidate (an id) on the first fresh seeds of the stream. For
    a baseline may be the same on all seeds where others are not: one that learns nothing is.
    """
    if not steady(spec, baseline):
        return False
    seen = score_of(spec, records.find_run(key_of(spec, candidate, derive_seed(spec.seed, "evaluation", 0))))
    return all(score_of(spec, run) == seen for run in looks_at(records, spec, candidate, stream))


def looks_at(records: Measurements, spec: LoopSpec, candidate: str, stream: str) -> list[Run]:
    """What is stored of a candidate on the first fresh seeds of a stream; older versions looked at none."""
    keys = [key_of(spec, candidate, fresh_seed(spec, stream, index)) for index in range(LOOKS)]
    return [run for key in keys if (run := records.find_run(key)) is not None]


def look(lab: Lab, spec: LoopSpec, candidate: Candidate, stream: str, most: int = LOOKS) -> list[Run]:
    """Measure a candidate on the first fresh seeds of a stream, where the baseline's repeats were all equal."""
    return [measure(lab, spec, candidate, fresh_seed(spec, stream, index)) for index in range(min(most, LOOKS))]


def score_of(spec: LoopSpec, run: Run | None, guarded: bool = False) -> float | None:
    """The score of a measurement; None where there is none, or it failed, or (`guarded`) it breaks a guardrail."""
    if run is None or run.metrics is None or (guarded and broken_by(spec, run)):
        return None
    return spec.task.evaluate(run)


def broken_by(spec: LoopSpec, run: Run) -> str:
    """The bound that one measurement breaks by itself, as each in a search must hold it; relative ones are of means."""
    broken = breach(spec.task.objective.guardrails, [run], [])
    return broken.reason if broken else ""


def measure(lab: Lab, spec: LoopSpec, candidate: Candidate, seed: int) -> Run:
    """One measurement, stored, or the one that is stored already; one that the machine failed is repeated once.

    One that is to be made waits where a person must allow to spend more. Raises LimitReached where the answer is no.
    """
    key = key_of(spec, candidate.id, seed)
    known = lab.store.find_run(key)
    if known is not None:
        return known
    if lab.stop.is_set():
        raise Stopped("stopped before everything was measured on fresh seeds")
    lab.persons.spend()
    options = next(rung.options for rung in spec.task.rungs if rung.name == spec.top)
    for _ in range(2):
        run = lab.without_secrets(spec.task.run(candidate, Bench(lab, spec.top, 0, seed, options)))
        run = with_built_in(spec.task, candidate, checked(spec.task, run))
        if run.status is not Status.INFRASTRUCTURE:
            lab.store.add_run(key, run)
            return run
        if lab.stop.is_set():
            raise Stopped("stopped during a measurement on a fresh seed")
    raise HarnessError(f"the machine failed a measurement on a fresh seed twice: {failure_reason(run)}")
