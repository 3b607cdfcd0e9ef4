"""What was improved and by how much, and what changed."""

from collections.abc import Iterator, Mapping
from typing import Any

from bilevel.claim import REFUTED, Claimed, Said
from bilevel.claiming import SEALED
from bilevel.compare.resampling import Estimate
from bilevel.dashboard.charts import best_so_far
from bilevel.dashboard.frame import changed
from bilevel.levels import leaf
from bilevel.reporting.curve import curve
from bilevel.reporting.document import Block, Facts, Grid, Items, Listing, Section, Words
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, count, gain, gain_of, listed, number, value
from bilevel.statements import ANY_TIME
from bilevel.task import Sealing
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import TextTask

MOST_STEPS = 40  # new bests that the table names
PATCHED = (
    "What measures the task, or its source tree, has changed since this run: a patch is against the files as they are "
    "now, and what is in them already is not in it."
)
UNSEEN = (
    "Their patch cannot be shown, for the task's own files are gone; `bilevel best RUN --export best.json` writes "
    "their texts, which the records hold."
)
FLATTERS = "a best-seen value flatters: it is the luckiest of many"


def in_short(seen: Seen) -> Iterator[str]:
    """The improvement and the change, a sentence each."""
    summary, claim = seen.summary, seen.summary.claim
    if summary.best is None:
        yield f"No trial of {summary.task} has a score yet, so nothing is improved."
        return
    if claim is not None and claim.mean is not None:
        yield (
            f"{summary.objective} {number(claim.mean, seen.unit)}, mean of {count(claim.seeds, 'fresh seed')}; over "
            f"the baseline, seed by seed: {_told(claim.whole)}."
        )
    else:
        yield (
            f"{summary.objective} {number(summary.best, seen.unit)} against the baseline's "
            f"{number(summary.baseline, seen.unit)}: gain {gain(summary.gain)}, {_unmeasured(claim)}."
        )
    names = [*_changes(seen), *_files(seen)]
    yield (
        f"{count(len(names), 'change')}: {listed(names)}." if names else "The baseline is the answer: nothing changed."
    )
    for who, metrics in (claim.sealed if claim is not None else {}).items():
        shown = ", ".join(f"{name} {number(metric)}" for name, metric in metrics.items()) or "failed"
        yield f"Sealed test score of the {who}: {shown} (one measurement)."


def improvement(seen: Seen) -> Section:
    """The numbers with their interval, the curve, and where the best changed."""
    blocks: list[Block] = [Facts(dict(_numbers(seen)))]
    if seen.run.inner:
        blocks.append(curve(seen.run))
        blocks += _steps(seen)
    return Section("What was improved, and by how much", "improvement", tuple(blocks))


def _numbers(seen: Seen) -> Iterator[tuple[str, str]]:
    summary, claim = seen.summary, seen.summary.claim
    reported = ", as the program under search says itself" if summary.self_reported else ""
    yield (
        "objective",
        f"{summary.objective}{f' in {summary.unit}' if summary.unit else ''}, {summary.direction}{reported}",
    )
    yield "baseline in the search", number(summary.baseline, seen.unit)
    if claim is not None and claim.mean is not None:
        again = "" if claim.answer == claim.incumbent else ", after changes that are worth nothing were taken back"
        yield "answer on fresh seeds", f"{number(claim.mean, seen.unit)}, mean of {count(claim.seeds, 'seed')}{again}"
    if claim is not None and (claim.whole.effect is not None or claim.whole.note):
        yield "gain, measured again", f"{_told(claim.whole)}{f'; {claim.whole.note}' if claim.whole.note else ''}"
    if claim is not None and claim.whole.pairs:
        whose = "what was found" if claim.whole.status == REFUTED else "the answer"
        means = f"{whose} {number(claim.paired, seen.unit)}, the baseline {number(claim.baseline, seen.unit)}"
        yield "means of the pairs", f"{means}; the gain is their difference"
        yield "how it is counted", f"in pairs on the same fresh seed; {ANY_TIME}"
    if claim is None or claim.mean is None:
        yield "gain, measured again", f"not measured: {_why_not(claim)}"
    if claim is not None and claim.regret is not None:
        yield "simple regret", f"{claim.regret:.4g}{seen.unit}, on the true mean"
    if summary.best is not None:
        yield "best seen", f"{number(summary.best, seen.unit)}, gain {gain(summary.gain)}; {FLATTERS}"
    if summary.noise.n > 1:
        repeated = count(summary.noise.n, "seed")
        spread = f"standard deviation {summary.noise.sd:.3g} of one measurement, over {repeated} of the baseline"
        yield "noise", f"{spread}; a gain counts as one from {summary.noise.margin:.3g}"
    yield "sealed test score", _sealed(seen)
    for guard in summary.guardrails:
        missing = f", its metric missing in {guard.missing}" if guard.missing else ""
        yield f"guardrail {guard.text}", f"broken in {count(guard.broken, 'trial')}{missing}"
    if summary.front is not None:
        front = summary.front
        volume = "" if front.volume is None else f"; hypervolume {front.volume:.6g}"
        yield "front", f"{len(front.points)} of {front.measured} candidates are dominated by none{volume}"


