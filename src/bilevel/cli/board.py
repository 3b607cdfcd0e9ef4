"""A run in a terminal: the levels as nested rows, the best so far, mechanisms, the last decisions, what is spent."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bilevel.cli.printing import LEVEL_TITLES
from bilevel.cli.progress import Decided, Progress, Tried, change_text, score_text
from bilevel.dashboard.records import arm_of
from bilevel.report import sparkline

ARMS = 8  # characters on each side of the middle of a score's bar
FULL = 2.0  # margins that one side of the bar stands for
SHARE = 12  # characters of a bar of what is spent
FIXED = 11  # lines of the board that are there whatever happens
MECHANISMS = 5  # that are shown with their ledgers


def board(progress: Progress, title: str, state: str = "", height: int = 40, width: int = 120) -> Group:
    """The whole picture, of at most about `height` lines."""
    parts: list[RenderableType] = [_head(progress, title, state), _levels(progress), _best(progress, width)]
    parts += [Text(line, "yellow") for line in progress.waiting()]
    mechanisms = list(_mechanisms(progress))
    parts += mechanisms
    room = max(2, height - FIXED - len(progress.levels) - len(mechanisms) - len(progress.tried))
    parts += [_decisions(progress, min(room, 12)), _spent(progress)]
    return Group(*parts)


def _head(progress: Progress, title: str, state: str) -> Text:
    parts = [title, state, clock(progress.elapsed)]
    left = progress.left
    parts += [f"about {clock(left)} left"] if left is not None and state in ("", "running") else []
    if progress.rounds is not None and state in ("", "running"):
        parts.append(f"the answer on fresh seeds: round {progress.rounds}")
    return Text(" · ".join(part for part in parts if part), "bold", no_wrap=True, overflow="ellipsis")


def _table(*names: str, wide: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True, header_style="dim")
    for name in names:
        table.add_column(name, overflow="ellipsis", no_wrap=True, ratio=wide.get(name))
    return table


def _levels(progress: Progress) -> Table:
    """What each level tries just now, the outermost first; where nothing is under way, its last trial."""
    table = _table("level", "trial", "by", "what is tried", "stands at", "time", wide={"what is tried": 1})
    for depth, level in enumerate(reversed(progress.levels)):
        own = [one for one in progress.tried if one.level == level]
        for one in own:
            _add_tried(table, progress, depth, one)
        if not own:
            _add_last(table, depth, level, progress.last.get(level))
    return table


def _add_tried(table: Table, progress: Progress, depth: int, one: Tried) -> None:
    pending, where = one.pending, _named(depth, one.level, one.branch)
    standing = "refused" if pending.refused else "measuring" if one.level == progress.levels[0] else "under way"
    table.add_row(
        where, str(pending.number), _by(pending.proposal.author), Text(change_text(pending)), Text(standing, "cyan"),
        clock(progress.clock() - one.since),
    )  # fmt: skip


def _add_last(table: Table, depth: int, level: str, last: Decided | None) -> None:
    if last is None:
        table.add_row(_named(depth, level, ""), "", "", Text("nothing yet", "dim"), "", "")
        return
    trial, where = last.trial, _named(depth, level, last.branch)
    said = Text(f"{score_text(trial)} ") + _verdict(last)
    changed = Text(change_text(trial), "dim")
    table.add_row(where, str(trial.number), _by(trial.proposal.author), changed, said, "")


def _named(depth: int, level: str, branch: str) -> Text:
    inside = "  " * max(0, depth - 1) + ("└ " if depth else "")
    return Text(inside + LEVEL_TITLES.get(level, level) + _arm(branch))


def _arm(branch: str) -> str:
    arm = arm_of(branch)
    return f", {arm}" if arm else ""


def _by(author: str) -> Text:
    return Text(author.split(" (")[0])


def _verdict(one: Decided) -> Text:
    trial = one.trial
    return Text("keep", "green") if trial.decision.keep else Text("discard", "red" if trial.score is None else "dim")


def _best(progress: Progress, width: int) -> Text:
    """The best so far as a line of blocks, from where it began, and the noise."""
    if not progress.curve:
        return Text("best so far: none yet", "dim")
    unit = f" {progress.objective.unit}" if progress.objective.unit else ""
    line = sparkline(tuple(progress.curve), progress.objective.minimize, max(10, min(60, width - 75)))
    said = Text.assemble(("best so far ", "dim"), (f"{progress.curve[-1]:.6g}{unit}", "bold"), "  ", (line, "green"))
    if progress.baseline is not None:
        said.append(f"  from {progress.baseline:.6g}", "dim")
    if progress.noise is not None and progress.noise.n > 1:
        said.append(f" · noise ±{progress.noise.sd:.2g}, a gain from {progress.margin:.2g}", "dim")
    said.no_wrap, said.overflow = True, "ellipsis"
    return said


def _mechanisms(progress: Progress) -> Iterator[RenderableType]:
    """Those in force with their ledgers, and the one that level 2 tries."""
    tried = [
        name
        for one in progress.tried
        if one.level.startswith("mechanisms")
        for name in one.pending.proposal.candidate.files_changed_from(one.pending.parent)
    ]
    names = [*progress.in_force, *(name for name in tried if name not in progress.in_force)]
    if not names:
        if len(progress.levels) > 1:
            yield Text("mechanisms in force: none", "dim")
        return
    for name in names[:MECHANISMS]:
        hooks = progress.ledger.get(name, {})
        counts = [
            f"{hook} {n.decisive} of {n.calls} decisive"
            for hook, n in hooks.items()
            if n.decisive or hook != "remember"
        ]
        faults = sum(count.faults for count in hooks.values())
        said = Text.assemble(
            ("mechanism ", "dim"), (name, "bold"), ("" if name in progress.in_force else " (on trial)", "cyan"), "  ",
            ", ".join(counts) or "not asked yet", (f", {faults} faults" if faults else "", "red"),
            (f" · {progress.verdicts[name]}" if name in progress.verdicts else "", "dim"),
        )  # fmt: skip
        said.no_wrap, said.overflow = True, "ellipsis"
        yield said
    if len(names) > MECHANISMS:
        yield Text(f"and {len(names) - MECHANISMS} more mechanisms", "dim")


def _decisions(progress: Progress, most: int) -> Table:
    """The last decisions with their reasons, the newest first; each score beside the best before it."""
    table = _table("decided", "trial", "change", "score", "against the best", "", "why", wide={"change": 2, "why": 3})
    for one in [*progress.recent][::-1][:most]:
        trial = one.trial
        title = LEVEL_TITLES.get(one.level, one.level).partition(" (")[0]
        table.add_row(
            Text(title + _arm(one.branch)), str(trial.number), Text(change_text(trial)),
            Text(score_text(trial), "" if trial.score is not None else "red"), _against(progress, one), _verdict(one),
            Text(trial.decision.reason, "dim"),
        )  # fmt: skip
    return table


def _against(progress: Progress, one: Decided) -> Text:
    """Where a score lies beside the best before it: what is shaded is noise, right of the middle is better."""
    if one.trial.score is None or one.before is None or one.level != progress.levels[0]:
        return Text("")
    return bar(progress.objective.gain(one.before, one.trial.score), progress.margin)


def bar(gain: float, margin: float) -> Text:
    """A gain on a line of characters from -FULL to +FULL margins; without a margin it is only its sign."""
    cells = ["·"] * (2 * ARMS + 1)
    if margin > 0:
        noise = round(ARMS / FULL)
        cells[ARMS - noise : ARMS + noise + 1] = ["░"] * (2 * noise + 1)
        place = ARMS + round(ARMS * max(-1.0, min(1.0, gain / (FULL * margin))))
    else:
        place = ARMS + (ARMS if gain > 0 else -ARMS if gain < 0 else 0)
    cells[ARMS] = "│"
    line = Text("".join(cells), "dim")
    look = "green" if gain > margin else "bold" if abs(gain) <= margin else "red"
    return Text.assemble(line[:place], ("●", look), line[place + 1 :])


def _spent(progress: Progress) -> Text:
    """What is spent, beside what may be."""
    said = Text("spent ", "dim")
    said.append_text(
        _share(
            "measurements", progress.measured, progress.planned, f"{progress.measured:,}", f"{progress.planned or 0:,}"
        )
    )
    limits, tokens = progress.limits, progress.cost.tokens
    if limits.seconds is not None:
        said.append(" · ").append_text(
            _share("", progress.elapsed, limits.seconds, clock(progress.elapsed), clock(limits.seconds))
        )
    if progress.calls or limits.tokens is not None:
        said.append(f" · {progress.calls:,} calls · ")
        said.append_text(_share("tokens", tokens, limits.tokens, f"{tokens:,}", f"{limits.tokens or 0:,.0f}"))
    if progress.unpriced:
        said.append(f" · price of {progress.unpriced:,} calls unknown")
    if progress.calls > progress.unpriced or limits.money is not None:
        money = progress.cost.money
        said.append(" · ").append_text(
            _share("US dollars", money, limits.money, f"{money:.4f}", f"{limits.money or 0:g}")
        )
    return said


def _share(what: str, spent: float, most: float | None, shown: str, whole: str) -> Text:
    """A number, and where there is a bound, a bar beside it."""
    words = f" {what}" if what else ""
    if not most:
        return Text(f"{shown}{words}")
    share = spent / most
    filled = max(0, min(SHARE, round(SHARE * share)))
    look = "red" if share >= 0.95 else "yellow" if share >= 0.8 else "green"
    return Text.assemble(
        f"{shown} of {whole}{words} ", ("█" * filled, look), ("░" * (SHARE - filled), "dim"), f" {share:.0%}"
    )


def clock(seconds: float) -> str:
    """So many seconds as people read a clock: 7 s, 1:05, 2:03:04."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
