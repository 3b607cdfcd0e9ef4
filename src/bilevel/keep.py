"""The default keep rule: what it plans, and whether a trial takes the place of its parent (see `rules.py`)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from bilevel.evidence import forks_of, verdict
from bilevel.holding import why_out
from bilevel.noise import Noise, estimate
from bilevel.rules import Rule, mean
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Step, Trial

LONG_PROBATION = 6  # forks after which a mechanism that shows no sign of help has to go
MOST_REPEATS = 8


# ---- what is run ----


def first_steps(rule: Rule | None, trace: Trace, proposal: Proposal, top: str) -> tuple[Step, ...]:
    """The plan of a trial before anything is known of it: the top rung, or fresh seeds for what is repeated."""
    if not proposal.repeats:
        return tuple(Step(top, seed) for seed in range(1 if rule is None else rule.under(trace.noise).at_once))
    fresh = (seed for seed in count() if seed not in _done(trace, proposal))
    return tuple(Step(top, next(fresh)) for _ in range(min(proposal.repeats, MOST_REPEATS)))


def next_steps(
    rule: Rule | None, trace: Trace, proposal: Proposal, parent: Candidate,
    runs: Sequence[Run], parent_runs: Sequence[Run], top: str,
) -> tuple[Step, ...]:  # fmt: skip
    """What a keep rule runs once nothing is left of the plan: a candidate that leads gets one more seed, and its parent
    the seeds that it lacks. `trace` is what the trial saw, `runs` and `parent_runs` what it has measured so far."""
    stands, again = trace.of(parent.id), proposal.repeats and trace.scores(proposal.candidate.id)
    if rule is None or again or stands is None or stands.score is None:
        return ()
    mine, theirs = _scores(runs, top, trace), {**trace.scores(parent.id), **_scores(parent_runs, top, trace)}
    gains = [trace.objective.gain(theirs[seed], mine[seed]) for seed in mine if seed in theirs]
    noise = _noise(rule, trace, parent, parent_runs, mine)
    if len(mine) == len(gains) == 1 and rule.looks(gains, noise, trace.repeated):
        known = mine.keys() | theirs.keys() | trace.scores(trace[0].candidate.id).keys()
        return (Step(top, next(seed for seed in count() if seed not in known)),)
    rule = rule.under(noise)
    if not mine or rule.depth < 2 or any(run.status is not Status.OK for run in parent_runs):
        return ()
    if why_out(rule, trace, parent.id, parent_runs, top):
        return ()  # there is nobody to race against
    lacking = [seed for seed in mine if seed not in theirs]
    simpler = is_simpler(proposal.candidate, parent, trace[0].candidate)
    if gains and not rule.under(noise, gains).goes_on(gains, noise, simpler):
        return ()
    if lacking:
        return (Step(top, lacking[0], of_parent=True),)
    return (Step(top, next(seed for seed in count() if seed not in _done(trace, proposal) | mine.keys())),)


def _done(trace: Trace, proposal: Proposal) -> set[int]:
    """The seeds on which a candidate was run, whatever came of it."""
    name = proposal.candidate.id
    return {run.seed for trial in trace.measured(name) for run in trial.runs} | trace.scores(name).keys()


def with_rule(rule: Rule | None, trace: Trace, trial: Trial) -> Trial:
    """A trial that was run, with its keep rule: the depth is the one that it took, by what it saw."""
    if rule is None:
        return replace(trial, rule=None)
    seen = trace.upto(trial.sees) if rule.version > 1 else trace
    mine = _scores(trial.runs, trial.runs[-1].rung, seen) if trial.runs else {}
    gains = [gain for seed, gain in seen.gains_of(replace(trial, rule=rule)).items() if seed in mine]
    took = rule.under(_noise(rule, seen, trial.parent, trial.parent_runs, mine), gains)
    return replace(trial, rule=Rule(took.name, took.depth))


def _noise(
    rule: Rule, trace: Trace, parent: Candidate, parent_runs: Sequence[Run], mine: Mapping[int, float]
) -> Noise:  # fmt: skip
    """The noise; where nothing is known of it, what repeats of the parent within this trial say; and where no seed had
    moved a score before this trial, what its own seeds say."""
    if rule.version > 1 and trace.noise.deterministic and len({*mine.values()}) > 1:
        return estimate([*mine.values()])
    if not parent_runs or trace.noise.of_difference[1]:
        return trace.noise
    return estimate([*{**_scores(parent_runs, parent_runs[-1].rung, trace), **trace.scores(parent.id)}.values()])


def _scores(runs: Sequence[Run], rung: str, trace: Trace) -> dict[int, float]:
    metric = trace.objective.name
    return {run.seed: run.metrics[metric] for run in runs if run.rung == rung and run.metrics is not None}


# ---- what is kept ----


def keep_by_default(trace: Trace, trial: Trial) -> Decision:
    """Against the parent, on the seeds that both share, by the trial's keep rule; without one, by the noise margin.

    A relative score is a gain already and compared with 0.
    """
    if trial.score is None:
        return Decision(False, trial.reason or trial.status.value)
    if trial.number == 0:
        return Decision(True, "the baseline")
    if trace.objective.relative:
        return _keep_relative(trace, trial, trial.score)
    parent, gain = trace.of(trial.parent.id), trace.gain_of(trial)
    if parent is None or gain is None:
        return Decision(True, "its parent has no score")
    if instead := trace.instead(trial):
        return _keep_instead(trace, trial, instead)
    than = f"its parent (trial {parent.number})"
    if trial.rule is None:
        return _verdict(gain, trace.noise.margin, than)
    if trial.candidate.id == trial.parent.id:
        return Decision(False, f"{than}, measured again")
    return _keep_by_rule(trace, trial, trial.rule, gain, than)


def _keep_by_rule(trace: Trace, trial: Trial, rule: Rule, gain: float, than: str) -> Decision:
    """By the paired gains, one per seed; by the gain of the mean scores where no seed is shared."""
    noise, gains = _noise(rule, trace, trial.parent, trial.parent_runs, {}), [*trace.gains_of(trial).values()] or [gain]
    if _ties(trace, trial, rule, gains, noise):
        behind = f" within the noise ({-gain:.4g} worse over {_seeds(gains)})" if gain else ""
        return Decision(True, f"equal to {than}{behind}, and simpler")
    if rule.depth == 1:
        return _verdict(gain, noise.margin if rule.name == "margin" else None, than)
    if rule.keeps(gains, noise):
        return Decision(True, _ahead(gains, than))
    lost = next((run for run in trial.parent_runs if run.status is not Status.OK), None)
    if lost is not None and gain > 0:
        return Decision(True, f"{_ahead(gains, than)}; on seed {lost.seed} its parent failed ({lost.status.value})")
    if gain > 0:
        return Decision(False, f"{_ahead(gains, than)}, but not run on the {rule.depth} seeds that it takes")
    return Decision(False, f"dropped at seed {len(gains)} of {rule.depth}: {_behind(gain, than)}{_average(gains)}")


def _keep_instead(trace: Trace, trial: Trial, best: Trial) -> Decision:
    """Against the best that holds the guardrails, each by its mean gain over the baseline: the parent holds them no
    more, so it is nothing that others have to beat."""
    margin = trace.noise.margin if trial.rule is not None and trial.rule.name == "margin" else None
    known = {**trace.out, **{one.candidate: one.reason for one in trial.fallen}}
    found = _verdict(trace.lead(trial, best), margin, f"trial {best.number}, the best that holds them,")
    return replace(found, reason=f"its parent is out ({known[trial.parent.id]}); {found.reason}")


def _ties(trace: Trace, trial: Trial, rule: Rule, gains: Sequence[float], noise: Noise) -> bool:
    """Whether a trial is equal to its parent within the noise, on all the seeds that the rule takes, and simpler.

    It must be equal to the incumbent too, so that many small losses do not add up.
    """
    if len(gains) < rule.depth or not rule.ties(gains, noise):
        return False
    if not is_simpler(trial.candidate, trial.parent, trace[0].candidate):
        return False
    best = trace.incumbent
    if best is None or best.candidate.id == trial.parent.id:
        return True
    theirs, mine = trace.scores(best.candidate.id), _scores(trial.runs, trial.runs[-1].rung, trace)
    lead = [trace.objective.gain(theirs[seed], mine[seed]) for seed in mine if seed in theirs]
    return bool(lead) and (mean(lead) > 0 or rule.ties(lead, noise))


def is_simpler(one: Candidate, other: Candidate, baseline: Candidate) -> bool:
    """Whether a candidate is closer to the baseline: it changes fewer parameters, or fewer lines, and no more of the
    other kind."""
    mine, theirs = _size(one, baseline), _size(other, baseline)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _size(candidate: Candidate, baseline: Candidate) -> tuple[int, int]:
    """How many parameters differ from the baseline's, and how many lines of files are in one of the two only."""
    lines = 0
    for path in candidate.files_changed_from(baseline):
        old, new = (Counter(one.files.get(path, "").splitlines()) for one in (baseline, candidate))
        lines += ((old - new) + (new - old)).total()
    return len(candidate.changes_from(baseline)), lines


