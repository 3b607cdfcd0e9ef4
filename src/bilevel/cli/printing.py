"""How a summary looks in a terminal."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table

from bilevel.cli.claims import print_answer, print_claims
from bilevel.cli.guiding import print_guided
from bilevel.cli.helping import print_helps
from bilevel.cli.ladders import (
    decided,
    heading,
    number,
    print_climbs,
    print_gains,
    print_ladder,
    print_meanings,
    print_retired,
)
from bilevel.cli.weighing import print_front, print_guarded
from bilevel.codec import plain
from bilevel.mechanism_trials import AdviceLedger, AsideCost, MechanismTrial
from bilevel.report import LevelCost, Summary, sparkline
from bilevel.steps import Steps

LEVEL_TITLES = {"inner": "level 1 (inner)", "settings": "level 1.5 (settings)", "mechanisms": "level 2 (mechanisms)",
                "mechanisms-3": "level 3 (mechanisms of level 2)"}  # fmt: skip


class Shown(Console):
    """A console on which no text of a program or a model steers the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def console(*, stderr: bool = False, width: int = 120) -> Console:
    """Where text goes: as wide as the terminal, or so many columns where there is none."""
    made = Shown(stderr=stderr, emoji=False)  # "ollama:x:" is a name, not a picture
    return made if made.is_terminal else Shown(stderr=stderr, emoji=False, width=width)


def jsonable(value: object) -> Any:
    """A value as other programs read it: dicts, lists and scalars."""
    return _lists(plain(value))


def print_json(data: Any) -> None:
    """Print what `jsonable` gave, indented."""
    json.dump(data, sys.stdout, indent=2)
    print()


def visible(text: str) -> str:
    """A text of a program or a model without what would steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _lists(data: Any) -> Any:
    if isinstance(data, dict):
        return _lists(data["()"]) if set(data) == {"()"} else {key: _lists(item) for key, item in data.items()}
    return [_lists(item) for item in data] if isinstance(data, list) else data


def print_summary(console: Console, summary: Summary, *, sources: bool = True) -> None:
    """Baseline, best, what changed, each mechanism with its ledger and control, cost per level, the run folder."""
    console.rule(f"[bold]{escape(f'{summary.recipe} on {summary.task}')}[/]")
    unit = f" {escape(summary.unit)}" if summary.unit else ""
    reported = " (self-reported)" if summary.self_reported else ""
    console.print(f"{summary.objective}{reported}, {summary.direction}", highlight=False, markup=False)
    console.print(f"  baseline  {number(summary.baseline)}{unit}   {_noise(summary)}", highlight=False)
    gain = "" if summary.gain is None else f"   gain {summary.gain:+.4g}, best seen of {summary.charged} measurements"
    if summary.claim is not None:
        print_answer(console, summary.claim, unit)
    console.print(f"  best      [bold]{number(summary.best)}[/]{unit}{gain}", highlight=False)
    line = sparkline(summary.curve, summary.direction == "minimize")
    console.print(f"  best so far  {line}", highlight=False)
    for name, (old, new) in summary.changes.items():
        console.print(f"  {name}: {old!r} -> {new!r}", highlight=False, markup=False)
    for name in summary.files:
        console.print(f"  {name}: edited (see bilevel diff)", highlight=False, markup=False)
    if summary.claim is not None:
        print_claims(console, summary.claim, unit)
    print_guarded(console, summary.guardrails)
    if summary.front is not None:
        print_front(console, summary.front)
    _print_repetition(console, summary)
    print_steps(console, summary.steps)
    if summary.guided is not None:
        print_guided(console, summary.guided, summary.unit)
    _print_mechanisms(console, summary, sources)
    print_ladder(console, summary)
    if summary.confirmed is not None:
        console.print()
        print_helps(console, summary.confirmed, summary.unit)
    _print_costs(console, summary)
    console.print(f"isolation in force: {_isolation(summary)}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"run folder: {summary.folder}", highlight=False, markup=False)


def print_comparison(console: Console, stuck: Summary, unstuck: Summary) -> None:
    """Two runs of one researcher at equal trials, side by side."""
    console.rule("[bold]the stuck researcher, alone and with outer levels, at equal trials[/]")
    table = Table(box=None, pad_edge=False)
    for name in ("", escape(f"alone ({stuck.recipe})"), escape(f"with levels 1.5 and 2 ({unstuck.recipe})")):
        table.add_column(name, justify="left" if not name else "right")
    for title, a, b in (
        ("trials (both arms)", stuck.repetition.trials, unstuck.repetition.trials),
        ("distinct candidates measured", stuck.repetition.distinct, unstuck.repetition.distinct),
        ("drafts turned back", stuck.repetition.turned_back, unstuck.repetition.turned_back),
        ("longest streak of one draft", stuck.repetition.longest_streak, unstuck.repetition.longest_streak),
        ("best " + stuck.objective, number(stuck.best), number(unstuck.best)),
        ("gain over the baseline", number(stuck.gain), number(unstuck.gain)),
    ):
        table.add_row(title, str(a), str(b))
    console.print(table)
    console.print("One run of each (n = 1): an illustration, not evidence.", highlight=False)


def print_ledger(console: Console, ledger: Mapping[str, Mapping[str, int]]) -> None:
    """A mechanism's ledger: per hook how often it was called, touched something, was decisive, and failed."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("hook")
    for name in ("calls", "touched", "decisive", "faults"):
        table.add_column(name, justify="right")
    for hook, count in ledger.items():
        table.add_row(hook, *(str(count[name]) for name in ("calls", "touched", "decisive", "faults")))
    console.print(table if ledger else "  (never called)")


