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
from bilevel.trial import Run, Status

COMPARISON, CLAIM = "comparison", "claim"  # streams


def fresh_seed(spec: LoopSpec, stream: str, index: int) -> int:
    """A seed of the innermost loop `spec` that no search uses; the same for all recipes with its seed."""
    return derive_seed(spec.seed, stream, index)


def key_of(spec: LoopSpec, candidate: str, seed: int) -> RunKey:
    """Under which a measurement on the top rung is stored; `candidate` is an id."""
    return RunKey(spec.task.harness, candidate, spec.top, seed)


def deterministic(records: Records, spec: LoopSpec) -> bool:
    """Whether the baseline's repeats were all equal: then fresh seeds tell nothing new."""
    branch = next((branch for branch in records.branches() if branch.level == spec.name), None)
    trials = records.trials(branch.id) if branch is not None else ()
    return bool(trials) and (Trace(spec.task.objective) + trials[0]).noise.deterministic


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