def _ahead(gains: Sequence[float], than: str) -> str:
    better = sum(gain > 0 for gain in gains)
    return f"better than {than} on {better} of {_seeds(gains)} by {mean(gains):.4g}{_average(gains)}"


def _behind(gain: float, than: str) -> str:
    return f"{-gain:.4g} worse than {than}" if gain else f"equal to {than}"


def _average(gains: Sequence[float]) -> str:
    return " on average" if len(gains) > 1 else ""


def _seeds(gains: Sequence[float]) -> str:
    return f"{len(gains)} seed{'s' if len(gains) > 1 else ''}"


# ---- loops of loops ----


def _keep_relative(trace: Trace, trial: Trial, gain: float) -> Decision:
    """What a loop as a task says of its run: the innermost margin, why a gain is not credited, who wins a tie."""
    data = trial.runs[-1].data
    left_out = any(test["sign"] < 0 for test in data.get("tests", ()))
    if left_out and trial.proposal.notes.get("probation"):  # the note alone anybody can write
        return _keep_ablation(trace, trial)
    if data.get("discredit"):
        return Decision(False, str(data["discredit"]))
    if data.get("simpler") and gain == 0:
        return Decision(True, "equal to its control, and simpler")
    return _verdict(gain, float(data.get("margin", 0.0)), "its control" if data.get("control") else "the cycle's start")


def _keep_ablation(trace: Trace, trial: Trial) -> Decision:
    """Whether a mechanism on probation, left out in this fork, stays out: on the evidence of all its forks, not one."""
    test = trial.runs[-1].data["tests"][0]
    forks = forks_of([*trace, trial], test["mechanism"], test["source"])
    found = verdict(forks)
    if found.word == "hurt":
        return Decision(True, f"rolled back on evidence: {test['mechanism']} {found.sentence}")
    if len(forks) >= LONG_PROBATION and found.effect <= 0:
        return Decision(True, f"retired: no sign that {test['mechanism']} helps; {found.sentence}")
    return Decision(False, f"{test['mechanism']} stays on probation: {found.sentence}")


def _verdict(gain: float, margin: float | None, than: str) -> Decision:
    if gain > (margin or 0.0):
        said = "" if margin is None else f" (margin {margin:.3g})"
        return Decision(True, f"better than {than} by {gain:.4g}{said}")
    if gain > 0:
        return Decision(False, f"better than {than} by {gain:.4g}, within the noise margin of {margin:.3g}")
    return Decision(False, f"not better than {than} ({-gain:.4g} worse)" if gain else f"equal to {than}")
