"""Measurements on seeds that no search uses: what a report or a claim rests on.

Each purpose has a list of its own (a `stream` of seeds); the search's is "evaluation". The seeds are derived from the
loop's seed, so they are the same whoever asks, and a measurement is made once and stored with those of the search.
"""

from bilevel.codec import derive_seed
from bilevel.errors import HarnessError, Stopped
from bilevel.facts import checked, failure_reason
from bilevel.lab import Bench, Lab, Records, RunKey
from bilevel.loop import LoopSpec
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Run, Status, Trial

COMPARISON, CLAIM = "comparison", "claim"  # streams
LOOKS = 2  # fresh seeds on which a best candidate is looked at before a task is taken for deterministic


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


def deterministic(records: Records, spec: LoopSpec, baseline: Trial | None, candidate: str, stream: str) -> bool:
    """Whether no seed changes a score, so that fresh seeds tell nothing new.

    The baseline's repeats say so, and what was seen of a candidate (an id) on the first fresh seeds of the stream. For
    a baseline may be the same on all seeds where others are not: one that learns nothing is.
    """
    if not steady(spec, baseline):
        return False
    seen = score_of(spec, records.find_run(key_of(spec, candidate, derive_seed(spec.seed, "evaluation", 0))))
    return all(score_of(spec, run) == seen for run in looks_at(records, spec, candidate, stream))


def looks_at(records: Records, spec: LoopSpec, candidate: str, stream: str) -> list[Run]:
    """What is stored of a candidate on the first fresh seeds of a stream; older versions looked at none."""
    keys = [key_of(spec, candidate, fresh_seed(spec, stream, index)) for index in range(LOOKS)]
    return [run for key in keys if (run := records.find_run(key)) is not None]


def look(lab: Lab, spec: LoopSpec, candidate: Candidate, stream: str, most: int = LOOKS) -> list[Run]:
    """Measure a candidate on the first fresh seeds of a stream, where the baseline's repeats were all equal."""
    return [measure(lab, spec, candidate, fresh_seed(spec, stream, index)) for index in range(min(most, LOOKS))]


def score_of(spec: LoopSpec, run: Run | None) -> float | None:
    """The score of a measurement; None where there is none, or it failed."""
    return None if run is None or run.metrics is None else spec.task.evaluate(run)


def measure(lab: Lab, spec: LoopSpec, candidate: Candidate, seed: int) -> Run:
    """One measurement, stored, or the one that is stored already; one that the machine failed is repeated once."""
    key = key_of(spec, candidate.id, seed)
    known = lab.store.find_run(key)
    if known is not None:
        return known
    if lab.stop.is_set():
        raise Stopped("stopped before everything was measured on fresh seeds")
    options = next(rung.options for rung in spec.task.rungs if rung.name == spec.top)
    for _ in range(2):
        run = checked(spec.task, lab.without_secrets(spec.task.run(candidate, Bench(lab, spec.top, 0, seed, options))))
        if run.status is not Status.INFRASTRUCTURE:
            lab.store.add_run(key, run)
            return run
        if lab.stop.is_set():
            raise Stopped("stopped during a measurement on a fresh seed")
    raise HarnessError(f"the machine failed a measurement on a fresh seed twice: {failure_reason(run)}")
