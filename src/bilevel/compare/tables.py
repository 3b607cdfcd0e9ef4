"""The result as tables of text, for a terminal and for Markdown alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bilevel.compare.estimating import Expected
from bilevel.compare.ranks import Ranks
from bilevel.compare.resampling import Estimate
from bilevel.compare.results import ArmResult, Paired, Result, Survival, TaskResult
from bilevel.report import sparkline

NOTHING = "–"
MOST_NEEDED = 9_999  # replicates; more is as good as never


@dataclass(frozen=True)
class Table:
    """A title and rows of text; the first column is a name, the others are numbers. `about` says which table it is."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: str = ""


def tables_of(result: Result) -> list[Table]:
    """All tables of a result, the most important first."""
    unit = f" ({result.unit})" if result.unit else ""
    how = f"{result.fresh} fresh seeds" if result.fresh else "best seen"
    what = f"over {len(result.tasks)} tasks: score" if result.tasks else f"improvement of {result.objective}"
    found = [
        Table(
            f"{what}{unit}, {how}; 95 % intervals in brackets",
            ("arm", "runs", "mean", "median", "interquartile mean", "best seen"),
            tuple(_improvement(arm) for arm in result.arms),
            "improvement",
        ),
        Table(
            f"against {result.reference}, paired; positive is better",
            (
                "arm",
                "pairs",
                "difference",
                "p",
                "p Holm",
                "d",
                "won",
                f"{'pairs' if result.tasks else 'replicates'} needed",
            ),
            tuple(_against(arm.name, arm.against) for arm in result.arms if arm.against is not None),
            "against",
        ),
        Table(
            f"any time: best seen over the budget of {result.budget:g} {result.equal}",
            ("arm", "area", *(["regret"] if _knows(result) else []), "25 %", "50 %", "75 %", "curve"),
            tuple(_curve(arm, _knows(result), _top(result)) for arm in result.arms),
            "curve",
        ),
        *_of_tasks(result),
        Table(
            "spent, mean per run",
            ("arm", "trials", "measured", "seconds", "tokens", "US dollars", "ended by limit"),
            tuple(_spent(arm) for arm in result.arms),
            "spent",
        ),
        Table(
            "how repetitive, mean per run",
            ("arm", "distinct candidates", "same draft in a row", "discards in a row", "duplicate drafts"),
            tuple(_repetitive(arm) for arm in result.arms),
            "repetition",
        ),
        *_survivals(result),
    ]
    ledgers = tuple(_ledgers(result.arms))
    header = ("mechanism", "runs", "at the end", "decisive in", "calls", "touched", "decisive", "faults")
    asked = Table("mechanisms: runs that asked them, and their ledgers", header, ledgers, "ledger")
    return [*found, asked] if ledgers else found


def sealed_tables(result: Result) -> list[Table]:
    """What no search saw, which only documents show; nothing where nothing was measured."""
    rows = tuple(
        (
            f"{_of(one.task)}{one.arm}", one.metric, str(one.runs), str(one.failed), number(one.baseline),
            interval(one.mean), number(one.best),
        )
        for one in result.sealed
    )  # fmt: skip
    title = "sealed test scores, one measurement of each after its run had ended; 95 % intervals in brackets"
    header = ("arm", "metric", "runs", "without a score", "baseline, mean", "best of each run, mean", "best run")
    return [Table(title, header, rows, "sealed")] if rows else []


def _of_tasks(result: Result) -> list[Table]:
    """Each task in its own unit, and the ranks over all; nothing where there is one task."""
    if not result.tasks:
        return []
    shared = ("mean", "interquartile mean", "difference", "p Holm", "regret")
    found = [
        Table(
            f"{task.name}: improvement of {task.objective}{f' ({task.unit})' if task.unit else ''}, "
            f"{f'{task.fresh} fresh seeds' if task.fresh else 'best seen'}; difference from {result.reference}",
            ("arm", "runs", *shared, "rank"),
            tuple(_on_task(arm, task, result) for arm in task.arms),
            "task",
        )
        for task in result.tasks
    ]
    ranks = result.ranks
    if ranks is not None:
        far = "" if ranks.critical_difference is None else f"; critical difference {ranks.critical_difference:.3g}"
        rows = sorted(ranks.average.items(), key=lambda item: item[1])
        found.append(
            Table(
                f"ranks over {ranks.tasks} tasks, 1 is best: Friedman p {p_value(ranks.p)}{far} at 5 % (Nemenyi)",
                ("arm", "average rank", "not told apart from"),
                tuple((arm, f"{rank:.2f}", ", ".join(alike(ranks, arm)) or NOTHING) for arm, rank in rows),
                "ranks",
            )
        )
    return found