def print_steps(console: Console, steps: Steps) -> None:
    """What each step of a workflow did: how often it was asked, what it said, how much of that reached the text."""
    if not steps:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2), title="steps of the workflow", title_justify="left")
    table.add_column("step")
    for name in ("asked", "sent back", "gave up", "said", "reached the text", "decisive in"):
        table.add_column(name, justify="right")
    for step, count in steps.items():
        row = (count.asked, count.sent_back, count.failed, count.said, count.reached, count.decisive)
        table.add_row(escape(step), *map(str, row))
    console.print()
    console.print(table)
    for step, count in steps.items():
        if count.inert:
            console.print(f"  {step}: inert, it changed no text", highlight=False, markup=False)


def print_advice(console: Console, name: str, advice: AdviceLedger) -> None:
    """What asking on the side says of a mechanism's advice."""
    without, again = advice.without, advice.again
    away = "" if without.distance is None else f", {without.distance:.2g} of the scale away on average"
    kinds = ", ".join(f"{how} {count}" for how, count in without.how.items())
    failed = without.failed + again.failed
    parts = [
        f"advice of {name}: drafts differed in {without.differed} of {without.asks} asks without it"
        + (f" ({kinds}{away})" if kinds else ""),
        f"asking twice with the same text differed in {again.differed} of {again.asks}",
        f"{'it matters' if advice.live else 'not shown to matter yet'} (p = {advice.chance:.2g})",
        *([f"{failed} asks without a usable answer"] if failed else []),
        _aside_text(advice.cost),
    ]
    console.print(f"  {'; '.join(parts)}", highlight=False, markup=False, soft_wrap=True)


def _aside_text(cost: AsideCost) -> str:
    money = "price unknown" if cost.unpriced else f"{cost.money:.4f} US dollars"
    return f"{cost.calls} calls, {cost.tokens:,} tokens, {money}"


def _print_repetition(console: Console, summary: Summary) -> None:
    r = summary.repetition
    console.print(
        f"{r.trials} trials · {r.distinct} distinct candidates · {r.turned_back} drafts turned back · "
        f"{r.refused} refused · {r.failed} failed · longest streak of one draft {r.longest_streak}",
        highlight=False,
    )


