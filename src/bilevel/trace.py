"""The trace: the append-only history of one branch of a search, and the questions one asks of it."""

from collections.abc import Container, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, overload

from bilevel.acts import UNSTEERED, Act, Steering
from bilevel.codec import content_hash
from bilevel.noise import Noise, Repeats, of_baseline
from bilevel.objective import Objective
from bilevel.rules import Rule, mean
from bilevel.space import Candidate
from bilevel.trial import Count, Lesson, Run, Status, Trial, merge

NOTHING: Mapping[str, str] = MappingProxyType({})


class After(NamedTuple):
    """A trial, and how a trace stands after it."""

    trial: Trial
    incumbent: Trial | None
    current: Candidate
    state: str | None
    told: Mapping[str, str]
    lessons: tuple[Lesson, ...]
    scores: Mapping[int, float]  # of the trial's candidate so far, by seed of the top rung
    repeats: Repeats  # of all candidates so far
    part: Repeats  # what the trial's candidate has of these
    steering: Steering = UNSTEERED
    out: Mapping[str, str] = NOTHING


NOTHING_TOLD = NOTHING


class Trace:
    """An immutable sequence of trials, numbered from 0.

    `trace + trial` takes constant time and shares memory with `trace`: both look at one list and know how much of it
    is theirs. Adding to a trace that something was already added to makes a copy.
    """

    __slots__ = ("_acts", "_all", "_length", "_measured", "_scored", "objective")

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._all: list[After] = []
        self._measured: dict[str, tuple[int, ...]] = {}  # candidate id -> numbers of the trials that measured it
        self._scored: dict[str, tuple[int, ...]] = {}  # candidate id -> numbers of the trials that hold scores of it
        self._length = 0
        self._acts: tuple[Act, ...] = ()

    def __add__(self, trial: Trial) -> "Trace":
        if trial.number != self._length:
            raise ValueError(f"trial {trial.number} cannot follow {self._length} trials")
        new = Trace(self.objective)
        if len(self._all) == self._length:
            new._all, new._measured, new._scored = self._all, self._measured, self._scored
        else:
            new._all = self._all[: self._length]
            later = {
                name for one in self._all[self._length :] for name in (one.trial.candidate.id, one.trial.parent.id)
            }
            new._measured = _without(self._measured, later, self._length)
            new._scored = _without(self._scored, later, self._length)
        state = self.state if trial.state is None else trial.state
        told = {**self.told, **trial.told} if trial.told else self.told
        lessons = (*self.lessons, *trial.learned) if trial.learned else self.lessons
        best = self._best_of(self.incumbent, trial) if trial.rule is None else self._best_by_seeds(trial)
        out = self._out_after(trial)
        stands = self._stands_after(trial, out)
        steering = self._all[self._length - 1].steering if self._length else UNSTEERED
        steering = steering.after((*trial.acts, *trial.late)) if trial.acts or trial.late else steering
        new._all.append(After(trial, best, stands, state, told, lessons, *self._repeated(trial), steering, out))
        new._index(trial.number, trial)
        new._length = self._length + 1
        return new

    def upto(self, length: int) -> "Trace":
        """The trace of the first `length` trials; shares memory."""
        new = Trace(self.objective)
        new._all, new._measured, new._scored = self._all, self._measured, self._scored
        new._length = min(max(length, 0), self._length)
        return new

    def steered(self, acts: tuple[Act, ...]) -> "Trace":
        """This trace with acts that no trial of it holds yet, in force for whoever looks at it; shares memory."""
        if not acts:
            return self
        new = self.upto(self._length)
        new._acts = acts
        return new

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Trial]:
        return (self._all[number].trial for number in range(self._length))

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | list[Trial]:
        if isinstance(index, slice):
            return [self._all[number].trial for number in range(self._length)[index]]
        return self._all[range(self._length)[index]].trial

    @property
    def last(self) -> Trial | None:
        """The last trial, or None at the start."""
        return self._all[self._length - 1].trial if self._length else None

    @property
    def baseline(self) -> Trial | None:
        """Trial 0, or None at the start."""
        return self._all[0].trial if self._length else None

    @property
    def incumbent(self) -> Trial | None:
        """The trial of the best candidate of all; no mechanism can set it. Where scores are relative (gains over the
        parent) they cannot be compared with each other, and the incumbent is the trial kept last.

        Under a keep rule the best has the highest mean gain over the baseline, seed by seed, of all its runs in
        whatever trial, among the baseline and the candidates that were run on as many seeds as the rule takes: one that
        proves worse on further seeds loses its place, and so does one that is `out`.
        """
        return self._all[self._length - 1].incumbent if self._length else None

    @property
    def current(self) -> Candidate | None:
        """Where the search stands: the last trial's candidate if it was kept, else that trial's parent; where that one
        is `out`, the best that is not.

        With workers a trial may come from a parent that the search has left meanwhile. Such a trial takes the search
        along only if it was kept, is better than where the search stands, and no mechanism moved the search since.
        """
        return self._all[self._length - 1].current if self._length else None

    @property
    def out(self) -> Mapping[str, str]:
        """The candidates (ids) that all their runs together showed to break a guardrail, and why; for good."""
        return self._all[self._length - 1].out if self._length else NOTHING

    @property
    def state(self) -> str | None:
        """Where a task with memory stands: the end of the last trial that has one."""
        return self._all[self._length - 1].state if self._length else None

    @property
    def told(self) -> Mapping[str, str]:
        """What a person wrote, as it stood at the last trial, by name ("brief", "guidance")."""
        return self._all[self._length - 1].told if self._length else NOTHING_TOLD

    @property
    def steering(self) -> Steering:
        """What is in force of all that persons told the run."""
        steering = self._all[self._length - 1].steering if self._length else UNSTEERED
        return steering.after(self._acts) if self._acts else steering

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """The lessons drawn so far, in order."""
        return self._all[self._length - 1].lessons if self._length else ()

    @property
    def noise(self) -> Noise:
        """The spread of the score between seeds, from all candidates that were repeated, and what was known before."""
        baseline = self.baseline
        if baseline is None or baseline.known is None:
            return of_baseline([] if baseline is None else list(top_scores(baseline, self.objective.name).values()))
        return self._all[self._length - 1].repeats.with_known(baseline.known)

    @property
    def repeated(self) -> int:
        """How many candidates are known to have been run on several seeds, here or in what was known before."""
        own = self._all[self._length - 1].repeats if self._length else Repeats()
        known = self.baseline.known if self.baseline is not None else None
        with_parent = own.paired_degrees > 0 and own.n - own.degrees == 1
        return max(own.n - own.degrees + with_parent, 0 if known is None else known.n - (known.degrees or 0))

    @property
    def rule(self) -> Rule | None:
        """The keep rule of this search, as its last trial had it; None where there is none."""
        return self._all[self._length - 1].trial.rule if self._length else None

    @property
    def mark(self) -> object:
        """An opaque object that stands for this very history: traces that share memory have the same one where, and
        only where, they hold the same trials. None at the start. Compare it by identity."""
        return self._all[self._length - 1] if self._length else None

    def newest(self) -> Iterator[Trial]:
        """The trials from the last to the first."""
        return (self._all[number].trial for number in range(self._length - 1, -1, -1))

    def measured(self, candidate_id: str) -> tuple[Trial, ...]:
        """The trials that measured a candidate: crashes count; infrastructure failures and prunings do not."""
        numbers = self._measured.get(candidate_id, ())
        return tuple(self._all[number].trial for number in numbers if number < self._length)

    def of(self, candidate_id: str) -> Trial | None:
        """The first trial that gave a candidate a score, else the first that measured it; None where none did."""
        found = self.measured(candidate_id)
        return next((trial for trial in found if trial.score is not None), found[0] if found else None)

    def scores(self, candidate_id: str) -> dict[int, float]:
        """A candidate's score per seed on the top rung: all its measurements, those as a parent too. In a search from
        before there were keep rules, those of the first trial that gave it a score."""
        found: dict[int, float] = {}
        for number in self._scored.get(candidate_id, ()):
            if number < self._length:
                trial = self._all[number].trial
                found = {**_scores_in(trial, candidate_id, self.objective.name), **found}
                if trial.rule is None:
                    break
        return found

    def runs_of(self, candidate_id: str, rung: str) -> tuple[Run, ...]:
        """A candidate's ok runs on a rung, in whatever trial, those as a parent too: one for each seed."""
        places = {*self._measured.get(candidate_id, ()), *self._scored.get(candidate_id, ())}
        trials = [self._all[number].trial for number in sorted(places) if number < self._length]
        own = [run for trial in trials if trial.candidate.id == candidate_id for run in trial.runs]
        own += [run for trial in trials if trial.parent.id == candidate_id for run in trial.parent_runs]
        return tuple({run.seed: run for run in own if run.rung == rung and run.status is Status.OK}.values())

    def gains_of(self, trial: Trial) -> dict[int, float]:
        """A trial's gain over its parent on each seed that both were run on, in the order in which it was run."""
        metric, parent = self.objective.name, trial.parent.id
        old, new = _scores_in(trial, parent, metric), top_scores(trial, metric)
        old = self.scores(parent) if trial.rule is None else {**self.scores(parent), **old}
        new = new if trial.rule is None else {**new, **self.scores(trial.candidate.id)}
        return {seed: self.objective.gain(old[seed], new[seed]) for seed in new if seed in old}

    def gain_of(self, trial: Trial) -> float | None:
        """A trial's gain over its parent: the mean over the seeds that both were measured on, or the gain of the mean
        scores where there are none. None where one of the two has no score. A relative score is a gain already."""
        parent = self.of(trial.parent.id)
        if trial.score is None or self.objective.relative:
            return trial.score
        if parent is None or parent.score is None:
            return None
        gains = [gain for _, gain in sorted(self.gains_of(trial).items())]
        return mean(gains) if gains else self.objective.gain(parent.score, trial.score)

    def holding(self, out: Container[str], *more: Trial) -> Trial | None:
        """The best under a keep rule without those that are out (ids); what a trial that is to follow measured counts,
        but its candidate is none of those. None where there is no baseline."""
        return self._best_among([one.candidate.id for one in self], out, *more) if self._length else None

    def instead(self, trial: Trial) -> Trial | None:
        """The best before a trial whose parent is out, by what it measured or since earlier: what its candidate has to
        beat, and where the search goes back to. None where the parent is not out."""
        out = self._out_after(trial)
        return self.holding(out, trial) if trial.parent.id in out else None

    def lead(self, trial: Trial, best: Trial) -> float:
        """By how much the candidate of a trial that is to follow is better than that of an earlier one, each by its
        mean gain over the baseline: as the best is found."""
        base = self._known(self[0].candidate.id, trial)
        mine, theirs = (self._known(one.candidate.id, trial) for one in (trial, best))
        return self._over(base, mine) - self._over(base, theirs)

    def since_improvement(self) -> int:
        """How many trials came after the one that set the incumbent."""
        best = self.incumbent
        return 0 if best is None else self._length - 1 - best.number

    def ledger(self) -> dict[str, dict[str, Count]]:
        """The sum of the trials' ledgers: mechanism -> hook -> Count."""
        return merge(*(trial.ledger for trial in self))

    def fingerprint(self) -> str:
        """A hash of all that must be equal when a run is repeated: everything but times, costs and logs."""
        return content_hash([_essence(trial) for trial in self])

    def _repeated(self, trial: Trial) -> tuple[Mapping[int, float], Repeats, Repeats]:
        """The candidate's scores by seed with those of the trial, the sums over all candidates, and its part."""
        last = self._all[self._length - 1].repeats if self._length else Repeats()
        before, parent = self._after(trial.candidate.id), self._after(trial.parent.id)
        old, was = ({}, Repeats()) if before is None else (before.scores, before.part)
        scores = {**old, **top_scores(trial, self.objective.name)}
        if self.objective.relative or len(scores) < 2 or len(scores) == len(old):
            return scores, last, was
        other = {} if parent is None or trial.parent.id == trial.candidate.id else parent.scores
        if other and trial.parent_runs:
            other = {**_scores_in(trial, trial.parent.id, self.objective.name), **other}
        mine = Repeats.of(scores, other)
        if not other:  # repeated from itself: its pairs stay as they were
            mine = mine._replace(paired_squares=was.paired_squares, paired_degrees=was.paired_degrees)
        return scores, last.changed(was, mine), mine

    def _after(self, candidate_id: str) -> After | None:
        """How the trace stood after the last trial that measured a candidate."""
        numbers = reversed(self._measured.get(candidate_id, ()))
        number = next((number for number in numbers if number < self._length), None)
        return None if number is None else self._all[number]

    def _out_after(self, trial: Trial) -> Mapping[str, str]:
        return {**self.out, **{one.candidate: one.reason for one in trial.fallen}} if trial.fallen else self.out

    def _stands_after(self, trial: Trial, out: Mapping[str, str]) -> Candidate:
        stands = self._goes_to(trial)
        best = self.holding(out, trial) if stands.id in out else None
        return stands if best is None else best.candidate

    def _goes_to(self, trial: Trial) -> Candidate:
        here = self.current
        outcome = trial.candidate if trial.decision.keep else trial.parent
        if here is None or trial.moved or trial.parent.id == here.id:
            return outcome
        if not trial.decision.keep or trial.score is None or not self._better_than(here, trial, trial.score):
            return here
        return here if any(self[number].moved for number in range(trial.sees, trial.number)) else outcome

    def _better_than(self, here: Candidate, trial: Trial, score: float) -> bool:
        """Whether a trial's candidate is better than another one: on the seeds that both have, if there are any."""
        stands = self.of(here.id)
        if trial.rule is not None:
            old, new = self.scores(here.id), top_scores(trial, self.objective.name)
            gains = [self.objective.gain(old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())]
            if gains:
                return mean(gains) > 0
        return self.objective.better(score, None if stands is None else stands.score)

    def _best_by_seeds(self, trial: Trial) -> Trial | None:
        """The incumbent once a trial is told that is decided by a keep rule."""
        best = self.incumbent
        if best is None:
            return None if trial.score is None else trial
        both, start, out = (trial.parent.id, trial.candidate.id), self[0].candidate.id, self._out_after(trial)
        if best.candidate.id in out:
            best = self.holding(out, trial) or best
        rivals = [name for name in both if self._known(name, trial).keys() - self.scores(name).keys()]
        if {best.candidate.id, start} & {
            *rivals
        }:  # the best, or what all are held against, may prove worse than it was
            rivals = [*(one.candidate.id for one in self), *rivals]
        return self._best_among(rivals, out, trial, best=best)

    def _best_among(self, rivals: Iterable[str], out: Container[str], *more: Trial, best: Trial | None = None) -> Trial:
        """Who of the rivals is better than the best so far (the baseline, if none is given), or that one."""
        best = best or self[0]
        base = self._known(self[0].candidate.id, *more)
        top = self._over(base, self._known(best.candidate.id, *more))
        for name in dict.fromkeys(rivals):
            scores = {} if name in out else self._known(name, *more)
            if scores and self._contends(name, len(scores), *more) and (gain := self._over(base, scores)) > top:
                trials = (one for one in (self.of(name), *more) if one is not None and one.score is not None)
                best, top = next(trials, best), gain
        return best

    def _known(self, candidate_id: str, *more: Trial) -> dict[int, float]:
        """A candidate's score per seed, with what trials that are to follow measured of it."""
        found = self.scores(candidate_id)
        for trial in more:
            found = {**_scores_in(trial, candidate_id, self.objective.name), **found}
        return found

    def _over(self, base: Mapping[int, float], scores: Mapping[int, float]) -> float:
        """A candidate's mean gain over the baseline: on each of its seeds that the baseline has, elsewhere over the
        baseline's mean. So what a seed does to all candidates alike makes none of them better."""
        middle = mean([*base.values()]) if base else 0.0
        return mean([self.objective.gain(base.get(seed, middle), score) for seed, score in sorted(scores.items())])

    def _contends(self, candidate_id: str, seeds: int, *more: Trial) -> bool:
        """Whether a candidate has been run on as many seeds as the keep rule takes, or took when it was kept, and did
        not lose beside its parent."""
        if candidate_id == self[0].candidate.id:
            return True
        own = [one for one in (*self.measured(candidate_id), *more) if one.candidate.id == candidate_id]
        if any(one.beside for one in own):
            return False
        return any(one.contends or (one.rule is not None and seeds >= one.rule.depth) for one in own)

    def _best_of(self, best: Trial | None, trial: Trial) -> Trial | None:
        if trial.score is None:
            return best
        if best is None or best.score is None:
            return trial
        if self.objective.relative:
            return trial if trial.decision.keep else best
        return trial if self.objective.better(trial.score, best.score) else best

    def _index(self, number: int, trial: Trial) -> None:
        own, parent = trial.candidate.id, trial.parent.id
        if trial.runs and trial.status not in (Status.INFRASTRUCTURE, Status.PRUNED):
            self._measured[own] = (*self._measured.get(own, ()), number)
        if trial.score is not None:
            self._scored[own] = (*self._scored.get(own, ()), number)
        if trial.parent_runs and (trial.score is None or parent != own):
            self._scored[parent] = (*self._scored.get(parent, ()), number)


