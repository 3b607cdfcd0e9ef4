"""The pictures of a report as files for papers, by matplotlib, which is an extra.

They show what the page's own pictures show, which are part of it and need no package. The same records drawn by the
same version of matplotlib give the same bytes, so a file can be held against the records.
"""

import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bilevel.compare.resampling import Estimate
from bilevel.compare.results import Result
from bilevel.dashboard.charts import vertical
from bilevel.errors import InputError
from bilevel.reporting.curve import lines_of
from bilevel.reporting.seen import Seen
from bilevel.statements import Statement

FOLDER, KINDS = "plots", ("svg", "png")
WIDE = 6.4  # inches, the width of a text column
GREY, GREEN, ORANGE, BLUE, PINK = "#59636e", "#008f67", "#d55e00", "#0072b2", "#b8588f"
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#2d9bd6", "#b97800")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bilevel", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "axes.linewidth": 0.8, "legend.frameon": False,
}  # fmt: skip
Draw = Callable[[Any], None]  # onto the axes of a figure


@dataclass(frozen=True)
class Plot:
    """One picture: how high it is, in inches, and how it is drawn."""

    height: float
    draw: Draw


def there() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def version() -> str:
    """The version of matplotlib, which is part of what a file depends on."""
    import matplotlib

    return str(matplotlib.__version__)


def drawn(plots: Mapping[str, Plot]) -> dict[str, bytes]:
    """The files: name.svg and name.png of each. Raises InputError where matplotlib is missing."""
    if not there():
        raise InputError(
            "plots as files need matplotlib, which is not installed: pip install 'bilevel[report]'; or write the "
            "report with --no-plots (its page has the pictures all the same)"
        )
    import matplotlib
    from matplotlib.figure import Figure

    files = {}
    with matplotlib.rc_context(STYLE):
        for name, plot in plots.items():
            figure = Figure(figsize=(WIDE, plot.height), layout="constrained")
            plot.draw(figure.subplots())
            for kind in KINDS:
                out = io.BytesIO()
                figure.savefig(out, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
                files[f"{name}.{kind}"] = out.getvalue()
    return files


# ---- of a run ----


def of_run(seen: Seen) -> dict[str, Plot]:
    """The curve, what each change is worth, and what each mechanism is; those that there is something of."""
    found = {"curve": Plot(2.9, lambda axes: _curve(axes, seen))} if seen.run.inner else {}
    for name, kind in (("changes", "change"), ("mechanisms", "mechanism")):
        rows = [
            (_label(one), _estimate(one)) for one in seen.claims.claims if one.kind == kind and one.effect is not None
        ]
        if rows:
            found[name] = _dots(
                rows, f"effect on {seen.summary.objective}{f' ({seen.summary.unit})' if seen.unit else ''}"
            )
    return found


def _curve(axes: Any, seen: Seen) -> None:
    run, rows = seen.run, seen.run.inner
    lines, marks, sd = lines_of(run)
    for line in lines[1:]:
        control = line.kind.endswith("control")
        _stairs(
            axes, line.steps, line.end, color=ORANGE if control else BLUE, linestyle="--" if control else "-", lw=1.2
        )
    if lines and lines[0].steps:
        at, values = _corners(lines[0].steps, lines[0].end)
        axes.plot(at, values, color="black", lw=1.5, label="best so far")
        if sd:
            low, high = [value - sd for value in values], [value + sd for value in values]
            axes.fill_between(at, low, high, color=GREY, alpha=0.2, lw=0, label="± 1 sd of one measurement")
    up = vertical(rows, run.objective, sd)
    for keep, colour, size, word in ((False, GREY, 5, "discarded"), (True, GREEN, 14, "kept")):
        dots = [(n + 0.5, row.score) for n, row in enumerate(rows) if row.score is not None and row.keep == keep]
        axes.scatter([x for x, _ in dots], [y for _, y in dots], s=size, color=colour, lw=0, label=word, zorder=3)
    failed = [n + 0.5 for n, row in enumerate(rows) if row.score is None]
    if failed:
        axes.scatter(
            failed, [up.low] * len(failed), marker="x", s=10, color=ORANGE, lw=1, label="no score", clip_on=False
        )
    for mark in marks:
        axes.axvline(mark.at, color=PINK, lw=0.8, ls=":")
        axes.text(mark.at, up.high, mark.said, color=PINK, fontsize=7, ha="right", va="bottom", parse_math=False)
    axes.set(xlim=(0, len(rows)), ylim=(up.low, up.high), xlabel="trials of level 1")
    axes.set_ylabel(f"{run.objective.name}{f' ({run.objective.unit})' if run.objective.unit else ''}", parse_math=False)
    axes.legend(fontsize=7, ncols=3)


def _corners(steps: Sequence[tuple[int, float]], end: float) -> tuple[list[float], list[float]]:
    at, values = list[float](), list[float]()
    for place, value in steps:
        if values:
            at.append(place + 0.5)
            values.append(values[-1])
        at.append(place + 0.5)
        values.append(value)
    return [*at, end], [*values, values[-1]]


def _stairs(axes: Any, steps: Sequence[tuple[int, float]], end: float, **look: Any) -> None:
    if steps:
        axes.plot(*_corners(steps, end), **look)


def _label(one: Statement) -> str:
    return one.claim.removesuffix(" helps") if one.kind == "change" else one.subject.split(" ")[0]


def _estimate(one: Statement) -> Estimate:
    return Estimate(one.effect, one.low, one.high)


# ---- of a comparison ----


def of_comparison(result: Result) -> dict[str, Plot]:
    """The improvement of each arm, and the best seen over the budget."""
    unit = f" ({result.unit})" if result.unit else ""
    what = f"{'score' if result.tasks else f'improvement of {result.objective}'}{unit}"
    rows = [(arm.name, arm.mean) for arm in result.arms if arm.mean.value is not None]
    found = {"improvement": _dots(rows, f"{what}, mean and 95 % interval", zero=False)} if rows else {}
    if any(arm.curve for arm in result.arms):
        found["curves"] = Plot(2.9, lambda axes: _curves(axes, result, what))
    return found


def _curves(axes: Any, result: Result, what: str) -> None:
    for number, arm in enumerate(one for one in result.arms if one.curve):
        at = [result.budget * n / max(1, len(arm.curve) - 1) for n in range(len(arm.curve))]
        colour = "black" if arm.name == result.reference else COLOURS[number % len(COLOURS)]
        axes.plot(at, arm.curve, color=colour, lw=1.5, label=arm.name)
        low, high = [one.low for one in arm.band], [one.high for one in arm.band]
        if len(low) == len(at) and None not in low and None not in high:
            axes.fill_between(at, low, high, color=colour, alpha=0.12, lw=0)
    axes.set(xlim=(0, result.budget), ylim=(0, None), xlabel=f"{result.equal} spent")
    axes.set_ylabel(f"best seen, {what}", parse_math=False)
    axes.legend(fontsize=7)


def _dots(rows: Sequence[tuple[str, Estimate]], said: str, zero: bool = True) -> Plot:
    """Values with their intervals, a row each."""

    def draw(axes: Any) -> None:
        for place, (_, found) in enumerate(rows):
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=BLUE, lw=1.5)
            axes.plot([found.value], [place], "o", color=BLUE, ms=5)
        if zero:
            axes.axvline(0, color=GREY, lw=0.8)
        names = [name if len(name) <= 48 else f"{name[:47]}…" for name, _ in rows]
        axes.set_yticks(range(len(rows)), labels=names)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(said, parse_math=False)

    return Plot(0.8 + 0.28 * len(rows), draw)
