"""What was seen of a run so far: taken in from its store piece by piece, while it goes on or after it."""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bilevel.budget import Cost, Limits
from bilevel.cli.ladders import explained, rungs_text, verdict_words
from bilevel.cli.printing import LEVEL_TITLES
from bilevel.lab import Branch
from bilevel.length import planned_now
from bilevel.levels import leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.noise import Noise
from bilevel.probation import AUTHOR
from bilevel.report import in_force
from bilevel.standings import attempts, verdict_in
from bilevel.steering.hearing import GATE
from bilevel.store.reader import Reader
from bilevel.trace import Trace
from bilevel.trial import Count, Pending, Trial, merge

HEARTBEAT = 30.0  # seconds of silence of a model after which a line says that it is still asked
MOST_SHOWN = 3  # changes of one trial that a line names
REMEMBERED = 40  # decisions that are kept to be shown


@dataclass(frozen=True)
class Decided:
    """A finished trial of a level, and the best score of the search before it; None where there was none."""

    level: str
    branch: str
    trial: Trial
    before: float | None


@dataclass(frozen=True)
class Tried:
    """A trial that is under way, and since when, by the clock that was given."""

    level: str
    branch: str
    pending: Pending
    since: float


class Progress:
    """What was seen of a run so far. `clock` gives seconds; only their differences count."""

    def __init__(self, spec: LoopSpec, planned: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec, self.planned, self.clock = spec, planned, clock
        self.levels = [loop.name for loop in levels_of(spec)]
        self.objective = leaf(spec).task.objective
        self.began = clock()
        self.before = 0  # measurements that were there at the first look
        self.measured = 0
        self.curve: list[float] = []
        self.noise: Noise | None = None  # of the baseline
        self.baseline: float | None = None
        self.last: dict[str, Decided] = {}
        self.recent: deque[Decided] = deque(maxlen=REMEMBERED)
        self.tried: list[Tried] = []
        self.in_force: tuple[str, ...] = tuple(guest.name for guest in leaf(spec).mechanisms)
        self.ledger: Mapping[str, Mapping[str, Count]] = {}  # of the innermost loop's mechanisms, all arms
        self.verdicts: dict[str, str] = {}  # mechanism -> what its forks say
        self.calls, self.cost, self.unpriced = 0, Cost(), 0
        self.gate = ""  # what waits for a person
        self.state = ""  # of the run, as its folder says
        self.rounds: int | None = None  # of the claim stage; None before it
        self.earlier = 0.0  # seconds of wall time before the first look
        self.limits = Limits()
        self.asking: dict[str, tuple[str, float]] = {}  # level -> what is asked, since when (seconds since the epoch)
        self._seen: dict[str, int] = {}
        self._events = self._calls = 0
        self._beat = 0.0
        self._words: set[str] = set()
        self._first = True
        self._written = -1

    # ---- what is new ----

    def update(self, reader: Reader) -> list[str]:
        """Take in what is new; returns a line for each new trial."""
        written = reader.written()
        if written == self._written:
            return []
        with reader.snapshot():
            lines = self._taken_in(reader)
        self._written = written
        return lines

    def _taken_in(self, reader: Reader) -> list[str]:
        lines, moved = list[str](), self._first
        branches = reader.branches()
        for branch, trial in self._news(reader, branches):
            self._seen[branch.id] = trial.number
            best = self.curve[-1] if self.curve else None
            self.last[branch.level] = Decided(branch.level, branch.id, trial, best)
            self.recent.append(self.last[branch.level])
            if branch.level == self.levels[0]:
                self._note(trial)
            else:
                self._weigh(trial)
            moved |= self._may_move(branch.level, trial)
            lines.append(self._line(branch.id, branch.level, trial))
            lines += self._explained(trial)
        if moved and branches:
            self.in_force = in_force(reader, self.spec)
        self._under_way(reader, {branch.id: branch.level for branch in branches})
        self._facts(reader)
        if self._first:
            self.before, self._first = self.measured, False
        return lines

    def _may_move(self, level: str, trial: Trial) -> bool:
        """Whether the mechanisms in force may be others after a trial: where a level keeps one, or persons said so; and
        where another branch of a level in between is the one that counts."""
        return bool(
            (level != self.levels[0] and trial.decision.keep) or (trial.acts or trial.late) or level in self.levels[2:]
        )

    def _ended(self, branch: str) -> bool:
        """Whether nothing can be added to a branch: the outer trial that it is part of has ended, or one above."""
        above, _, arm = branch.rpartition("/")
        return bool(above) and (int(arm.partition(".")[0]) <= self._seen.get(above, -1) or self._ended(above))

    def _news(self, reader: Reader, branches: Sequence[Branch]) -> list[tuple[Branch, Trial]]:
        """The new trials in the order in which they ended: an outer one ends after those that it is made of."""
        places = {branch.id: place for place, branch in enumerate(branches)}
        open_ones = [branch for branch in branches if not self._ended(branch.id)]
        found = [
            (branch, trial)
            for branch in open_ones
            for trial in reader.trials(branch.id, after=self._seen.get(branch.id, branch.at - 1))
        ]

        def order(one: tuple[Branch, Trial]) -> list[tuple[int, float]]:
            names = one[0].id.split("/")
            above = ["/".join(names[: n + 1]) for n in range(1, len(names))]  # the branches from below the root on
            inside = [
                (int(name.partition(".")[0]), places.get(path, 0)) for name, path in zip(names[1:], above, strict=True)
            ]
            return [*inside, (one[1].number, math.inf)]

        return sorted(found, key=order)

    def hear(self, reader: Reader) -> list[str]:
        """Take in the events; returns lines for retries, fallbacks, limits, and a sign of life of a model."""
        lines = []
        for position, event in reader.events(after=self._events):
            self._events = position
            if event.kind == "asking":
                self.asking[event.level] = (event.text, event.at)
            elif event.kind == "answered":
                self.asking.pop(event.level, None)
            elif not self._first:
                lines.append(f"{event.kind}: {event.text}")
        if self._first:
            self.asking.clear()  # what an earlier session asked was answered, or ended with it
        waits = json.loads(reader.get_meta(GATE) or "null") or {}
        if waits.get("said", "") not in ("", self.gate):
            lines.append(f"waits for a person: {waits['said']} ({waits['id']}; see bilevel steer)")
        self.gate = waits.get("said", "")
        now = time.time()
        for text, since in self.asking.values():
            if now - max(since, self._beat) > HEARTBEAT:
                self._beat = now
                lines.append(f"waiting for {text}: {now - since:.0f} s")
        return lines

    def _note(self, trial: Trial) -> None:
        """A trial of the innermost loop."""
        self.measured += trial.cost.evaluations
        if trial.number == 0 and self.noise is None:
            self.noise, self.baseline = (Trace(self.objective) + trial).noise, trial.score
        if trial.ledger:
            self.ledger = merge(self.ledger, trial.ledger)
        if trial.score is not None and trial.contends:
            best = self.curve[-1] if self.curve else None
            self.curve.append(trial.score if self.objective.better(trial.score, best) or best is None else best)

    def _weigh(self, trial: Trial) -> None:
        """A trial of an outer loop: what all forks of its mechanism say by now."""
        verdict = verdict_in(trial.climbs)
        for name in trial.candidate.files_changed_from(trial.parent) if verdict is not None else ():
            self.verdicts[name] = verdict.sentence if verdict is not None else ""

    def _under_way(self, reader: Reader, levels: Mapping[str, str]) -> None:
        known = {(one.branch, one.pending.number): one for one in self.tried}
        now = self.clock()
        self.tried = [
            known.get((branch, pending.number)) or Tried(levels[branch], branch, pending, now)
            for branch, pending in reader.under_way()
            if branch in levels
        ]

    def _facts(self, reader: Reader) -> None:
        """What the run folder says beside trials: calls, the claim stage, limits, wall time."""
        for call in reader.calls(after=self._calls):
            self._calls = call.number
            self.calls += 1
            self.cost += call.cost
            self.unpriced += call.money is None
        self.state = json.loads(reader.get_meta("state") or '""')
        claim = reader.get_meta("claim")
        self.rounds = None if claim is None else len(json.loads(claim).get("rounds", ()))
        if self._first:
            self.earlier = float(reader.get_meta("elapsed") or 0.0)
            recipe = json.loads(reader.get_meta("config") or "{}").get("recipe", {})
            self.limits = Limits(**recipe.get("limits", {}))
        changed = reader.get_meta("limits")
        if changed is not None:
            self.limits = Limits(**json.loads(changed))
        if any(act.kind == "budget" and self.spec.name in act.levels for act in reader.acts()):
            self.planned = planned_now(reader, self.spec)

    # ---- what may be said ----

    @property
    def margin(self) -> float:
        """The smallest gain between two single measurements that is no noise; 0 where nothing is known of it."""
        return self.noise.margin if self.noise is not None and self.noise.n > 1 else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of wall time of the run, those before the first look included."""
        return self.earlier + self.clock() - self.began

    @property
    def left(self) -> float | None:
        """Seconds that are left, by the measurements of this session; None where nothing is known of it."""
        spent = self.clock() - self.began
        rate = (self.measured - self.before) / spent if spent > 0 else 0.0
        return None if not self.planned or rate <= 0 else max(0.0, (self.planned - self.measured) / rate)

    def waiting(self) -> list[str]:
        """What a person is asked for, and the models that are asked just now, and for how long."""
        now = time.time()
        person = [f"waits for a person: {self.gate} (bilevel status RUN says more)"] if self.gate else []
        return person + [f"waiting for {text}: {now - since:.0f} s" for text, since in self.asking.values()]

    def _line(self, branch: str, level: str, trial: Trial) -> str:
        title = LEVEL_TITLES.get(level, level)
        arm = branch.rsplit("/", 1)[-1] if "/" in branch else ""
        best = f" · best {self.curve[-1]:.6g}" if self.curve and level == self.levels[0] else ""
        verdict = "keep" if trial.decision.keep else "discard"
        where = f" [{arm}]" if arm else ""
        said = f"{score_text(trial)} · {verdict}: {trial.decision.reason}{best}"
        return f"{title}{where} {trial.number}: {change_text(trial)} · {said}{_ladder(trial)}"

    def _explained(self, trial: Trial) -> list[str]:
        """What the verdicts mean that stand in a line for the first time."""
        new = verdict_words(trial.climbs) - self._words
        self._words |= new
        return [f"  {line}" for line in explained(new)]


def change_text(trial: Trial | Pending) -> str:
    """A trial's typed changes in a few words, be it finished or under way."""
    if trial.number == 0:
        return "baseline"
    candidate = trial.proposal.candidate
    if "newest" in candidate.params:
        changed = ", ".join(candidate.files_changed_from(trial.parent))
        return f"{changed} left out" if trial.proposal.notes.get(AUTHOR) else changed or "nothing"
    shown = [f"{name} {change.old!r} -> {change.new!r}" for name, change in trial.changes.items()]
    shown += [f"{name} edited" for name in candidate.files_changed_from(trial.parent)]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(shown[:MOST_SHOWN]) + more or "no change"


def score_text(trial: Trial) -> str:
    """The score, or why there is none."""
    return trial.status.value if trial.score is None else f"{trial.score:.6g}"


def _ladder(trial: Trial) -> str:
    """The rungs that the drafts of an outer trial climbed, the last one of them in full."""
    tried = attempts(trial.climbs)
    if not tried:
        return ""
    before = f"after {len(tried) - 1} turned back, " if len(tried) > 1 else ""
    return f" · ladder: {before}{rungs_text(tried[-1].climbs)}"
