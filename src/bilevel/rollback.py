"""Which changes a claim stage takes back: how its claims stand after each round, as a pure function of the scores.

`claim.py` says what is claimed, and what to measure next.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import variance

from bilevel.eprocess import e_value
from bilevel.objective import Objective
from bilevel.space import Candidate

BASELINE, ANSWER, WITHOUT = "baseline", "answer", "without "  # who takes part in a round
VERSION = 3  # of the rules of the stage; it goes on with those that it began with
GUARDED = 3  # the version from which on guardrails count on fresh seeds, and an only change is what the answer is

Score = Callable[[str, int], float | None]  # a candidate's id and a round's number -> its score; None: it failed


@dataclass(frozen=True)
class KeptChange:
    """What one trial on the way from the baseline to the incumbent changed and no later one changed again.

    `trial` is branch#number. `gain`: over its parent when it was tried, in the objective's unit.
    """

    trial: str
    params: tuple[str, ...]
    files: tuple[str, ...] = ()
    gain: float | None = None

    def taken_from(self, candidate: Candidate, baseline: Candidate) -> Candidate:
        """The candidate without this change: its parameters and files are the baseline's again."""
        params = {**candidate.params, **{name: baseline.params[name] for name in self.params}}
        files = {name: text for name, text in candidate.files.items() if name not in self.files}
        files |= {name: baseline.files[name] for name in self.files if name in baseline.files}
        return Candidate(params, files)


@dataclass(frozen=True)
class Round:
    """One fresh seed, by its place in the list of claim seeds, and who is measured on it: role -> candidate's id."""

    seed: int
    arms: Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """What is to be known of a run. `barred` says why a candidate cannot be measured; "" where it can.

    `version` 1 takes all changes of no help back at once, as older stages did; for 3 see `GUARDED`.
    """

    objective: Objective
    baseline: Candidate
    incumbent: Candidate
    changes: tuple[KeptChange, ...]
    least: int = 3
    first: int = 0  # the place of the first seed: those before it served another incumbent
    barred: Callable[[Candidate], str] = lambda candidate: ""
    version: int = VERSION

    def without(self, trials: frozenset[str]) -> Candidate:
        """The incumbent without the changes of some trials."""
        found = self.incumbent
        for change in self.changes:
            if change.trial in trials:
                found = change.taken_from(found, self.baseline)
        return found


# ---- how the claims stand ----


@dataclass(frozen=True)
class State:
    """After some rounds: the changes that are rolled back, and the paired gains so far.

    `lost`: the answer is no better than the baseline. `start`: with what this answer's evidence began; `pairs` are its
    own. `before`: what was rolled back before the last time. `notes`, by trial: why a change is not measured. `stale`,
    by trial: how many of its gains are beside an answer that has been rolled back since, and say nothing any more.
    `group`: changes of no help beside the others, under a look together; `together`: gains of the answer over the
    answer without all of them.
    """

    refuted: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    lost: bool = False
    start: float = 1.0
    pairs: tuple[float, ...] = ()
    gains: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    stale: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0  # rounds in which this answer failed
    void: int = 0  # rounds in which the baseline failed beside it
    group: frozenset[str] = frozenset()
    together: tuple[float, ...] = ()

    @property
    def e_value(self) -> float:
        """The evidence for the answer."""
        return self.start * e_value(self.pairs)

    @property
    def group_role(self) -> str:
        return WITHOUT + ", ".join(sorted(self.group))

    def of(self, change: KeptChange) -> tuple[float, ...]:
        return self.gains.get(change.trial, ())

    def beside_this_answer(self, change: KeptChange) -> tuple[float, ...]:
        return self.of(change)[self.stale.get(change.trial, 0) :]

    @property
    def spread(self) -> float:
        """The standard deviation of a paired gain, pooled over all that are known."""
        known = [gains for gains in (*self.gains.values(), self.pairs, self.together) if len(gains) > 1]
        degrees = sum(len(gains) - 1 for gains in known)
        return math.sqrt(sum(variance(gains) * (len(gains) - 1) for gains in known) / degrees) if degrees else 0.0


def state_after(question: Question, rounds: Sequence[Round], score: Score) -> State:
    """What complete rounds say, round by round."""
    state = State()
    for each in rounds:
        state = _paired(question, state, each, score)
        state = _rolled_back(question, state) if question.version > 1 else _all_rolled_back(question, state)
    return state


def _paired(question: Question, state: State, each: Round, score: Score) -> State:
    """The state with the pairs of a round."""
    scores = {role: score(candidate, each.seed) for role, candidate in each.arms.items()}
    answer, base = scores[ANSWER], scores.get(BASELINE)
    if answer is None:
        return _broken(state)
    void = state.void + (BASELINE in scores and base is None)
    pairs = state.pairs if base is None else (*state.pairs, question.objective.gain(base, answer))
    gains, notes = dict(state.gains), dict(state.notes)
    for change in question.changes:
        role = WITHOUT + change.trial
        if role in scores and scores[role] is None:
            notes[change.trial] = "without it the candidate fails"
        elif role in scores:
            gains[change.trial] = (*state.of(change), question.objective.gain(scores[role] or 0.0, answer))
    state = replace(state, pairs=pairs, gains=gains, notes=notes, void=void)
    if len(state.group) < 2 or state.group_role not in scores:
        return state
    without = scores[state.group_role]
    if without is None:  # taken back together, the candidate fails
        return replace(state, group=frozenset({_worst(question, state)}))
    return replace(state, together=(*state.together, question.objective.gain(without, answer)))


