"""The mechanisms of a run: where each stands, and the whole life of one."""

from collections.abc import Mapping

from bilevel.cli.ladders import MEANINGS, cut
from bilevel.cli.printing import jsonable
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.frame import (
    Page,
    address,
    code,
    link,
    nothing,
    number,
    section,
    table,
    trial_link,
)
from bilevel.dashboard.views.trials import ledger, outcome
from bilevel.dashboard.watched import Watched
from bilevel.mechanism_trials import MechanismTrial
from bilevel.report import Summary
from bilevel.shelf.lives import Life, life
from bilevel.standings import retirements

MOST_FAULTS = 20


def mechanisms(run: Watched, query: Mapping[str, str]) -> Page:
    known = run.summary(run.patience)
    summary = known.summary
    if summary is None:
        said = known.trouble or "This page fills itself as soon as the run is summed up."
        return Page("Mechanisms", nothing(said), run, "mechanisms")
    parts = [_standings(run, summary), _static(run, summary), _trials(run, summary)]
    body = "".join(parts) or nothing("No mechanism was tried in this run, and none is in force.")
    words = {one.verdict.word for one in summary.mechanisms if one.verdict is not None} | {
        climb.outcome for one in summary.mechanisms for climb in (*one.climbs, *one.refused)
    }
    meanings = "".join(
        f"<dt>{text(word)}</dt><dd>{text(said)}</dd>" for word, said in MEANINGS.items() if word in words
    )
    return Page("Mechanisms", body + (f'<dl class="words">{meanings}</dl>' if meanings else ""), run, "mechanisms")


def _name(run: Watched, name: str) -> str:
    return link(address(run.key, "mechanism", name=name), name, "row") if name else ""


def _standings(run: Watched, summary: Summary) -> str:
    if summary.ladder is None:
        return ""
    rows = []
    for one in summary.ladder.standings:
        now = f"in force since trial {one.since}" if one.since is not None else one.ended
        rows.append(
            (
                _name(run, one.mechanism),
                text(one.source[:8]),
                text(one.rung),
                outcome(one.outcome) if one.outcome else "",
                str(one.forks),
                f'<span class="wrap">{text(one.said)}</span>',
                f'<span class="wrap">{text(now)}</span>',
            )
        )
    header = ("mechanism", "source", "rung", "outcome", "forks", "what they say", "now")
    body = table(header, rows, left=(0, 1, 2, 3, 5, 6)) if rows else nothing("No mechanism has climbed yet.")
    return section("Where each stands", body, "; ".join(summary.ladder.notes))


def _static(run: Watched, summary: Summary) -> str:
    if not summary.static:
        return ""
    names = "".join(f"<li>{_name(run, name)}</li>" for name in summary.static)
    note = "In force from the first trial, so there is no control that says what they are worth."
    return section("From the recipe", f'<ul class="names">{names}</ul>' + ledger(summary.static), note)


def _trials(run: Watched, summary: Summary) -> str:
    """What each level that searches mechanisms tried, the lowest level first."""
    ranks = sorted({one.rank for one in summary.mechanisms})
    return "".join(_tried_at(run, rank, summary) for rank in ranks)


def _tried_at(run: Watched, rank: int, summary: Summary) -> str:
    rows = []
    for one in [one for one in summary.mechanisms[::-1] if one.rank == rank]:
        decisive = sum(hooks["decisive"] for hooks in one.ledger.values())
        calls = sum(hooks["calls"] for hooks in one.ledger.values())
        rows.append(
            (
                trial_link(run.key, one.branch, one.trial, kind="row"),
                text(one.change),
                _name(run, one.name),
                text(f"{decisive} of {calls}" if one.ran else "never ran"),
                text("" if one.gain is None else f"{one.gain:+.4g}"),
                _verdict(one),
                '<span class="mark kept">kept, provisional</span>'
                if one.kept
                else '<span class="mark">discarded</span>',
                f'<span class="wrap">{text(cut(one.reason))}</span>',
            )
        )
    header = (
        "trial",
        "change",
        "mechanism",
        "decisive",
        f"gain {summary.unit}".strip(),
        "over all forks",
        "decision",
        "reason",
    )
    return section(f"Tried at level {rank}, newest first", table(header, rows, left=(1, 2, 5, 6, 7)))


