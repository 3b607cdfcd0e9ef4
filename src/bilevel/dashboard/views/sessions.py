"""What models were asked and what they answered."""

from collections.abc import Mapping
from itertools import groupby

from bilevel.calls import CallSummary
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import Page, address, code, facts, link, nothing, section, table, trial_link
from bilevel.dashboard.watched import Watched
from bilevel.errors import InputError

A_PAGE = 100


def sessions(run: Watched, query: Mapping[str, str]) -> Page:
    """All calls, newest first; those that one trial asked for stand together."""
    calls = run.store.calls()[::-1]
    if not calls:
        return Page("Sessions", nothing("No model was asked in this run."), run, "calls")
    pages = -(-len(calls) // A_PAGE)
    page = min(pages, max(1, int(query["page"]) if query.get("page", "").isdecimal() else 1))
    parts = []
    for (level, branch, trial), group in groupby(calls[(page - 1) * A_PAGE : page * A_PAGE], key=_asked_by):
        title = f"{frame.level_title(level)}, trial {trial}"
        known = run.store.trial(branch, trial)
        said = trial_link(run.key, branch, trial, title) if known is not None else text(f"{title} (not finished)")
        parts.append(f"<h2>{said} <small>{text(branch)}</small></h2>" + _table(run, list(group)))
    pager = frame.pager(lambda number: address(run.key, "calls", page=number), page, pages)
    note = f'<p class="soft">{len(calls)} calls, newest first; {sum(call.cost.tokens for call in calls):,} tokens.</p>'
    return Page("Sessions", note + pager + "".join(parts) + pager, run, "calls")


def _asked_by(call: CallSummary) -> tuple[str, str, int]:
    return call.level, call.branch, call.trial


def _table(run: Watched, calls: list[CallSummary]) -> str:
    rows = [
        (
            link(address(run.key, f"call/{call.number}"), str(call.number), "row"),
            text(call.purpose),
            text(call.model),
            text(call.finish),
            f"{call.tokens_in:,}",
            f"{call.tokens_out:,}",
            text(_money(call.money)),
            f"{call.seconds:.1f}",
        )
        for call in calls
    ]
    header = ("call", "purpose", "model", "end", "tokens in", "out", "US dollars", "seconds")
    return table(header, rows, left=(1, 2, 3), about="calls")


def _money(money: float | None) -> str:
    return "unknown" if money is None else f"{money:.4f}"


def call(run: Watched, query: Mapping[str, str], rest: str) -> Page:
    """One call in full: prompt, reasoning, reply."""
    if not rest.isdecimal():
        raise InputError(f"{rest!r} is no number of a call")
    last = len(run.store.calls())
    if not 1 <= int(rest) <= last:
        raise InputError(f"there is no call {rest}; this run has " + (f"the calls 1 to {last}" if last else "none"))
    found = run.store.call(int(rest))
    reply, place = found.reply, address(run.key, f"trial/{found.trial}", branch=found.branch)
    head = facts(
        {
            "asked for": link(place, f"{frame.level_title(found.level)}, trial {found.trial}"),
            "purpose": text(found.purpose),
            "model": text(reply.model + (f" (asked as {found.asked})" if found.asked != reply.model else "")),
            "end": text(reply.finish.value),
            "tokens": text(f"{reply.tokens_in:,} in, {reply.tokens_out:,} out"),
            "US dollars": text(_money(reply.money)),
            "seconds": text(f"{found.seconds:.1f}"),
            "seed": text(found.key.seed),
        }
    )
    parts = [section(f"Prompt: {message.role}", code(message.text, "talk")) for message in found.request.messages]
    parts += [section("Its reasoning", code(reply.reasoning, "talk"))] if reply.reasoning else []
    parts.append(section("Its reply", code(reply.text, "talk reply") if reply.text else nothing("It is empty.")))
    before = address(run.key, f"call/{found.number - 1}") if found.number > 1 else ""
    after = address(run.key, f"call/{found.number + 1}") if found.number < last else ""
    pager = frame.pager(lambda number: address(run.key, f"call/{number}"), found.number, last, "call")
    up = address(run.key, "calls")
    return Page(f"Call {found.number}", pager + head + "".join(parts), run, "calls", previous=before, next=after, up=up)
