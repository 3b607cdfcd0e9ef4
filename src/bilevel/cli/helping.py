"""How it looks in a terminal whether mechanisms help, tested with whole loops on fresh run seeds."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from bilevel.helps import HARMFUL, INERT, PLAIN, RESTART, Against, Confirmed, Help

MEANINGS = {
    "confirmed": "better than the loop without it and than one with a restart: e-BH over all that were tested, at 5 %",
    "provisional": "not known either way: too few pairs for its size",
    HARMFUL: "worse than the loop without it: e-BH over all that were tested, at 5 %",
    INERT: "it changed no decision in any pair, so nothing is credited to it",
}


def print_helps(out: Console, found: Confirmed, unit: str, only: str = "") -> None:
    """The claims on mechanisms, for which researcher and task, and what they cost; those of one name if it is given."""
    shown = [one for one in found.helps if only in ("", one.series.mechanism)]
    table = Table(box=None, pad_edge=False, padding=(0, 2), title="what mechanisms are worth, in whole loops",
                  title_justify="left")  # fmt: skip
    for name in ("mechanism", "status"):
        table.add_column(name)
    for name in ("over the loop without it", "over one with a restart", "pairs", "e-value", "of harm"):
        table.add_column(name, justify="right")
    for one in shown:
        live = "" if one.live == one.pairs else f" ({one.live} live)"
        table.add_row(
            f"{one.series.mechanism} ({one.series.source[:8]})", one.status, effect(one.against.get(PLAIN)),
            effect(one.against.get(RESTART)), f"{one.pairs}{live}", f"{one.e_value:.3g}", f"{one.harm:.3g}",
        )  # fmt: skip
    out.print(table, highlight=False, markup=False)
    for line in _notes(shown):
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    budget = ", ".join(str(trials) for trials in dict.fromkeys(one.series.trials for one in shown))
    measure = f", effects in {unit}" if unit else ""
    out.print(
        f"  this holds with researcher {found.researcher} on {found.task} and loops of {budget} trials{measure}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    out.print(f"  {cost_text(found)}", highlight=False, markup=False, soft_wrap=True)


def _notes(shown: Iterable[Help]) -> Iterable[str]:
    for status in dict.fromkeys(one.status for one in shown):
        yield f"{status}: {MEANINGS[status]}"
    for one in shown:
        if one.note:
            yield f"{one.series.mechanism}: {one.note}"
    idle = [one.placebo for one in shown if one.placebo is not None]
    if idle:
        yield f"a placebo in its place differed from the loop without it by at most {max(idle):.4g}"


def cost_text(found: Confirmed) -> str:
    """What all loops were charged."""
    calls = f", {found.calls} calls, {found.cost.tokens:,} tokens, {found.cost.money:.4f} US dollars"
    more = "; not finished: `bilevel confirm` with the same mechanisms goes on"
    return (
        f"these loops were charged {found.cost.evaluations} measurements, {found.cost.seconds:.1f} s"
        f"{calls if found.calls else ''}, beside the search{'' if found.complete else more}"
    )


def effect(found: Against | None) -> str:
    """A mean gain with its interval; empty where nothing was compared."""
    if found is None:
        return ""
    low = "-inf" if found.low is None else f"{found.low:+.4g}"
    high = "+inf" if found.high is None else f"{found.high:+.4g}"
    return f"{found.effect:+.4g} [{low}, {high}]"
