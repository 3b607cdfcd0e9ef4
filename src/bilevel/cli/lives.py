"""How a mechanism's life in a run looks in a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from bilevel import confirming
from bilevel.cli.helping import print_helps
from bilevel.cli.inspecting import Opened
from bilevel.cli.ladders import explained, print_retired, verdict_words
from bilevel.cli.printing import LEVEL_TITLES, console, jsonable, print_json, print_ledger
from bilevel.levels import leaf
from bilevel.shelf.lives import Life, life
from bilevel.standings import Retired, rank_of, retirements

MOST_FAULTS = 10


def print_life(run: Opened, name: str, as_json: bool) -> None:
    """Proposals, ladder, ledger, forks and where it is in force, in this order."""
    found = life(run.folder.store, run.spec, name, str(run.folder.path))
    retired = [one for one in retirements(run.folder.store, run.spec) if one.mechanism == name]
    tested = confirming.confirmed(run.folder.path, run.spec)
    helps = [one for one in tested.helps if one.series.mechanism == name] if tested is not None else []
    if as_json:
        standing = [{**jsonable(s), "sentence": s.said.sentence} for s in found.standing]
        print_json({**jsonable(found), "standing": standing, "retired": jsonable(retired), "helps": jsonable(helps)})
        return
    out = console()
    out.print(f"[bold]{escape(name)}[/] in {escape(str(run.folder.path))} ({run.state})", highlight=False)
    _print_changes(out, found)
    _print_ladder(out, found)
    _print_actions(out, found, retired)
    _print_forks(out, found, leaf(run.spec).task.objective.unit)
    if tested is not None and helps:
        _heading(out, "whole loops on fresh run seeds")
        print_helps(out, tested, leaf(run.spec).task.objective.unit, name)
    where = [f"{_level(level)}, source {_short(source)}" for level, source in found.in_force]
    _heading(out, "in force now")
    _text(out, "; ".join(where) if where else "nowhere")
    for digest, text in found.sources.items():
        _heading(out, f"source {_short(digest)}")
        out.print(Syntax(text, "python", background_color="default", word_wrap=True))


def _print_changes(out: Console, found: Life) -> None:
    _heading(out, "proposed")
    for level in found.recipe:
        _text(out, f"by the recipe, in force on {_level(level)} from the first trial; so it has no control there")
    for change in found.changes:
        verdict = "kept, provisional" if change.kept else "discarded"
        _text(out, f"{_level(change.level)}, branch {change.branch}, trial {change.trial}: {change.change}")
        _text(out, f"  source {_short(change.source)}, by {change.author}")
        if change.calls:
            numbers = ", ".join(map(str, change.calls))
            _text(out, f"  written in the calls {numbers} (`bilevel show RUN --call N` shows one)")
        _text(out, f"  {change.why}")
        _text(out, f"  {verdict}: {change.reason}")
    if not found.recipe and not found.changes:
        _text(out, "it never reached a trial: see the ladder")


def _print_ladder(out: Console, found: Life) -> None:
    _heading(out, "the ladder")
    if not found.climbs:
        _text(out, "no rung is recorded of it" if found.ladder else "this run recorded no rungs")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    levels = {climbed.level for climbed in found.climbs} | {change.level for change in found.changes}
    deep = any(rank_of(level) > 2 for level in levels)
    for name in (*(["level"] if deep else []), "trial", "source", "rung", "outcome", "cost", "reason"):
        table.add_column(name, overflow="fold")
    for climbed in found.climbs:
        climb = climbed.climb
        cost = f"{climb.seconds:.2f} s" + (f", {climb.evaluations} evaluations" if climb.evaluations else "")
        level = [str(rank_of(climbed.level))] if deep else []
        cells = (str(climbed.trial), _short(climb.source), climb.rung, climb.outcome, cost, climb.reason)
        table.add_row(*map(escape, (*level, *cells)))
    out.print(table)
    for line in explained(verdict_words(climbed.climb for climbed in found.climbs)):
        _text(out, line)


def _print_actions(out: Console, found: Life, retired: list[Retired]) -> None:
    _heading(out, "what it did, summed over all branches where it was in force")
    print_ledger(out, jsonable(found.ledger))
    for acted in found.acted:
        decisive = sum(count.decisive for count in acted.hooks.values())
        _text(out, f"{acted.branch}: asked in {acted.trials} trials, {decisive} answers decisive")
    for fault in found.faults[:MOST_FAULTS]:
        _text(out, f"fault in {fault.hook}: {fault.message}")
    if len(found.faults) > MOST_FAULTS:
        _text(out, f"and {len(found.faults) - MOST_FAULTS} more faults")
    print_retired(out, retired)


def _print_forks(out: Console, found: Life, unit: str) -> None:
    _heading(out, "gain against its control")
    if not found.forks:
        _text(out, "none: no fork tried it")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    deep = any(fork.on for fork in found.forks)
    for name in (
        *(["level"] if deep else []),
        "trial",
        "source",
        "control",
        "with",
        "without",
        "gain",
        "spread by chance",
        "",
    ):
        table.add_column(name)
    for fork in found.forks:
        removed = fork.sign < 0
        mine, other = (fork.against, fork.challenger) if removed else (fork.challenger, fork.against)
        level = [str(rank_of(fork.level))] if deep else []
        table.add_row(
            *level, str(fork.trial), _short(fork.source), fork.control, _number(mine), _number(other),
            f"{fork.gain:+.4g}", f"{fork.spread:.3g}", "inert: not counted" if fork.inert else "",
        )  # fmt: skip
    out.print(table)
    for standing in found.standing:
        inert = f" ({standing.inert} inert not counted)" if standing.inert else ""
        measure = f", in {unit}" if unit else ""
        sentence = f"{standing.said.sentence}{measure}{inert}"
        _text(out, f"source {_short(standing.source)} against {_control(standing.control, standing.on)}: {sentence}")
    _text(out, "the interval holds the effect with a posterior probability of 90 %; one fork is never proof")


def _control(control: str, on: str) -> str:
    place = f" on {_level(on)}" if on else ""
    return f"the search without it{place}" if control == "without it" else f"{control}{place}"


def _level(name: str) -> str:
    return LEVEL_TITLES.get(name, name)


def _short(digest: str) -> str:
    return digest[:8]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _heading(out: Console, text: str) -> None:
    out.print(f"\n[bold]{escape(text)}[/]", highlight=False)


def _text(out: Console, text: str) -> None:
    out.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