def _sealed(seen: Seen) -> str:
    task, claim = leaf(seen.run.spec).task, seen.summary.claim
    if claim is not None and claim.sealed:
        parts = [
            f"{who}: " + (", ".join(f"{name} {number(metric)}" for name, metric in metrics.items()) or "failed")
            for who, metrics in claim.sealed.items()
        ]
        return f"{'; '.join(parts)} (one measurement of each, after everything was decided)"
    if seen.run.opened.folder.meta(SEALED):
        return "measured for the report of the comparison that the run belongs to, which shows it"
    if seen.run.gone:
        return "not measured in this run; without the task it cannot be told whether there is one"
    if isinstance(task, Sealing) and task.seals:
        return "not measured in this run; `bilevel best RUN --sealed` measures it"
    return "the task has none"


def _told(said: Said) -> str:
    pairs = f"{count(said.pairs, 'pair')}, e-value {said.e_value:.3g}" if said.pairs else "no pairs"
    return f"gain {gain_of(said)} ({said.status}: {pairs})"


def _unmeasured(claim: Claimed | None) -> str:
    return f"best seen: {_why_not(claim)}"


def _why_not(claim: Claimed | None) -> str:
    if claim is None:
        return "the run did not come to its claim stage, so no fresh seed says whether it is so"
    return claim.skipped or claim.whole.note or "no fresh seed has been measured yet"


def _steps(seen: Seen) -> list[Block]:
    """The trials at which the best score changed."""
    rows, objective = seen.run.inner, seen.run.objective
    steps = best_so_far(rows, objective)
    shown, before = [], None
    for place, best in steps:
        row = rows[place]
        better = NOTHING if before is None else gain(objective.gain(before, best))
        shown.append((f"{row.branch}#{row.number}", row.author, changed(row), number(best), better))
        before = best
    title = f"Where the best of {count(len(rows), 'trial')} changed"
    left = len(shown) - MOST_STEPS
    grid = Grid(title, ("trial", "by", "change", "score", "better by"), tuple(shown[-MOST_STEPS:]), words=3)
    return [grid, *([Words(f"The first {count(left, 'step')} are left out.")] if left > 0 else [])]


# ---- what changed ----


def changes(seen: Seen) -> Section:
    """The answer against the baseline, what each change is worth, and the files as a diff."""
    blocks: list[Block] = []
    named = _changes(seen)
    if named:
        rows = tuple((name, value(old), value(new)) for name, (old, new) in named.items())
        blocks.append(Grid("The answer against the baseline", ("parameter", "baseline", "answer"), rows, words=3))
    patch = _patch(seen)
    if patch:
        blocks.append(Listing("Files, as a patch for `patch -p1`", patch, "diff"))
    if seen.changed_since and (patch or _files(seen) or isinstance(leaf(seen.run.spec).task, FolderTask)):
        blocks.append(Words(PATCHED))
    unseen = _files(seen) if seen.run.gone else ()
    if unseen:
        blocks.append(Words(f"Edited files: {', '.join(unseen)}. {UNSEEN}"))
    if not named and not patch and not unseen:
        nothing = "No candidate has a score." if seen.answer is None else "Nothing: the baseline is the best so far."
        blocks.append(Words(nothing))
    claim = seen.summary.claim
    if claim is not None and claim.changes:
        blocks += _worth(claim)
    front = seen.summary.front
    if front is not None and front.points:
        points = tuple(
            (p.trial, *(f"{p.values[axis.name]:.6g}" for axis in front.axes), _how(p.changes, p.files))
            for p in front.points
        )
        header = ("trial", *(f"{axis.name}, {axis.direction}" for axis in front.axes), "change from the baseline")
        blocks.append(Grid("The front", header, points, ends_in_words=True))
    return Section("What changed", "changes", tuple(blocks))


def _worth(claim: Claimed) -> Iterator[Block]:
    """Each kept change with what taking it away on fresh seeds showed."""
    rows = tuple(
        (
            one.trial, _how(one.changes, one.files), f"{one.status}: {one.note}" if one.note else one.status,
            gain_of(one), str(one.pairs), f"{one.e_value:.3g}" if one.pairs else NOTHING,
        )
        for one in claim.changes
    )  # fmt: skip
    effects = tuple(Estimate(one.effect, one.low, one.high) for one in claim.changes)
    yield Grid(
        "What each kept change is worth: the answer with it against the answer without it, on the same fresh seeds",
        ("trial", "change", "status", "effect and interval", "pairs", "e-value"), rows, words=3, effects=effects,
    )  # fmt: skip
    said = {one.status for one in claim.changes}
    meanings = {
        "confirmed": "e-BH over all changes says so, at 5 %, and the answer itself is confirmed",
        "provisional": "not known either way",
        "refuted": "the answer is no better with it than without it, so it was taken back",
    }
    yield Items(tuple(f"{word}: {meaning}" for word, meaning in meanings.items() if word in said))


def _changes(seen: Seen) -> Mapping[str, tuple[Any, Any]]:
    claim = seen.summary.claim
    return seen.summary.changes if claim is None else claim.kept


def _files(seen: Seen) -> tuple[str, ...]:
    claim = seen.summary.claim
    return seen.summary.files if claim is None else claim.kept_files


def _patch(seen: Seen) -> str:
    task = leaf(seen.run.spec).task
    if seen.answer is None or not isinstance(task, FolderTask | TextTask):
        return ""
    return task.patch(seen.answer)


def _how(made: Mapping[str, tuple[Any, Any]], files: tuple[str, ...]) -> str:
    parts = [f"{name}: {old!r} -> {new!r}" for name, (old, new) in made.items()]
    return ", ".join([*parts, *(f"{name} edited" for name in files)]) or "the baseline"
