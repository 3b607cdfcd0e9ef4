"""What a run spent, by level, by model and by purpose."""

from collections.abc import Callable, Mapping, Sequence

from bilevel.calls import CallSummary
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import Page, facts, nothing, section, table
from bilevel.dashboard.watched import Watched

HEADER = ("calls", "tokens in", "tokens out", "US dollars", "waited s")


def costs(run: Watched, query: Mapping[str, str]) -> Page:
    inner, calls = run.inner, run.store.calls()
    elapsed = run.opened.folder.meta("elapsed")
    money = (
        "unknown" if any(call.money is None for call in calls) else f"{sum(call.money or 0.0 for call in calls):.4f}"
    )
    body = facts(
        {
            "measurements, all arms": text(sum(row.evaluations for row in inner)),
            "seconds of measuring": text(f"{sum(row.seconds for row in inner):.1f}"),
            "seconds at work": text("" if elapsed is None else f"{float(elapsed):.0f}"),
            "calls to models": text(len(calls)),
            "tokens": text(f"{sum(call.cost.tokens for call in calls):,}"),
            "US dollars": text(money if calls else "none"),
        }
    )
    rows = []
    for level in reversed(run.levels):
        own = run.rows(level)
        spent = (str(sum(row.evaluations for row in own)), f"{sum(row.seconds for row in own):.1f}")
        rows.append(
            (
                text(frame.level_title(level)),
                str(len(own)),
                str(sum(row.keep for row in own)),
                *(spent if level == run.levels[0] else ("", "")),
                *_sums([c for c in calls if c.level == level]),
            )
        )
    judged = [call for call in calls if call.level == "judge"]
    rows += [("judge", "", "", "", "", *_sums(judged))] if judged else []
    note = "Outer levels measure nothing of their own: a trial of theirs is trials of level 1."
    body += section("By level", table(("level", "trials", "kept", "measurements", "seconds", *HEADER), rows), note)
    if calls:
        body += section("By model", _by(calls, lambda call: call.model, "model"))
        body += section("By purpose", _by(calls, lambda call: call.purpose, "purpose"))
    return Page("Costs", body if inner else nothing("Nothing is spent yet."), run, "costs")


def _sums(calls: Sequence[CallSummary]) -> tuple[str, ...]:
    if not calls:
        return ("",) * len(HEADER)
    money = (
        "unknown" if any(call.money is None for call in calls) else f"{sum(call.money or 0.0 for call in calls):.4f}"
    )
    tokens = f"{sum(call.tokens_in for call in calls):,}", f"{sum(call.tokens_out for call in calls):,}"
    return (str(len(calls)), *tokens, money, f"{sum(call.seconds for call in calls):.1f}")


def _by(calls: Sequence[CallSummary], name: Callable[[CallSummary], str], what: str) -> str:
    groups: dict[str, list[CallSummary]] = {}
    for call in calls:
        groups.setdefault(name(call), []).append(call)
    rows = [(text(said), *_sums(own)) for said, own in sorted(groups.items(), key=lambda pair: -len(pair[1]))]
    return table((what, *HEADER), rows)
