"""Guardrails over all that was measured of a candidate: who breaks one with a further seed is out, for good.

Each trial's own runs of its candidate must hold the guardrails (`facts.status_of`). But a candidate is run again: on
further seeds as the parent of others, or on purpose. What it shows there counts with all that was known of it. The
baseline is never out: the search has nothing else to go back to, and a claim holds it against the guardrails itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bilevel.facts import scoring_runs
from bilevel.guardrails import breach
from bilevel.rules import Rule
from bilevel.trace import Trace
from bilevel.trial import Fallen, Run, Status, Trial

OVER_ALL_RUNS = 3  # the version of the rules from which on all runs of a candidate count together


def why_out(rule: Rule | None, trace: Trace, candidate_id: str, runs: Sequence[Run], top: str) -> str:
    """Why a candidate is out, once it has these further runs; empty where it is not, or where the rules do not ask."""
    start = trace.baseline
    if rule is None or rule.version < OVER_ALL_RUNS or start is None or not trace.objective.guardrails:
        return ""
    if candidate_id == start.candidate.id or candidate_id in trace.out:
        return trace.out.get(candidate_id, "")
    seen = {run.seed: run for run in (*trace.runs_of(candidate_id, top), *scoring_runs(runs, top))}
    broken = breach(trace.objective.guardrails, [*seen.values()], scoring_runs(start.runs, top), rule.version)
    return broken.reason if broken else ""


def with_fallen(rule: Rule | None, trace: Trace, trial: Trial, top: str) -> Trial:
    """A trial that was run, with those who are out by what it measured; one whose own candidate is out has no score.

    A candidate that breaks a guardrail in the first trial that measures it never had a place: it does not fall.
    """
    own = why_out(rule, trace, trial.candidate.id, trial.runs, top) if _again(trace, trial) else ""
    parent = why_out(rule, trace, trial.parent.id, trial.parent_runs, top) if trial.parent_runs else ""
    fallen = tuple(_new(trace, ((trial.candidate.id, own), (trial.parent.id, parent))))
    if own and trial.status is Status.OK:
        trial = replace(trial, status=Status.GUARDRAIL, score=None, reason=own)
    return replace(trial, fallen=fallen)


def _again(trace: Trace, trial: Trial) -> bool:
    """Whether a trial measured a candidate that an earlier one had measured."""
    return bool(trial.runs and trace.measured(trial.candidate.id))


def _new(trace: Trace, found: Sequence[tuple[str, str]]) -> Iterator[Fallen]:
    for candidate, reason in found:
        if reason and candidate not in trace.out:
            yield Fallen(candidate, reason)
