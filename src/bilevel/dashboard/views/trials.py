"""The trials of a run, page by page, and one trial in full."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from bilevel.cli.ladders import cut
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import (
    Page,
    address,
    code,
    facts,
    link,
    nothing,
    number,
    section,
    table,
    trial_link,
)
from bilevel.dashboard.records import Row
from bilevel.dashboard.watched import Watched
from bilevel.errors import InputError
from bilevel.space import Candidate
from bilevel.trial import Climb, Run, Trial

A_PAGE = 100
LONGEST = 24  # characters of an author's name in a list
GOOD = ("passed", "helped", "confirmed")
BAD = ("refused", "hurt", "removed", "inert", "refuted", "harmful")
WHICH = {"": "all", "kept": "kept", "failed": "without a score"}


def trial_table(run: Watched, rows: Iterable[Row]) -> str:
    """Trials in a line each."""
    made = [
        (
            trial_link(run.key, row.branch, row.number, kind="row"),
            text(" · ".join(part for part in (frame.level_title(row.level).partition(" (")[0], row.arm) if part)),
            text("" if row.score is None else f"{row.score:.6g}"),
            frame.verdict(row),
            f'<span class="wrap">{text(frame.changed(row))}</span>',
            text(cut(row.author.partition(" (")[0], LONGEST)),
            f'<span class="wrap">{text(cut(row.reason))}</span>',
        )
        for row in rows
    ]
    header = ("trial", "level", "score", "decision", "change", "by", "reason")
    return table(header, made, left=(1, 3, 4, 5, 6), about="trials") if made else nothing("There is none.")


def trials(run: Watched, query: Mapping[str, str]) -> Page:
    """The list of trials, newest first."""
    level = query.get("level") or run.levels[0]
    which, branch = query.get("which", ""), query.get("branch", "")
    rows = [row for row in run.rows(level) if _wanted(row, which) and branch in ("", row.branch)][::-1]
    pages = max(1, -(-len(rows) // A_PAGE))
    page = min(pages, max(1, _number(query.get("page", "1"))))

    def target(number: int) -> str:
        return address(run.key, "trials", level=level, which=which, branch=branch, page=number if number > 1 else "")

    chosen = [
        _choice(
            "level",
            ((one, frame.level_title(one)) for one in reversed(run.levels)),
            level,
            lambda one: address(run.key, "trials", level=one, which=which),
        ),
        _choice("show", WHICH.items(), which, lambda one: address(run.key, "trials", level=level, which=one)),
    ]
    if branch:
        chosen.append(
            f'<p class="choice">branch {text(branch)} · {link(address(run.key, "trials", level=level), "all")}</p>'
        )
    shown = rows[(page - 1) * A_PAGE : page * A_PAGE]
    pager = frame.pager(target, page, pages)
    body = (
        "".join(chosen)
        + f'<p class="soft">{len(rows)} trials, newest first</p>'
        + pager
        + trial_table(run, shown)
        + pager
    )
    before, after = target(page - 1) if page > 1 else "", target(page + 1) if page < pages else ""
    return Page("Trials", body, run, "trials", previous=before, next=after)


def _wanted(row: Row, which: str) -> bool:
    return {"kept": row.keep, "failed": row.failed}.get(which, True)


def _number(said: str) -> int:
    try:
        return int(said)
    except ValueError:
        raise InputError(f"{said!r} is no number") from None


def _choice(name: str, options: Iterable[tuple[str, str]], chosen: str, target: object) -> str:
    assert callable(target)
    items = "".join(
        f'<a href="{text(target(value))}"{" aria-current=true" if value == chosen else ""}>{text(said)}</a>'
        for value, said in options
    )
    return f'<p class="choice"><span>{text(name)}</span>{items}</p>'


# ---- one trial ----


def trial(run: Watched, query: Mapping[str, str], rest: str) -> Page:
    """One trial in full: change, diff, runs with their logs, decision, ladder, ledger."""
    branch = query.get("branch") or next((one.id for one in run.branches(run.levels[0])), "root")
    shown = _number(rest)
    found = run.store.trial(branch, shown)
    if found is None:
        raise InputError(f"branch {branch!r} has no trial {shown} of its own")
    level = run.store.branch(branch).level
    row = next(row for row in run.store.rows(run.store.branch(branch)) if row.number == shown)
    parts = [
        _head(run, found, row, level),
        _reasons(found),
        _differences(run, found),
        _runs(found),
        _arms(run, found),
        climbs(found.climbs),
        _turned(found),
        _ledger(found),
    ]
    own = [row.number for row in run.store.rows(run.store.branch(branch))]
    place = own.index(shown)
    before = address(run.key, f"trial/{own[place - 1]}", branch=branch) if place else ""
    after = address(run.key, f"trial/{own[place + 1]}", branch=branch) if place + 1 < len(own) else ""
    moves = "".join(
        [
            f'<a href="{text(before)}" rel="prev">‹ before</a>' if before else "<span>‹ before</span>",
            f"<span>branch {text(branch)}</span>",
            f'<a href="{text(after)}" rel="next">after ›</a>' if after else "<span>after ›</span>",
        ]
    )
    pager = f'<nav class="pager" aria-label="trials of this branch">{moves}</nav>'
    up = address(run.key, "trials", level=level)
    return Page(
        f"Trial {shown}: {frame.changed(row)}",
        pager + "".join(parts),
        run,
        "trials",
        previous=before,
        next=after,
        up=up,
    )


def _head(run: Watched, found: Trial, row: Row, level: str) -> str:
    unit = run.objective.unit if level == run.levels[0] else ""
    return facts(
        {
            "decision": frame.verdict(row),
            "score": text(number(found.score, unit)),
            "level": text(frame.level_title(level)),
            "arm": text(row.arm),
            "by": text(found.proposal.author),
            "status": text(found.status.value),
            "cost": text(f"{frame.count(found.cost.evaluations, 'measurement')}, {found.cost.seconds:.3g} s"),
            "saw": text(frame.count(found.sees, "trial")),
            "isolation": text(found.isolation),
        }
    )


def _reasons(found: Trial) -> str:
    said = {"why it was proposed": found.proposal.why, "why it was decided so": found.decision.reason}
    if found.reason and found.reason != found.decision.reason:
        said["how it failed"] = found.reason
    said |= {f"told: {name}": words for name, words in found.told.items()}
    body = "".join(f'<h3>{text(name)}</h3><p class="words">{text(words)}</p>' for name, words in said.items() if words)
    return section("Why", body) if body else ""


def _differences(run: Watched, found: Trial) -> str:
    baseline = run.store.trial(next(one.id for one in run.branches(run.levels[0])), 0)
    parts = [_diff(found.parent, found.candidate, "its parent")]
    is_inner = baseline is not None and set(baseline.candidate.params) == set(found.candidate.params)
    if is_inner and baseline is not None and found.parent.id != baseline.candidate.id:
        whole = _diff(baseline.candidate, found.candidate, "the baseline")
        parts.append(f"<details><summary>against the baseline</summary>{whole}</details>")
    return section("What changed", "".join(parts))


def _diff(old: Candidate, new: Candidate, against: str) -> str:
    changes = new.changes_from(old)
    rows = [(text(name), frame.value(change.old), frame.value(change.new)) for name, change in changes.items()]
    parts = (
        [table(("parameter", "old", "new"), rows, left=(0, 1, 2), about=f"changes against {against}")] if rows else []
    )
    for name in new.files_changed_from(old):
        before, after = old.files.get(name, ""), new.files.get(name, "")
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
        parts.append(frame.diff(lines))
    return "".join(parts) or nothing(f"Nothing differs from {against}.")


def _runs(found: Trial) -> str:
    parts = []
    for one, whose in [*((one, "") for one in found.runs), *((one, "the parent, ") for one in found.parent_runs)]:
        parts.append(_run(one, whose))
    for out in found.fallen:
        whose = "The candidate" if out.candidate == found.candidate.id else "Its parent"
        parts.append(f"<p>{whose} is out, by all its runs: {text(out.reason)}.</p>")
    return section("Runs", "".join(parts)) if parts else ""


def _run(one: Run, whose: str) -> str:
    metrics = ", ".join(f"{name} {value:.6g}" for name, value in (one.metrics or {}).items())
    said = [f"{whose}{one.rung}, seed {one.seed}: {one.status.value}", metrics, f"{one.cost.seconds:.3g} s"]
    head = " · ".join(part for part in said if part)
    log = one.log.strip()
    if not log:
        return f"<p>{text(head)}</p>"
    return f"<details{' open' if one.metrics is None else ''}><summary>{text(head)}</summary>{code(log)}</details>"


def _arms(run: Watched, found: Trial) -> str:
    """The arms of a trial of an outer loop."""
    data = found.runs[-1].data if found.runs else {}
    rows = []
    for name, arm in data.get("arms", {}).items():
        place = link(
            address(run.key, "trials", level=run.store.branch(arm["branch"]).level, branch=arm["branch"]), arm["branch"]
        )
        rows.append(
            (text(name), place, text(number(arm["before"])), text(number(arm["best"])), str(arm["evaluations"]))
        )
    header = ("arm", "branch", "best before", "best after", "measurements")
    return section("Arms", table(header, rows, left=(0, 1))) if rows else ""


def climbs(found: Sequence[Climb]) -> str:
    """Rungs of the ladder."""
    rows = [
        (
            text(one.mechanism),
            text(one.source[:8]),
            text(one.rung),
            outcome(one.outcome),
            text(f"{one.seconds:.2f} s" + (f", {one.evaluations} evaluations" if one.evaluations else "")),
            f'<span class="wrap">{text(one.reason)}</span>',
        )
        for one in found
    ]
    header = ("mechanism", "source", "rung", "outcome", "cost", "reason")
    return section("The ladder", table(header, rows, left=(0, 1, 2, 3, 5))) if rows else ""


def outcome(word: str) -> str:
    """An outcome on the ladder, or the status of a claim; the word says it."""
    kind = "kept" if word in GOOD else "failed" if word in BAD else ""
    return f'<span class="mark {kind}">{text(word)}</span>'


def _turned(found: Trial) -> str:
    rows = [(text(back.author), f'<span class="wrap">{text(back.reason)}</span>') for back in found.turned_back]
    parts = [section("Drafts turned back", table(("by", "reason"), rows, left=(0, 1)))] if rows else []
    faults = [(text(f.guest), text(f.hook), f'<span class="wrap">{text(f.message)}</span>') for f in found.faults]
    parts += [section("Faults", table(("guest", "hook", "message"), faults, left=(0, 1, 2)))] if faults else []
    return "".join(parts)


def _ledger(found: Trial) -> str:
    counts = {name: {hook: vars(count) for hook, count in hooks.items()} for name, hooks in found.ledger.items()}
    return section("Ledger of this trial", ledger(counts)) if counts else ""


def ledger(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """Per mechanism and hook: calls, touched, decisive, faults."""
    rows = [
        (text(name), text(hook), *(str(count[key]) for key in ("calls", "touched", "decisive", "faults")))
        for name, hooks in found.items()
        for hook, count in hooks.items()
    ]
    header = ("mechanism", "hook", "calls", "touched", "decisive", "faults")
    return table(header, rows, left=(0, 1)) if rows else nothing("It was never called.")