def _verdict(one: MechanismTrial) -> str:
    return "" if one.verdict is None else outcome(one.verdict.word)


# ---- one of them ----


def mechanism(run: Watched, query: Mapping[str, str]) -> Page:
    """Proposals, ladder, ledger, forks, faults, sources. Raises InputError where the run has none of that name."""
    found = life(run.store, run.spec, query.get("name", ""), str(run.path))
    retired = [one for one in retirements(run.store, run.spec) if one.mechanism == found.name]
    force = (
        "; ".join(f"{frame.level_title(level)}, source {source[:8]}" for level, source in found.in_force) or "nowhere"
    )
    parts = [
        frame.facts(
            {
                "in force now": text(force),
                "decisive": text(_decisive(found)),
                "retired": text("; ".join(map(str, retired))),
            }
        ),
        _changes(run, found),
        _ladder(run, found),
        section("Ledger, over all branches where it was in force", ledger({found.name: jsonable(found.ledger)})),
        _forks(run, found),
    ]
    rows = [(text(f.hook), f'<span class="wrap">{text(f.message)}</span>') for f in found.faults[:MOST_FAULTS]]
    more = f"{len(found.faults)} in all" if len(found.faults) > MOST_FAULTS else ""
    parts += [section("Faults", table(("hook", "message"), rows, left=(0, 1)), more)] if rows else []
    parts += [section(f"Source {digest[:8]}", code(source, "source")) for digest, source in found.sources.items()]
    return Page(f"Mechanism {found.name}", "".join(parts), run, "mechanisms", up=address(run.key, "mechanisms"))


def _decisive(found: Life) -> str:
    calls, decisive = (sum(getattr(count, what) for count in found.ledger.values()) for what in ("calls", "decisive"))
    return f"{decisive} of {calls} answers"


def _changes(run: Watched, found: Life) -> str:
    said = "".join(
        f"<p>By the recipe, in force on {text(frame.level_title(level))} from the first trial.</p>"
        for level in found.recipe
    )
    rows = []
    for change in found.changes:
        calls = " ".join(link(address(run.key, f"call/{n}"), str(n)) for n in change.calls)
        rows.append(
            (
                trial_link(run.key, change.branch, change.trial, kind="row"),
                text(change.change),
                text(change.source[:8]),
                f'<span class="wrap">{text(change.author)}</span>',
                calls,
                "kept, provisional" if change.kept else "discarded",
                f'<span class="wrap">{text(change.why)}</span>',
                f'<span class="wrap">{text(change.reason)}</span>',
            )
        )
    header = ("trial", "change", "source", "by", "calls", "decision", "why", "reason")
    return section("Proposed", said + (table(header, rows, left=(1, 2, 3, 4, 5, 6, 7)) if rows else ""))


def _ladder(run: Watched, found: Life) -> str:
    rows = [
        (
            trial_link(run.key, one.branch, one.trial) if run.store.trial(one.branch, one.trial) else str(one.trial),
            text(one.climb.source[:8]),
            text(one.climb.rung),
            outcome(one.climb.outcome),
            text(f"{one.climb.seconds:.2f} s"),
            f'<span class="wrap">{text(one.climb.reason)}</span>',
        )
        for one in found.climbs
    ]
    header = ("trial", "source", "rung", "outcome", "cost", "reason")
    return section("Its life on the ladder", table(header, rows, left=(1, 2, 3, 5))) if rows else ""


def _forks(run: Watched, found: Life) -> str:
    rows = []
    for fork in found.forks:
        mine, other = (fork.against, fork.challenger) if fork.sign < 0 else (fork.challenger, fork.against)
        rows.append(
            (
                str(fork.trial),
                text(fork.source[:8]),
                text(fork.control),
                text(number(mine)),
                text(number(other)),
                f"{fork.gain:+.4g}",
                f"{fork.spread:.3g}",
                "inert: not counted" if fork.inert else "",
            )
        )
    header = ("trial", "source", "control", "with", "without", "gain", "spread by chance", "")
    said = "".join(
        f"<p>source {text(one.source[:8])} against {text(one.control)}: {text(one.said.sentence)}</p>"
        for one in found.standing
    )
    note = "The interval holds the effect with a posterior probability of 90 %; one fork is never proof."
    return section("Gain against its control", table(header, rows, left=(1, 2, 7)) + said, note) if rows else ""