def alike(ranks: Ranks, arm: str) -> list[str]:
    """The other arms whose average ranks lie within the critical difference."""
    far = ranks.critical_difference or 0.0
    return [one for one, rank in ranks.average.items() if one != arm and abs(rank - ranks.average[arm]) < far]


def _on_task(arm: ArmResult, task: TaskResult, result: Result) -> tuple[str, ...]:
    rank = result.ranks.by_task.get(task.name, {}).get(arm.name) if result.ranks is not None else None
    return (
        arm.name,
        str(arm.runs),
        interval(arm.mean),
        number(arm.interquartile_mean.value),
        NOTHING if arm.against is None else interval(arm.against.difference, signed=True),
        NOTHING if arm.against is None else p_value(arm.against.corrected),
        NOTHING if arm.regret is None else interval(arm.regret),
        NOTHING if rank is None else f"{rank:g}",
    )


def expected_table(expected: Expected) -> Table:
    """The estimate, arm by arm, and task by task where there are several."""
    several = len({one.task for one in expected.arms}) > 1
    rows = [
        (
            one.arm,
            *([one.task] if several else []),
            *(_count(value) for value in (one.trials, one.measurements)),
            _seconds(one.seconds),
            *(_count(value) for value in (one.calls, one.tokens)),
            _money(one.money),
        )
        for one in expected.arms
    ]
    header = (
        "arm",
        *(["task"] if several else []),
        "trials",
        "measurements",
        "seconds",
        "calls",
        "tokens",
        "US dollars",
    )
    return Table("one run of each, where nothing is refused", header, tuple(rows))


def _improvement(arm: ArmResult) -> tuple[str, ...]:
    return (
        arm.name,
        str(arm.runs),
        interval(arm.mean),
        number(arm.median.value),
        interval(arm.interquartile_mean),
        number(arm.seen.value),
    )


def _against(arm: str, found: Paired) -> tuple[str, ...]:
    return (
        arm,
        str(found.pairs),
        interval(found.difference, signed=True),
        p_value(found.p),
        p_value(found.corrected),
        NOTHING if found.d is None else f"{found.d:+.2f}",
        _share(found.superiority),
        _needed(found.needed),
    )


