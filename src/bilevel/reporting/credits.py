"""Which mechanisms earned it: the gain against a control, the ledger, and what becomes of each."""

from collections.abc import Iterator, Mapping, Sequence

from bilevel.carrying import PYTHON, carrier_of
from bilevel.cli.helping import MEANINGS as WHOLE
from bilevel.cli.helping import cost_text
from bilevel.cli.ladders import MEANINGS, decided_plainly, heading
from bilevel.compare.resampling import Estimate
from bilevel.mechanism_trials import MechanismTrial
from bilevel.reporting.document import Block, Grid, Items, Listing, Section, Words
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, gain, gain_of, number
from bilevel.statements import NO_CONTROL, POSTERIOR, Statement

FORKS, LOOPS = "mechanism", "whole loops"  # kinds of statements
GOOD = ("helped", "confirmed")
COUNTED = "decisive: without the answer of that hook the decision would have been another; touched: the answer differed"


def in_short(seen: Seen) -> Iterator[str]:
    """Which mechanisms help, as far as can be said."""
    claims = [one for one in seen.claims.claims if one.kind in (FORKS, LOOPS)]
    if not claims:
        return
    good = [f"{_name(one)} ({one.status}, {gain_of(one)}{seen.unit})" for one in claims if one.status in GOOD]
    tried = len({_name(one) for one in claims})
    if good:
        yield f"Mechanisms that help, of {tried} in this run: {', '.join(good)}."
    else:
        yield f"No mechanism of the {tried} in this run is shown to help: {_statuses(claims)}."


def credit(seen: Seen) -> Section:
    """The claims on mechanisms, their forks, their ledgers, and their sources."""
    summary, blocks = seen.summary, list[Block]()
    claims = [one for one in seen.claims.claims if one.kind == FORKS]
    if not claims and not summary.mechanisms:
        blocks.append(Words("None: no mechanism was in force in this run, and none was tried."))
    if claims:
        blocks += _claims(claims)
    blocks += _whole_loops(seen)
    blocks += _trials(seen)
    blocks += _ledgers(seen)
    if summary.mechanisms:
        blocks.append(Words(f"In force at the end: {', '.join(summary.in_force) or 'none'}."))
    if summary.ladder is not None and summary.ladder.notes:
        blocks.append(Items(summary.ladder.notes))
    for number_, level in enumerate(summary.yields, 2):
        blocks.append(Words(f"Level {number_} itself: {'; '.join(level.sentences)}."))
    blocks += _sources(seen)
    return Section("Which mechanisms earned it", "mechanisms", tuple(blocks))


def _claims(claims: Sequence[Statement]) -> Iterator[Block]:
    rows = tuple(
        (
            _name(one), one.status, gain_of(one), str(one.tries.forks),
            NOTHING if one.e_value is None else f"{one.e_value:.3g}", _decisive(one.ledger), one.note,
        )
        for one in claims
    )  # fmt: skip
    yield Grid(
        "What the forks of each mechanism say together",
        ("mechanism", "verdict", "effect and interval", "forks", "e-value", "decisive of calls", "note"),
        rows, words=2, ends_in_words=True, effects=tuple(Estimate(one.effect, one.low, one.high) for one in claims),
    )  # fmt: skip
    words = dict.fromkeys(one.status for one in claims if one.status in MEANINGS)
    meanings = [f"{word}: {MEANINGS[word]}" for word in words]
    controls = [f"the control: {one}" for one in dict.fromkeys(one.control for one in claims)]
    yield Items((*meanings, *controls, f"the interval: {POSTERIOR}", COUNTED))


