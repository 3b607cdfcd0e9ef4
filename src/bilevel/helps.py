"""What may be claimed of a mechanism, "it helps this researcher on this task within this budget": pure functions.

In a pair whole loops start anew from the baseline with the same fresh run seed: one with the mechanism, and its
controls, one without it and one with a restart in its place. The gain of a pair is that of the loops' best candidates
on fresh evaluation seeds, never of what they saw. From the gains come, by `eprocess`,

- *it helps*: the e-value is the smaller one of those against both controls, so it is evidence against "no better than
  one of them". It is confirmed where e-BH over all mechanisms that were tested in the run folder says so at 5 %;
- *it harms*: the mirror of it, against the loop without it, with an e-BH of its own.

A pair in which the mechanism changed no decision credits nothing: it counts as a tie, whatever came out. So does one in
which all happened exactly as in an earlier pair: where nothing draws on the seed, it is no further evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bilevel.budget import Cost
from bilevel.claim import PROVISIONAL, STANDS
from bilevel.eprocess import e_bh, e_value, interval
from bilevel.objective import Objective
from bilevel.shadow import Advice, advice_of
from bilevel.trial import Shadow

HARMFUL, INERT = "harmful", "inert"  # statuses, beside provisional and confirmed
PLAIN, RESTART, PLACEBO, WITH = "without it", "restart", "placebo", "with it"  # the arms of a pair
IDLE = 3  # pairs in a row that credit nothing, after which no more are asked for


@dataclass(frozen=True)
class Series:
    """One source of a mechanism and the budget that it is tested with: what pairs add up for.

    `source` is a hash; `trials` are those of a loop beside its baseline, `fresh` the evaluation seeds of its best.
    """

    mechanism: str
    source: str
    trials: int
    fresh: int


@dataclass(frozen=True)
class Looped:
    """What one arm of a pair came to, read from its trials.

    `candidate` is the id of its best, `seen` the score with which the loop found it, `scores` those on the fresh seeds
    (None: it failed), `value` the mean that counts: the baseline's where the best fails, None where that fails too.
    `path` is a hash of all candidates and scores. `ledger` and `shadows` are the mechanism's, of the arm with it; the
    numbers of a hook are calls, touched, decisive and faults.
    """

    branch: str
    candidate: str
    seen: float | None
    scores: tuple[float | None, ...]
    value: float | None
    path: str
    cost: Cost
    ledger: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    shadows: tuple[tuple[Shadow, ...], ...] = ()

    @property
    def decisive(self) -> tuple[str, ...]:
        """The hooks that changed decisions."""
        return tuple(hook for hook, count in self.ledger.items() if count[2])


@dataclass(frozen=True)
class Pair:
    """One fresh run seed, by its place: the gain over each control, positive is better with the mechanism.

    None: there is no value to compare. `void` says why nothing is credited; "" where it is. `placebo`: how far the arm
    with a placebo ended from the one without anything, which should be 0.
    """

    index: int
    gains: Mapping[str, float | None]
    void: str
    placebo: float | None
    decisive: tuple[str, ...] = ()
    shadows: tuple[tuple[Shadow, ...], ...] = ()

    def counted(self, control: str) -> float:
        """The gain that evidence is made of."""
        gain = self.gains.get(control)
        return 0.0 if self.void or gain is None else gain


@dataclass(frozen=True)
class Begun:
    """A series, and how many pairs it had when more were asked for."""

    series: Series
    pairs: int


@dataclass(frozen=True)
class Ask:
    """That somebody asked for more pairs: at most so many for each of some series."""

    pairs: int
    begun: tuple[Begun, ...]
    complete: bool = False


@dataclass(frozen=True)
class Against:
    """What the pairs say against one control: the mean gain, the interval that they leave, and the e-value."""

    effect: float
    low: float | None
    high: float | None
    e_value: float


@dataclass(frozen=True)
class Help:
    """The claim on one series. `live`: of the pairs, those that credit something. `e_value` is the smallest over the
    controls, `harm` that of the mirror claim. `placebo`: the largest distance of a placebo's arm from the one without
    anything; None where no pair had one."""

    series: Series
    status: str
    pairs: int
    live: int
    against: Mapping[str, Against]
    e_value: float
    harm: float
    placebo: float | None = None
    note: str = ""

    @property
    def confirmed(self) -> bool:
        return self.status == STANDS


@dataclass(frozen=True)
class Confirmed:
    """What a run folder says of its mechanisms on fresh run seeds. `cost` is what the loops were charged, `calls` how
    often models were asked. `complete`: nothing is left of what was asked for."""

    researcher: str
    task: str
    helps: tuple[Help, ...]
    cost: Cost
    calls: int = 0
    complete: bool = True


def pairs_of(objective: Objective, arms: Iterable[Mapping[str, Looped]]) -> tuple[Pair, ...]:
    """The pairs of one series, from what the arms of each came to, in order."""
    found: list[Pair] = []
    met: set[tuple[str, str]] = set()
    for index, each in enumerate(arms):
        own, plain = each[WITH], each[PLAIN]
        gains = {control: _gain(objective, each[control], own) for control in (PLAIN, RESTART) if control in each}
        idle = None if PLACEBO not in each else _gain(objective, plain, each[PLACEBO])
        paths = own.path, plain.path
        if not own.decisive:
            void = INERT
        elif paths in met:
            void = "as in an earlier pair"
        elif None in gains.values():
            void = "no value"
        else:
            void = ""
        met.add(paths)
        found.append(Pair(index, gains, void, idle, own.decisive, own.shadows))
    return tuple(found)


def _gain(objective: Objective, old: Looped, new: Looped) -> float | None:
    return None if old.value is None or new.value is None else objective.gain(old.value, new.value)


def helps(evidence: Mapping[Series, Sequence[Pair]]) -> tuple[Help, ...]:
    """The claims on all series of a run folder together, in their order."""
    each = zip(evidence.items(), stands(evidence), strict=True)
    return tuple(_help(series, pairs, *stand) for (series, pairs), stand in each)


def stands(evidence: Mapping[Series, Sequence[Pair]]) -> list[tuple[str, float, float]]:
    """The status of each series, and the e-values that it helps and that it harms."""
    good = [value_of(pairs) for pairs in evidence.values()]
    bad = [harm_of(pairs) for pairs in evidence.values()]
    found = []
    for (series, pairs), helped, harmed, sure, harmful in zip(
        evidence.items(), good, bad, e_bh(good), e_bh(bad), strict=True
    ):
        status = STANDS if sure and _unshown(series.mechanism, pairs) is None else HARMFUL if harmful else PROVISIONAL
        if pairs and all(pair.void == INERT for pair in pairs):
            status = INERT
        found.append((status, helped, harmed))
    return found


def value_of(pairs: Sequence[Pair]) -> float:
    """The evidence that a mechanism is better than each of its controls: the smallest e-value."""
    return min((e_value([pair.counted(control) for pair in pairs]) for control in _controls(pairs)), default=1.0)


def harm_of(pairs: Sequence[Pair]) -> float:
    """The evidence that it is worse than nothing."""
    return e_value([-pair.counted(PLAIN) for pair in pairs])


def _controls(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(pairs[0].gains) if pairs else ()


def _help(series: Series, pairs: Sequence[Pair], status: str, good: float, bad: float) -> Help:
    live, unshown = [pair for pair in pairs if not pair.void], _unshown(series.mechanism, pairs)
    against = {control: _against([pair.counted(control) for pair in pairs]) for control in _controls(pairs)}
    idle = [abs(pair.placebo) for pair in pairs if pair.placebo is not None]
    voids = [pair.void for pair in pairs if pair.void]
    notes = [f"{void} in {voids.count(void)} of {len(pairs)} pairs" for void in dict.fromkeys(voids)]
    if unshown is not None:
        notes.append(f"its advice is not shown to matter: {unshown}")
    return Help(
        series, status, len(pairs), len(live), against, good, bad, max(idle, default=None), "; ".join(notes)
    )  # fmt: skip


def _against(gains: Sequence[float]) -> Against:
    low, high = interval(gains)
    return Against(sum(gains) / len(gains), low, high, e_value(gains))


def _unshown(name: str, pairs: Sequence[Pair]) -> Advice | None:
    """What asking on the side says of a mechanism that only advises, where it does not show that the advice matters."""
    live = [pair for pair in pairs if not pair.void]
    if not live or any(set(pair.decisive) - {"advise"} for pair in live):
        return None
    said = advice_of(name, [shadows for pair in live for shadows in pair.shadows])
    return None if said is None or said.live else said


def wanted(evidence: Mapping[Series, Sequence[Pair]], ask: Ask) -> tuple[int, tuple[Series, ...]] | None:
    """The next pair: its place, and the series that take part in it; None where an ask is done.

    A series is left out once its claim or the mirror of it is sure, or where IDLE pairs in a row credit nothing.
    """
    found = dict(zip(evidence, stands(evidence), strict=True))
    left = []
    for each in ask.begun:
        series, pairs = each.series, evidence[each.series]
        more = len(pairs) - each.pairs
        idle = more >= IDLE and all(pair.void for pair in pairs[-IDLE:])
        if more < ask.pairs and not idle and found[series][0] not in (STANDS, HARMFUL):
            left.append(series)
    if not left:
        return None
    index = min(len(evidence[series]) for series in left)
    return index, tuple(series for series in left if len(evidence[series]) == index)