def _broken(state: State) -> State:
    """The answer failed: what was rolled back last is needed, and the answer before it gets pairs of its own."""
    if state.refuted == state.before:
        return replace(state, failed=state.failed + 1)
    back = {trial: "taken back with others, the candidate fails" for trial in state.refuted - state.before}
    start = min(state.start, state.e_value)
    return replace(
        state,
        refuted=state.before,
        start=start,
        pairs=(),
        notes={**state.notes, **back},
        group=frozenset(),
        together=(),
    )


def _rolled_back(question: Question, state: State) -> State:
    """The state without the changes that turn out to be of no help now.

    One is taken back at once. Of several that may do the same, none helps as long as the others are there: so the
    answer without all of them is measured, and only where it is no worse, all are taken back; else the worst alone,
    and the others are looked at anew, beside the new answer.
    """
    state = _with_group(question, state)
    if not state.group:
        lost = len(state.pairs) >= question.least and sum(state.pairs) <= 0
        return state if lost == state.lost else replace(state, lost=lost)
    needed = _needed(question, state)
    if needed is None:
        return state
    group = frozenset({_worst(question, state)}) if needed else state.group
    refuted = state.refuted | group
    lost = question.without(refuted).id == question.baseline.id
    everything = {trial: len(gains) for trial, gains in state.gains.items()}
    if lost and len(group) == 1 and sum(state.pairs) > 0:  # the only one left, and the answer is better
        return replace(state, group=frozenset(), together=(), stale=everything)
    with_others = {trial: f"taken back with {len(group) - 1} more" for trial in group if len(group) > 1}
    return replace(
        state, refuted=refuted, before=state.refuted, lost=lost, start=min(state.start, state.e_value), pairs=(),
        notes={**state.notes, **with_others}, stale=everything if state.group - group else state.stale,
        failed=0, void=0, group=frozenset(), together=(),
    )  # fmt: skip


def _with_group(question: Question, state: State) -> State:
    """The state with the changes of no help as a group, where there is none yet."""
    if state.group:
        return state
    notes, group = dict(state.notes), set[str]()
    for change in question.changes:
        gains = state.beside_this_answer(change)
        if change.trial in state.refuted or change.trial in notes or len(gains) < question.least or sum(gains) > 0:
            continue
        reason = question.barred(question.without(state.refuted | {change.trial}))
        if reason:
            notes[change.trial] = f"cannot be taken back: {reason}"
        else:
            group.add(change.trial)
    if not group and notes == state.notes:
        return state
    found = replace(state, notes=notes, group=frozenset(group))
    if len(group) > 1 and question.barred(question.without(state.refuted | group)):
        return replace(found, group=frozenset({_worst(question, found)}))
    return found


def _needed(question: Question, state: State) -> bool | None:
    """Whether the answer is worse without a group of changes; None where one more pair is to say so.

    It is, where the mean gain is above two standard errors, or above one after `least` pairs; it is not, where the mean
    is not above 0 at any look. The bar is low on both sides: what is taken back in error is lost, and what stays in
    error is looked at again. Where nothing else is in the answer, it is needed if the answer is better than the
    baseline at all.
    """
    if len(state.group) == 1:
        return False
    bare = question.without(state.refuted | state.group).id == question.baseline.id
    gains = (*state.pairs, *state.together) if bare else state.together
    if not gains or (bare and len(gains) < question.least):
        return None
    mean, error = sum(gains) / len(gains), state.spread / math.sqrt(len(gains))
    if bare or mean <= 0 or mean > 2 * error:
        return mean > 0
    return mean > error if len(gains) >= question.least else None


def _worst(question: Question, state: State) -> str:
    """The trial of the change in the group with the lowest mean gain beside this answer."""
    ranked = [
        (sum(gains) / len(gains), change.trial)
        for change in question.changes
        if change.trial in state.group and (gains := state.beside_this_answer(change))
    ]
    return min(ranked, key=lambda one: one[0])[1]


def _all_rolled_back(question: Question, state: State) -> State:
    """The same as older stages did it: all at once.

    Where none is of help beside the others, yet the answer is better than the baseline, one of them stays and is looked
    at anew: of changes that do the same, none helps as long as another one is there.
    """
    refuted, notes = state.refuted, dict(state.notes)
    for change in question.changes:
        gains = state.beside_this_answer(change)
        if change.trial in refuted or change.trial in notes or len(gains) < question.least or sum(gains) > 0:
            continue
        reason = question.barred(question.without(refuted | {change.trial}))
        if reason:
            notes[change.trial] = f"cannot be taken back: {reason}"
        else:
            refuted |= {change.trial}
    if refuted != state.refuted:
        stale: Mapping[str, int] = state.stale
        if question.without(refuted).id == question.baseline.id and sum(state.pairs) > 0:
            left = [change for change in question.changes if change.trial in refuted - state.refuted]
            stays = max(left, key=lambda change: sum(state.of(change)) / len(state.of(change)))
            refuted, stale = refuted - {stays.trial}, {trial: len(gains) for trial, gains in state.gains.items()}
        if refuted == state.refuted:
            return replace(state, notes=notes, stale=stale)
        lost = question.without(refuted).id == question.baseline.id
        start = min(state.start, state.e_value)
        return replace(
            state, refuted=refuted, before=state.refuted, lost=lost, start=start, pairs=(), notes=notes, stale=stale,
            failed=0, void=0,
        )  # fmt: skip
    lost = len(state.pairs) >= question.least and sum(state.pairs) <= 0
    return replace(state, notes=notes, lost=lost)