def _print_mechanisms(console: Console, summary: Summary, sources: bool) -> None:
    for name, ledger in summary.static.items():
        console.print(
            f"\n[bold]mechanism {escape(name)}[/], in force from the first trial, no control", highlight=False
        )
        print_ledger(console, ledger)
        if name in summary.advice:
            print_advice(console, name, summary.advice[name])
    print_meanings(console, summary)
    shown: dict[str, int] = {}  # source -> the trial that it was printed with
    for mechanism in summary.mechanisms:
        before = shown.setdefault(mechanism.source, mechanism.trial)
        print_mechanism(console, mechanism, summary.unit, sources and before == mechanism.trial)
        arms = f"{mechanism.branch}/{mechanism.trial}."
        on_it = [one for one in summary.retired if one.branch.startswith(arms) and one.mechanism == mechanism.name]
        print_retired(console, on_it)
        if sources and mechanism.source and before != mechanism.trial:
            console.print(f"  its source is that of trial {before}", highlight=False)
    if summary.mechanisms:
        force = ", ".join(summary.in_force) or "none"
        console.print(f"\nmechanisms in force at the end: {escape(force)}", highlight=False)
    for name, claims in summary.beliefs.items():
        told = "\n".join(f"  {claim}" for claim in claims)
        console.print(f"\nclaims of {name}\n{told}", highlight=False, markup=False)


def print_mechanism(console: Console, mechanism: MechanismTrial, unit: str, source: bool) -> None:
    """One trial of a mechanism."""
    console.print(
        f"\n[bold]level {mechanism.rank}, trial {mechanism.trial}: {escape(heading(mechanism))}[/]", highlight=False
    )
    console.print(f"  {mechanism.author}\n  {mechanism.why}", highlight=False, markup=False)
    if source and mechanism.source:
        console.print(Syntax(mechanism.source, "python", background_color="default", word_wrap=True))
    print_climbs(console, mechanism)
    if mechanism.ran and mechanism.name and mechanism.change not in ("leave out", "remove"):
        print_ledger(console, mechanism.ledger)
    if mechanism.advice is not None:
        print_advice(console, mechanism.name, mechanism.advice)
    print_gains(console, mechanism, unit)
    console.print(f"  {decided(mechanism)}: {escape(mechanism.reason)}", highlight=False)
    if mechanism.calls:
        price = "price unknown" if mechanism.money is None else f"{mechanism.money:.4f} US dollars"
        console.print(f"  written in {mechanism.calls} calls, {mechanism.tokens:,} tokens, {price}", highlight=False)
    if mechanism.own_calls:
        own = f"{mechanism.own_calls} calls of its own, {mechanism.own_tokens:,} tokens"
        console.print(f"  it asked the model in {own}", highlight=False)


def _print_costs(console: Console, summary: Summary) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2), title="cost per level (all arms)", title_justify="left")
    table.add_column("level")
    asked = any(cost.calls for cost in summary.costs)
    names = ("trials", "kept", "measurements", "seconds", "CPU seconds")
    with_calls = ("trials", "kept", "measured", "seconds", "CPU s", "calls", "tokens", "US dollars", "waited s")
    for name in with_calls if asked else names:
        table.add_column(name, justify="right")
    for cost in summary.costs:
        spent = (str(cost.evaluations), f"{cost.seconds:.1f}", f"{cost.cpu_seconds:.1f}")
        own = spent if cost.level == summary.costs[0].level else ("", "", "")
        title, count = LEVEL_TITLES.get(cost.level, cost.level), ("" if cost.level == "judge" else str(cost.trials))
        table.add_row(title, count, str(cost.kept) if count else "", *own, *(_call_cost(cost) if asked else ()))
    console.print()
    console.print(table)
    if summary.asked_aside.calls:
        text = f"of these, asked on the side to see whether advice matters: {_aside_text(summary.asked_aside)}"
        console.print(text, highlight=False)
    if len(summary.costs) > 1:
        console.print(
            "outer levels measure nothing of their own: a trial of theirs is trials of level 1", highlight=False
        )


def _call_cost(cost: LevelCost) -> tuple[str, str, str, str]:
    money = "unknown" if cost.unpriced else f"{cost.money:.4f}"
    return str(cost.calls), f"{cost.tokens:,}", money if cost.calls else "", f"{cost.call_seconds:.1f}"


def _isolation(summary: Summary) -> str:
    """What the innermost trials ran behind; with numbers of trials where it has changed."""
    if len(summary.isolation) < 2:
        return next(iter(summary.isolation), "not recorded")
    return "; ".join(f"{walls} ({count} trials)" for walls, count in summary.isolation.items())


def _noise(summary: Summary) -> str:
    if summary.noise.n < 2:
        return ""
    return f"noise: sd {summary.noise.sd:.2g} over {summary.noise.n} seeds, keep margin {summary.noise.margin:.2g}"