def _without(index: Mapping[str, tuple[int, ...]], later: set[str], length: int) -> dict[str, tuple[int, ...]]:
    """An index without the numbers from `length` on, which only the names in `later` have."""
    return {**index, **{name: tuple(n for n in index.get(name, ()) if n < length) for name in later}}


def top_scores(trial: Trial, metric: str) -> dict[int, float]:
    """A trial's metric per seed on its top rung (the rung of its last run)."""
    if not trial.runs or trial.score is None:
        return {}
    return _by_seed(trial.runs, trial.runs[-1].rung, metric)


def _scores_in(trial: Trial, candidate_id: str, metric: str) -> dict[int, float]:
    """The metric per seed on the top rung of a trial's candidate, or of its parent."""
    own = top_scores(trial, metric) if candidate_id == trial.candidate.id else {}
    if candidate_id != trial.parent.id or not trial.parent_runs:
        return own
    return {**_by_seed(trial.parent_runs, trial.parent_runs[-1].rung, metric), **own}


def _by_seed(runs: Iterable[Run], rung: str, metric: str) -> dict[int, float]:
    return {
        run.seed: run.metrics[metric]
        for run in runs
        if run.rung == rung and run.metrics is not None and metric in run.metrics
    }


def _essence(trial: Trial) -> list[object]:
    runs, parent_runs = (
        [[run.rung, run.seed, run.status, dict(run.metrics) if run.metrics else None] for run in some]
        for some in (trial.runs, trial.parent_runs)
    )
    return [
        trial.number,
        trial.parent.id,
        trial.candidate.id,
        runs,
        parent_runs,
        trial.status,
        trial.score,
        trial.decision,
        trial.overruled,
        [[back.candidate, back.reason] for back in trial.turned_back],
        trial.ledger,
        [fault.guest + fault.hook for fault in trial.faults],
        *([trial.fallen] if trial.fallen else []),
    ]