def _curve(arm: ArmResult, knows: bool, top: float) -> tuple[str, ...]:
    quarters = [arm.curve[len(arm.curve) * part // 4] for part in (1, 2, 3)] if arm.curve else [None] * 3
    regret = [interval(arm.regret) if arm.regret is not None else NOTHING] if knows else []
    line = sparkline((*arm.curve, top), minimize=False)[:-1] if arm.curve else ""
    return (arm.name, interval(arm.area), *regret, *map(number, quarters), line)


def _spent(arm: ArmResult) -> tuple[str, ...]:
    spent = arm.average
    return (
        arm.name,
        _mean(spent.trials),
        _mean(spent.measurements),
        _seconds(spent.seconds),
        _mean(spent.tokens),
        _money(spent.money),
        str(arm.ended_by_limit),
    )


def _repetitive(arm: ArmResult) -> tuple[str, ...]:
    found = arm.average
    share = _share(found.duplicates)
    return (arm.name, _mean(found.distinct), _mean(found.streak), _mean(found.discards), share)


def _survivals(result: Result) -> list[Table]:
    """How many keeps survived; nothing where none were to be measured again."""
    if not result.recheck:
        return []
    most = "all" if result.recheck == "all" else f"{result.recheck} per run"
    return [
        Table(
            f"keeps measured again on fresh seeds, {most}; without any effect 50 % survive",
            ("arm", "keeps", "again", "failed", "survived", "gain when kept", "gain again"),
            tuple(_survived(arm.name, arm.survival) for arm in result.arms if arm.survival is not None),
            "keeps",
        )
    ]


def _survived(arm: str, found: Survival) -> tuple[str, ...]:
    counts = (str(found.keeps), str(found.again), str(found.failed))
    return (arm, *counts, _share_of(found.survived), number(found.claimed.value, True), interval(found.gain, True))


def _share_of(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return _share(found.value)
    return f"{_share(found.value)} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _ledgers(arms: Sequence[ArmResult]) -> Iterable[tuple[str, ...]]:
    for arm in arms:
        for one in arm.mechanisms:
            counts = (one.runs, one.at_the_end, one.decisive_in, one.calls, one.touched, one.decisive, one.faults)
            yield (f"{arm.name}: {one.name}", *map(str, counts))


def _knows(result: Result) -> bool:
    return any(arm.regret is not None for arm in result.arms)


def _top(result: Result) -> float:
    return max((arm.curve[-1] for arm in result.arms if arm.curve), default=0.0)


def interval(found: Estimate, signed: bool = False) -> str:
    """A value with its interval, as far as there is one."""
    if found.value is None:
        return NOTHING
    if found.low is None or found.high is None:
        return number(found.value, signed)
    return f"{number(found.value, signed)} [{number(found.low, signed)}, {number(found.high, signed)}]"


def number(value: float | None, signed: bool = False) -> str:
    """Four digits, or a dash."""
    return NOTHING if value is None else f"{value + 0.0:{'+' if signed else ''}.4g}"


def p_value(value: float | None) -> str:
    """Three digits, or a dash."""
    return NOTHING if value is None else f"{value:.3g}"


def _needed(value: int | None) -> str:
    return f"> {MOST_NEEDED:,}" if value is not None and value > MOST_NEEDED else _count(value)


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _mean(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}".removesuffix(".0")


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}"


def _money(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}" if value else "0"


# ---- words ----


def heading(result: Result) -> list[str]:
    """What was compared, and the plan's hash."""
    direction = "minimize" if result.minimize else "maximize"
    several = f" × {len(result.tasks)} tasks" if result.tasks else ""
    size = f"{len(result.arms)} arms × {result.replicates} replicates{several}"
    what = "" if result.tasks else f"{result.objective}, {direction} · "
    return [
        f"{'tasks' if result.tasks else 'task'} {result.task} · {what}{size}",
        f"equal {result.equal}: {result.budget:g} {result.equal_means}",
        f"plan {result.plan}, hashed before anything ran",
    ]


def sections(result: Result) -> list[tuple[str, list[str]]]:
    """What is said in words: claims, missing runs, notes, the analysis."""
    claims = [claim.text for claim in result.claims] or ["no arm has a level 2, so nothing is said of mechanisms."]
    missing = [
        f"{f'{one.task}, ' if one.task else ''}{one.arm}, replicate {one.replicate}: {one.reason}"
        for one in result.missing
    ]
    found = [
        ("What may be said of level 2", claims),
        ("Missing runs", missing),
        ("Notes", list(result.notes)),
        ("Isolation in force", list(result.isolation)),
    ]
    return [(title, lines) for title, lines in found if lines]


def appendix(result: Result) -> list[tuple[str, list[str]]]:
    """What a document says beside: what the best run of each arm changed, what failed, on what it was made."""
    changed = [
        f"{_of(one.task)}{one.arm}, replicate {one.replicate}, {number(one.gain, True)}: "
        f"{', '.join(one.changes) or 'the baseline'}"
        for one in result.best
    ]
    failed = [
        f"{_of(one.task)}{one.arm}: {', '.join(f'{count} {status}' for status, count in one.failed.items()) or 'none'}"
        for one in result.best
    ]
    made = [f"{name}: {value}" for name, value in result.environment.items()]
    found = [
        ("What the best run of each arm changed, which is its luckiest one", changed),
        ("Trials without a score, over all runs of each arm", failed),
        ("Environment", made),
    ]
    return [(title, lines) for title, lines in found if lines]


def patches(result: Result) -> list[tuple[str, str]]:
    """What the best run of each arm changed in files, as patches with their titles."""
    return [
        (f"{_of(one.task)}{one.arm}, replicate {one.replicate}: its files, as a patch for `patch -p1`", one.patch)
        for one in result.best
        if one.patch
    ]


def _of(task: str) -> str:
    return f"{task}, " if task else ""
