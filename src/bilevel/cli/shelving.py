"""`mechanisms`: what there is, what is known of each, and how one comes out of a run and into the library."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from bilevel.cli.printing import console, jsonable, print_json
from bilevel.errors import InputError
from bilevel.shelf import every, find
from bilevel.shelf.found import Found
from bilevel.shelf.places import project_folder, user_folder
from bilevel.shelf.record import Measurement
from bilevel.shelf.shelves import file_of
from bilevel.shelf.storing import Stored, refusals, remove, store, take_over

REFUSED = 1  # exit code of `check`, and of an import of which something was refused


def print_list(family: str, as_json: bool) -> None:
    """All mechanisms, by the shortest name that means each."""
    found = every()
    if as_json:
        print_json([{"name": name, **facts(one, family)} for name, one in found.items()])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for heading, widest in (("name", 26), ("from", 26), ("hooks", 18), ("needs", 16), ("title, and evidence", None)):
        table.add_column(heading, overflow="fold", max_width=widest)
    for name, one in found.items():
        standing = one.standing(family)
        style = "dim" if standing == "not measured" else "yellow" if one.problem or one.changed or one.note else "green"
        title = f"{escape(one.title)}\n" if one.title else ""
        hooks, needs = ", ".join(one.hooks), ", ".join(sorted(one.needs))
        table.add_row(
            escape(name), escape(source_of(one)), hooks, escape(needs), f"{title}[{style}]{escape(standing)}[/]"
        )
    out = console()
    out.print(table)
    print_places(out)


def source_of(one: Found) -> str:
    """Where a mechanism comes from, in a word or two."""
    return f"package {one.by}" if one.origin == "package" else one.origin


def print_places(out: Console) -> None:
    """Where the project's and the user's are looked for."""
    for title, folder in (("project", project_folder()), ("user library", user_folder())):
        there = "" if folder.is_dir() else " (not there)"
        out.print(f"{title}: {folder}{there}", highlight=False, markup=False, soft_wrap=True)


def facts(one: Found, family: str = "") -> dict[str, Any]:
    """What a library says of a mechanism, for other programs."""
    best = one.best(family)
    return {
        "qualified": one.qualified,
        "from": one.origin,
        "by": one.by,
        "place": one.place,
        "title": one.title,
        "hooks": list(one.hooks),
        "needs": sorted(one.needs),
        "standing": one.standing(family),
        "changed": one.changed,
        "foreign": one.foreign,
        "problem": one.problem,
        "evidence": None if best is None else best.model_dump(mode="json"),
    }


def print_show(name: str, run: Path | None, as_json: bool) -> None:
    """One mechanism of the library; or its whole life in a run."""
    if run is not None:
        from bilevel.cli.inspecting import opened
        from bilevel.cli.lives import print_life

        with opened(run) as there:
            print_life(there, name, as_json)
        return
    one = find(name)
    if as_json:
        record = None if one.record is None else one.record.model_dump(mode="json")
        evidence = [measurement.model_dump(mode="json") for measurement in one.evidence]
        print_json({
            "name": one.name, **facts(one), "domain": one.domain, "source": one.source, "source_hash": one.source_hash,
            "parameters": {key: jsonable(value) for key, value in one.parameters.items()}, "record": record,
            "evidence": evidence,
        })  # fmt: skip
        return
    out = console()
    out.print(f"[bold]{escape(one.name)}[/]: {escape(one.title)}", highlight=False)
    _line(out, "from", f"{source_of(one)} ({one.place})")
    _line(out, "named", one.qualified)
    _line(out, "hooks", ", ".join(one.hooks) or "none")
    _line(out, "needs", ", ".join(sorted(one.needs)) or "nothing")
    _line(out, "parameters", ", ".join(f"{key}={value!r}" for key, value in one.parameters.items()) or "none")
    _print_record(out, one)
    out.print(Syntax(one.source, "python", background_color="default", word_wrap=True))


def _print_record(out: Console, one: Found) -> None:
    record = one.record
    if record is None or one.changed:
        _line(out, "evidence", one.standing())
        return
    origin = record.origin
    _line(out, "author", record.author or "not said")
    if record.created is not None:
        _line(out, "created", record.created.isoformat())
    if origin.run:
        where = (
            f", trial {origin.trial} of {origin.level} on branch {origin.branch}" if origin.trial is not None else ""
        )
        calls = f", written in calls {', '.join(map(str, origin.calls))}" if origin.calls else ""
        _line(out, "origin", f"run {origin.run} (recipe {origin.recipe}, task {origin.task}){where}{calls}")
    if origin.imported:
        _line(out, "imported", f"from {origin.imported}: what follows was measured elsewhere")
    if record.preconditions.kinds:
        _line(out, "measured on", f"parameters of kind {', '.join(record.preconditions.kinds)}")
    if not one.evidence:
        _line(out, "evidence", one.standing())
    for measurement in one.evidence:
        _print_measurement(out, measurement)


def _print_measurement(out: Console, measurement: Measurement) -> None:
    _line(out, "evidence", measurement.sentence)
    gains = ", ".join(f"{gain:+.3g}" for gain in measurement.gains) or "none"
    _line(out, "", f"gains {gains}; e-value {measurement.e_value:.2g}; {measurement.evaluations} evaluations")
    machine = f", machine {measurement.machine}" if measurement.machine else ""
    _line(out, "", f"run {measurement.run}, {measurement.date}, harness {measurement.harness[:12]}{machine}")


def _line(out: Console, title: str, text: str) -> None:
    out.print(f"  {title:12}{text}", highlight=False, markup=False)


def print_check(names: tuple[str, ...], as_json: bool) -> int:
    """Put mechanisms to the door, each in full. Returns the exit code."""
    judged: list[dict[str, Any]] = []
    for name in names:
        one = find(name)
        began = time.perf_counter()
        problems = refusals(one.source, one.name)
        judged.append({"name": name, "problems": list(problems), "seconds": round(time.perf_counter() - began, 2)})
    if as_json:
        print_json(judged)
    out = console()
    for each in [] if as_json else judged:
        verdict = "is refused at the door" if each["problems"] else "passes the door"
        out.print(f"{each['name']}: {verdict} ({each['seconds']} s)", highlight=False, markup=False)
        for problem in each["problems"]:
            out.print(f"  - {problem}", highlight=False, markup=False, soft_wrap=True)
    return REFUSED if any(each["problems"] for each in judged) else 0


def print_export(
    run: Path, name: str, to: Path | None, library: bool, trial: int | None, force: bool, as_json: bool
) -> None:
    """Take a mechanism out of a run, with what the run's forks say of it."""
    from bilevel.cli.inspecting import opened
    from bilevel.shelf.measuring import taken_out

    if to is not None and library:
        raise InputError("give --to FILE or --library, not both")
    with opened(run, whole=True) as there:
        source, record = taken_out(
            there.folder.store, there.spec, name, run=run, recipe=there.recipe.name, trial=trial
        )  # fmt: skip
    problems = refusals(source, name) if library else ()
    if problems:
        raise InputError(f"{name!r} was refused at the door and is not stored: {'; '.join(problems)}")
    folder = user_folder() if library else project_folder()
    stored = store(to or folder / file_of(name), source, record, force=force)
    evidence = [measurement.sentence for measurement in record.evidence]
    if as_json:
        print_json({**jsonable(stored), "evidence": [m.model_dump(mode="json") for m in record.evidence]})
        return
    print_stored(stored)
    for sentence in evidence or ["not measured: in this run no fork tried it against a control"]:
        print(f"  evidence from this run: {sentence}")


def print_import(source: Path, force: bool, as_json: bool) -> int:
    """Take mechanisms over into the user library. Returns the exit code."""
    done = take_over(source, force=force)
    if as_json:
        print_json([jsonable(stored) for stored in done])
    for stored in [] if as_json else done:
        print_stored(stored)
    return REFUSED if any(stored.done == "refused" for stored in done) else 0


def print_stored(stored: Stored) -> None:
    """What became of one mechanism."""
    out = console()
    where = f": {stored.path}" if stored.path else ""
    out.print(f"{stored.name} {stored.done}{where}", highlight=False, markup=False, soft_wrap=True)
    for problem in stored.problems:
        out.print(f"  - {problem}", highlight=False, markup=False, soft_wrap=True)


def print_remove(name: str, as_json: bool) -> None:
    """Take a mechanism out of the user library."""
    found = remove(name)
    if as_json:
        print_json({"removed": found.qualified, "place": found.place})
    else:
        print(f"removed {found.place} and what was known of it")
