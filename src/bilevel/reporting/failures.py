"""What failed, and what was tried for nothing: a report that leaves it out claims too much."""

from collections import Counter
from collections.abc import Iterator

from bilevel.cli.ladders import cut
from bilevel.climbing import FAILED
from bilevel.dashboard.frame import changed, level_title
from bilevel.dashboard.records import Row
from bilevel.levels import leaf
from bilevel.reporting.document import Block, Grid, Items, Section, Words
from bilevel.reporting.ending import under_way
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, count
from bilevel.statements import Statement

MOST_PARAMETERS, MOST_FAULTS, MOST_DRAFTS = 40, 10, 20
MEANINGS = {
    "exit": "the program ended with an error",
    "time-out": "it took longer than it may",
    "out-of-memory": "it took more memory than it may",
    "output-limit": "it printed more than it may",
    "invalid-metric": "its metric was missing, or no finite number",
    "diverged": "its training diverged",
    "refused": "it was turned back before it ran",
    "guardrail": "a bound on something beside the objective was broken",
    "pruned": "it was stopped before it was measured in full",
    "infrastructure": "the machine failed, not the candidate",
}


def in_short(seen: Seen) -> Iterator[str]:
    """How much of it failed."""
    rows = seen.run.inner
    if not rows:
        return
    failed, tried = sum(row.failed for row in rows), seen.summary.repetition
    kept = sum(row.keep for row in rows[1:])
    yield (
        f"{count(len(rows), 'trial')} of level 1: {kept} kept, {failed} without a score, "
        f"{tried.turned_back} drafts turned back before they ran."
    )


def failures(seen: Seen) -> Section:
    """Trials without a score, drafts that were turned back, mechanisms that did not help, what was tried in vain."""
    blocks: list[Block] = [*_without_score(seen), *_repetition(seen), *_claims(seen), *_mechanisms(seen), *_tried(seen)]
    blocks = blocks or [Words("Nothing has been tried yet.")]
    return Section("What failed", "failures", (*blocks, *under_way(seen)))


def _without_score(seen: Seen) -> Iterator[Block]:
    rows = [row for level in seen.run.levels for row in seen.run.rows(level)]
    failed = [row for row in rows if row.failed]
    if rows and not failed:
        yield Words("Every trial has a score.")
    if not failed:
        return
    groups = Counter((row.level, row.status) for row in failed)
    lines = []
    for (level, status), many in groups.items():
        first = next(row for row in failed if (row.level, row.status) == (level, status))
        example = f"{first.branch}#{first.number} ({changed(first)}): {_last_words(seen, first)}"
        lines.append((level_title(level), status, MEANINGS.get(status, ""), str(many), example))
    yield Grid(
        "Trials without a score", ("level", "status", "meaning", "trials", "the first of them"), tuple(lines),
        words=3, ends_in_words=True,
    )  # fmt: skip


def _last_words(seen: Seen, row: Row) -> str:
    """What a failed trial said last, or why it was refused."""
    trial = seen.run.store.trial(row.branch, row.number)
    logs = [run.log.strip() for run in trial.runs if run.metrics is None and run.log.strip()] if trial else []
    return cut(logs[-1].splitlines()[-1]) if logs else cut((trial.reason if trial else "") or row.reason)


def _repetition(seen: Seen) -> Iterator[Block]:
    tried = seen.summary.repetition
    if not tried.trials:
        return
    yield Words(
        f"The researcher ({seen.summary.researcher}) in {count(tried.trials, 'trial')}: {tried.distinct} distinct "
        f"candidates measured, {tried.turned_back} drafts turned back, {tried.refused} trials refused, "
        f"{tried.failed} failed while they ran; the longest streak of one draft was {tried.longest_streak}."
    )


def _claims(seen: Seen) -> Iterator[Block]:
    """Claims that fresh seeds refuted."""
    refuted = [one for one in seen.claims.claims if one.status in ("refuted", "harmful", "hurt", "inert")]
    if refuted:
        yield Items(tuple(_refuted(one) for one in refuted))


def _refuted(one: Statement) -> str:
    effect = "" if one.effect is None else f", effect {one.effect:+.4g}"
    return f"{one.status}: {one.claim}{effect}{f'; {one.note}' if one.note else ''}"


def _mechanisms(seen: Seen) -> Iterator[Block]:
    """Drafts of mechanisms that failed a rung, faults, and mechanisms that were retired."""
    refused = [
        (f"{one.branch}#{one.trial}", climb.mechanism, climb.rung, climb.outcome, cut(climb.reason))
        for one in seen.summary.mechanisms
        for climb in (*one.refused, *(climb for climb in one.climbs if climb.outcome in FAILED))
    ]
    if refused:
        title = f"Drafts of mechanisms that failed on the ladder: {len(refused)}"
        header = ("trial", "mechanism", "rung", "outcome", "reason")
        yield Grid(title, header, tuple(refused[:MOST_DRAFTS]), words=5)
    if len(refused) > MOST_DRAFTS:
        yield Words(f"{len(refused) - MOST_DRAFTS} more are not listed.")
    if seen.summary.retired:
        yield Items(tuple(f"{one.mechanism} was {cut(str(one))}" for one in seen.summary.retired))
    broken = [row for row in seen.run.inner if row.faults]
    if broken:
        faults = [
            fault for row in broken for fault in getattr(seen.run.store.trial(row.branch, row.number), "faults", ())
        ]
        said = Counter(f"{fault.guest} in {fault.hook}: {cut(fault.message)}" for fault in faults)
        yield Items(tuple(f"fault of {text} ({count(n, 'time')})" for text, n in said.most_common(MOST_FAULTS)))


def _tried(seen: Seen) -> Iterator[Block]:
    """For each parameter and file how often it was changed, and what of it was kept."""
    tried, kept, failed = Counter[str](), Counter[str](), Counter[str]()
    for row in seen.run.inner:
        for name in (*row.changes, *row.files) if row.number else ():
            tried[name] += 1
            kept[name] += row.keep
            failed[name] += row.failed
    if not tried:
        return
    rows = [(name, str(n), str(kept[name]), str(failed[name])) for name, n in tried.most_common(MOST_PARAMETERS)]
    domains = [name for name in _names(seen) if name not in tried]
    yield Grid("What was tried", ("parameter or file", "trials", "kept", "without a score"), tuple(rows))
    if len(tried) > MOST_PARAMETERS:
        yield Words(f"{len(tried) - MOST_PARAMETERS} more are not listed.")
    yield Words(f"Never changed: {', '.join(domains) or NOTHING}.")


def _names(seen: Seen) -> tuple[str, ...]:
    return tuple(leaf(seen.run.spec).task.space.domains)