def _whole_loops(seen: Seen) -> Iterator[Block]:
    found = seen.summary.confirmed
    claims = [one for one in seen.claims.claims if one.kind == LOOPS]
    if found is None or not claims:
        return
    rows = tuple(
        (
            _name(one), one.status, gain_of(one), str(one.tries.pairs),
            NOTHING if one.e_value is None else f"{one.e_value:.3g}", _decisive(one.ledger), one.note,
        )
        for one in claims
    )  # fmt: skip
    yield Grid(
        "What whole loops on fresh run seeds say, with and without each mechanism",
        ("mechanism", "status", "effect and interval", "pairs", "e-value", "decisive of calls", "note"),
        rows, words=2, ends_in_words=True, effects=tuple(Estimate(one.effect, one.low, one.high) for one in claims),
    )  # fmt: skip
    words = dict.fromkeys(one.status for one in claims if one.status in WHOLE)
    controls = dict.fromkeys(one.control for one in claims)
    meanings = (f"{word}: {WHOLE[word]}" for word in words)
    yield Items((*meanings, *(f"the control: {one}" for one in controls), cost_text(found)))


def _trials(seen: Seen) -> Iterator[Block]:
    """Each trial of each level that searches mechanisms, with its arms."""
    for rank in sorted({one.rank for one in seen.summary.mechanisms}):
        yield _trials_of(rank, [one for one in seen.summary.mechanisms if one.rank == rank])


def _trials_of(rank: int, mechanisms: Sequence[MechanismTrial]) -> Block:
    rows = tuple(
        (
            f"{one.branch}#{one.trial}", heading(one), number(one.challenger_best), number(one.control_best),
            gain(one.gain) if one.pairs else NOTHING, f"{decided_plainly(one)}: {one.reason}",
        )
        for one in mechanisms
    )  # fmt: skip
    arms = "two arms go on from the same state with the same seeds, one without the change"
    how = arms if any(one.pairs for one in mechanisms) else "no trial has a control, so gains prove nothing"
    return Grid(
        f"Each trial of level {rank}: {how}",
        ("trial", "change", "best with it", "best of the control", "gain", "decision"),
        rows, words=2, ends_in_words=True,
    )  # fmt: skip


def _ledgers(seen: Seen) -> Iterator[Block]:
    """What each mechanism did, hook by hook."""
    rows = [
        (_name(one), hook, *(str(counts[name]) for name in ("calls", "touched", "decisive", "faults")))
        for one in seen.claims.claims
        if one.kind == FORKS
        for hook, counts in one.ledger.items()
    ]
    if rows:
        header = ("mechanism", "hook", "calls", "touched", "decisive", "faults")
        yield Grid("The ledger: what each mechanism did while it was tried", header, tuple(rows), words=2)
    asked = [(one.name, one.advice) for one in seen.summary.mechanisms if one.advice is not None]
    for name, advice in [*seen.summary.advice.items(), *asked]:
        live = "it matters" if advice.live else "not shown to matter"
        yield Words(
            f"Advice of {name}: drafts differed in {advice.without.differed} of {advice.without.asks} asks without it, "
            f"and in {advice.again.differed} of {advice.again.asks} that were asked again with the same text; {live} "
            f"(p = {advice.chance:.2g})."
        )


def _sources(seen: Seen) -> Iterator[Block]:
    """The source of what was kept, or is in force; each once."""
    shown = set[str]()
    for one in seen.summary.mechanisms:
        if one.source and one.source not in shown and (one.kept or one.name in seen.summary.in_force):
            shown.add(one.source)
            language = "python" if carrier_of(one.name) in PYTHON else "text"
            yield Listing(f"{one.name}, by {one.author}", one.source, language)


def _name(one: Statement) -> str:
    """The mechanism's name, without the source's hash behind it, which one of the recipe does not have."""
    return one.subject if one.control == NO_CONTROL else one.subject.rpartition(" ")[0]


def _decisive(ledger: Mapping[str, Mapping[str, int]]) -> str:
    calls = sum(counts["calls"] for counts in ledger.values())
    return f"{sum(counts['decisive'] for counts in ledger.values())} of {calls}" if calls else NOTHING


def _statuses(claims: Sequence[Statement]) -> str:
    found = dict.fromkeys(one.status for one in claims)
    return ", ".join(f"{sum(one.status == word for one in claims)} {word}" for word in found)
