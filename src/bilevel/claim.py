"""What a run may claim at its end, and what to measure next to know it: pure functions of what was measured.

The answer (at first the incumbent) and the baseline are measured in rounds, each on one fresh seed for all that takes
part in it; so is the answer without each of the changes that led to it. What takes part in a round is settled before
the round, so each pair says something of its own. With it come the claims:

- *the answer is better than the baseline*: confirmed where its e-value is at least 20;
- *this change helps*, for each change: confirmed where e-BH over all changes says so, and the answer is confirmed.

So without any real effect the chance of anything being confirmed is at most 5 % per run. A change is *refuted* where,
after at least `least` pairs and at any later look, the answer is on average no better with it than without it: a tie
goes to the simpler (of several at once: see `rollback.py`). A refuted change is rolled back, and the answer without it
is the new answer, with pairs of its own on seeds of its own. It starts with what the old one's evidence is worth, at
most 1 and never more than an earlier start, so rolling back is no second chance. The answer itself is refuted in the
same way; then the baseline is the answer. All else is *provisional*.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bilevel.budget import Cost
from bilevel.eprocess import CONFIRMED, e_bh, e_value, interval
from bilevel.rollback import (
    ANSWER,
    BASELINE,
    GUARDED,
    VERSION,
    WITHOUT,
    KeptChange,
    Question,
    Round,
    Score,
    State,
    state_after,
)
from bilevel.space import Candidate
from bilevel.trace import Trace
from bilevel.trial import Trial

ENOUGH = 6  # rounds that settle a claim where the effect is large
ONLY_CHANGE = "the only change: its pairs are the answer's"
PROVISIONAL, STANDS, REFUTED = "provisional", "confirmed", "refuted"  # statuses


@dataclass(frozen=True)
class Allowance:
    """How far to go: rounds, and measurements (None: as many as the rounds take).

    The first `least` pairs of an answer are always taken.
    """

    rounds: int
    measurements: int | None = None


@dataclass(frozen=True)
class Claim:
    """One claim and what it rests on. `gains` are the paired gains, positive is better with what is claimed.

    `trial` is empty for the answer. `note` says why there is nothing to see, where there is not.
    """

    trial: str
    status: str
    gains: tuple[float, ...]
    e_value: float
    note: str = ""

    @property
    def effect(self) -> float | None:
        """The mean gain."""
        return sum(self.gains) / len(self.gains) if self.gains else None


@dataclass(frozen=True)
class Standing:
    """How the claims stand after some rounds. `kept` are the changes in the answer."""

    answer: Candidate
    kept: tuple[KeptChange, ...]
    whole: Claim
    changes: tuple[Claim, ...]


def changes_between(
    trace: Trace, incumbent: Trial, branch: str = "root", version: int = VERSION
) -> tuple[KeptChange, ...]:
    """The changes from the baseline to the incumbent, each with the trial that made it last; the oldest first.

    `version` 1, of older stages, takes later seeds of both into the gain over the parent.
    """
    baseline = trace.baseline
    if baseline is None:
        return ()
    start, left = baseline.candidate, incumbent.candidate
    params, files = set(left.changes_from(start)), set(left.files_changed_from(start))
    found: list[KeptChange] = []
    for trial in _way(trace, incumbent):
        own = params & set(trial.candidate.changes_from(trial.parent))
        texts = files & set(trial.candidate.files_changed_from(trial.parent))
        if own or texts:
            place = f"{branch}#{trial.number}"
            gain = (trace.upto(trial.number) if version > 1 else trace).gain_of(trial)
            found.append(KeptChange(place, tuple(sorted(own)), tuple(sorted(texts)), gain))
        params, files = params - own, files - texts
    if params or files:  # where the way is broken: what no trial on it accounts for
        found.append(KeptChange(f"{branch}#{incumbent.number}", tuple(sorted(params)), tuple(sorted(files))))
    return tuple(reversed(found))


def _way(trace: Trace, incumbent: Trial) -> Iterator[Trial]:
    """The trials from the incumbent back to the baseline."""
    trial: Trial | None = incumbent
    while trial is not None and trial.number > 0:
        yield trial
        before = trace.of(trial.parent.id)
        trial = before if before is not None and before.number < trial.number else None


# ---- how the claims stand ----


def who_may_be_asked(question: Question, rounds: Sequence[Round], score: Score) -> dict[str, Candidate]:
    """The candidates that may take part in the round after these, by id."""
    state = state_after(question, rounds, score)
    answer = question.without(state.refuted)
    apart = [change.taken_from(answer, question.baseline) for change in question.changes]
    apart.append(question.without(state.refuted | state.group))
    return {candidate.id: candidate for candidate in (question.baseline, answer, *apart)}


def standing(question: Question, rounds: Sequence[Round], score: Score) -> Standing:
    """The claims after complete rounds."""
    state = state_after(question, rounds, score)
    sure = state.e_value >= CONFIRMED and not state.failed
    status = REFUTED if state.lost else STANDS if sure else PROVISIONAL
    whole = Claim("", status, state.pairs, state.e_value, _failures(question, state))
    only = _only(question, state)
    values = [state.e_value if change == only else e_value(state.of(change)) for change in question.changes]
    claims = [
        _claim(state, change, value, chosen and sure)
        for change, value, chosen in zip(question.changes, values, e_bh(values), strict=True)
    ]
    if only is not None:
        claims = [
            replace(claim, gains=state.pairs, note=ONLY_CHANGE) if claim.trial == only.trial else claim
            for claim in claims
        ]
    out = frozenset(change.trial for change in question.changes) if state.lost else state.refuted
    kept = tuple(change for change in question.changes if change.trial not in out)
    answer = question.baseline if state.lost else question.without(state.refuted)
    return Standing(answer, kept, whole, tuple(claims))


def _only(question: Question, state: State) -> KeptChange | None:
    """The change that is all of the answer: the answer without it is the baseline, which is measured beside it.

    None where others were taken back and it has pairs from before: these say more.
    """
    left = [change for change in question.changes if change.trial not in state.refuted]
    if question.version < GUARDED or state.lost or not state.pairs or len(left) != 1:
        return None
    if len(question.changes) > 1 and state.of(left[0]):
        return None
    alone = left[0].taken_from(question.without(state.refuted), question.baseline)
    return left[0] if alone.id == question.baseline.id else None


def _failures(question: Question, state: State) -> str:
    """What is to be said of rounds in which the answer, or the baseline beside it, failed."""
    found = []
    if state.failed and not state.lost:
        found.append(f"it failed on {_seeds(state.failed)}, so it is not confirmed")
    if question.version > 1 and state.void:
        found.append(f"the baseline failed on {_seeds(state.void)}")
    if question.version > 1 and found:
        found.append("mean and interval are of the seeds on which both have a score")
    return "; ".join(found)


def _seeds(count: int) -> str:
    return "a fresh seed" if count == 1 else f"{count} fresh seeds"


def _claim(state: State, change: KeptChange, value: float, sure: bool) -> Claim:
    gone = state.lost or change.trial in state.refuted
    note = state.notes.get(change.trial, "")
    if state.lost and change.trial not in state.refuted:
        note = "rolled back with the whole answer"
    status = REFUTED if gone else STANDS if sure else PROVISIONAL
    return Claim(change.trial, status, state.of(change), value, note or ("" if state.of(change) else "not measured"))


# ---- what to measure next ----


def next_round(
    question: Question, rounds: Sequence[Round], begun: int, score: Score, allowed: Allowance
) -> Round | None:
    """Who is to be measured on the next fresh seed; None where nothing more is to be known, or allowed.

    The allowance is for the rounds from number `begun` on. All that takes part is settled by the rounds before.
    """
    state = state_after(question, rounds, score)
    if state.lost or question.incumbent.id == question.baseline.id:
        return None
    answer, own = question.without(state.refuted), rounds[begun:]
    two = {ANSWER: answer.id, BASELINE: question.baseline.id}
    least = len(state.pairs) + state.failed + state.void < question.least
    spent = sum(len(set(each.arms.values())) for each in own)
    left = None if allowed.measurements is None else allowed.measurements - spent
    if len(own) >= allowed.rounds or (left is not None and left < 2):
        return Round(question.first + len(rounds), two) if least else None
    if len(state.group) > 1:  # whatever comes of it, this answer is given up
        rest = question.without(state.refuted | state.group)
        return Round(question.first + len(rounds), {ANSWER: answer.id, state.group_role: rest.id})
    first = two if state.e_value < CONFIRMED else {ANSWER: answer.id}
    arms = {**first, **_ablations(question, state, answer, len(first), left)}
    return Round(question.first + len(rounds), arms) if len(arms) > 1 else None


def _ablations(question: Question, state: State, answer: Candidate, others: int, left: int | None) -> dict[str, str]:
    """The changes that are measured next: those under way, and as many new ones as ENOUGH rounds can be paid for."""
    sure = e_bh([e_value(state.of(change)) for change in question.changes])
    apart = {
        change: change.taken_from(answer, question.baseline)
        for change, known in zip(question.changes, sure, strict=True)
        if not known and change.trial not in state.refuted and change.trial not in state.notes
    }
    wanted = [change for change, candidate in apart.items() if not question.barred(candidate)]
    wanted.sort(key=lambda change: (-len(state.of(change)), -(change.gain or 0.0)))
    known = len(state.pairs) if state.e_value < CONFIRMED and question.version > 1 else ENOUGH
    answers, chosen = ENOUGH - known, dict[str, str]()  # the answer's own pairs come first
    for change in wanted:
        rounds = max(1, ENOUGH - len(state.of(change)), answers)
        if left is None or rounds * (others + len(chosen) + 1) <= left:
            chosen[WITHOUT + change.trial] = apart[change].id
    return chosen


# ---- what a report says of it ----


@dataclass(frozen=True)
class Said:
    """A claim in numbers, in the objective's unit: the mean gain, the interval that the pairs leave, the e-value.

    `low` and `high` bound the effect (see `eprocess.interval`); None where that side is open. `changes` are old and new
    values by parameter, `files` the names of edited files; `trial` is empty for the answer as a whole.
    """

    trial: str
    status: str
    effect: float | None
    low: float | None
    high: float | None
    pairs: int
    e_value: float
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Claimed:
    """What the claim stage of a run came to so far.

    `skipped` says why nothing was measured, and which guardrail the answer broke where it was looked at. `answer` is
    the id of the final answer, `incumbent` that of the best seen candidate; `mean` is the answer's over
    `seeds` fresh seeds. `paired` and `baseline` are means over the pairs of `whole`, whose effect is their difference:
    of the answer (of what was found, where that was refuted) and of the baseline; None without pairs.
    `regret`: the true mean of the answer against the optimum, where the task knows both.
    `complete`: nothing more is to be measured within what was allowed.
    """

    incumbent: str
    answer: str
    skipped: str
    complete: bool
    mean: float | None
    baseline: float | None
    seeds: int
    whole: Said
    changes: tuple[Said, ...]
    kept: Mapping[str, tuple[Any, Any]]
    kept_files: tuple[str, ...]
    cost: Cost
    regret: float | None = None
    paired: float | None = None
    sealed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # baseline, answer -> metric -> value


def said(claim: Claim, change: KeptChange | None, incumbent: Candidate, baseline: Candidate) -> Said:
    """A claim as a report says it; `change` is None for the answer."""
    low, high = interval(claim.gains)
    own = change.params if change else ()
    changes = {name: (baseline.params[name], incumbent.params[name]) for name in own}
    return Said(
        claim.trial, claim.status, claim.effect, low, high, len(claim.gains), claim.e_value, changes,
        change.files if change else (), claim.note,
    )  # fmt: skip
