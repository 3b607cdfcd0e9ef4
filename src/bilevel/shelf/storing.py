"""Putting mechanisms into a library folder, and taking them out. Every source passes the door before it is stored."""

import re
from dataclasses import dataclass
from pathlib import Path

from bilevel.carrying import CODE, STEP, carrier_of
from bilevel.errors import InputError
from bilevel.mechanism import Guest
from bilevel.shelf import archives
from bilevel.shelf.found import Found
from bilevel.shelf.places import user_folder
from bilevel.shelf.record import Record, parsed, put, written
from bilevel.shelf.shelves import at, file_of, is_text, on, plain

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Stored:
    """What became of a mechanism that was to be stored. `done`: "stored", "evidence added", "there already",
    "replaced" or "refused", with the reasons."""

    name: str
    done: str
    path: str = ""
    problems: tuple[str, ...] = ()


def refusals(source: str, name: str = "") -> tuple[str, ...]:
    """Why the door refuses a source text; empty where it lets it in. Code is tried in the best sandbox that there is; a
    text, which its name tells, is read as a researcher would, without a task: what it says of parameters is not judged.
    A step as code is both read and tried.
    """
    if carrier_of(name) != CODE:
        from bilevel.researchers.llm_inner import ModelResearcher
        from bilevel.researchers.workflow import Workflow

        reader = Workflow() if carrier_of(name) in ("workflow", STEP) else ModelResearcher()
        problem = reader.refusal(Guest(name, source), None)
        if problem or carrier_of(name) != STEP:
            return (problem,) if problem else ()
    from bilevel.admission import misnamed
    from bilevel.hosting import Hosting
    from bilevel.recipe import SandboxTable

    hosting = Hosting(SandboxTable())
    try:
        problem = misnamed(Guest(name, source))
        return (problem,) if problem else tuple(hosting.door.admit(source).problems)
    finally:
        hosting.close()


def store(path: Path, source: str, record: Record, *, force: bool = False) -> Stored:
    """Write a pair: PATH (NAME.py, or NAME.CARRIER.md for a text), and the record, in .toml, beside it.

    Where the same source lies there, the evidence is added to what is known of it. Another source is left alone unless
    `force`. Raises InputError for that and for a name that cannot be one.
    """
    name = plain(str(path)) if is_text(path.name) else path.stem
    if path.suffix not in (".py", ".md") or not NAME.fullmatch(name.rpartition(":")[2]):
        raise InputError(
            f"{str(path)!r} cannot hold a mechanism: a name is a letter, then letters, digits, _ and -, and ends in "
            ".py, or in .CARRIER.md for a text"
        )
    done = "stored"
    if path.exists():
        there = at(path, "file")
        if there.source == source:
            known = there.record if there.record is not None and not there.changed else record
            merged = known.with_evidence(record.evidence)
            done = "there already" if merged == there.record else "evidence added"
            record = merged
        elif not force:
            raise InputError(
                f"{str(path)!r} holds another source; nothing was written. Replace it with --force, or write elsewhere "
                "with --to"
            )
        else:
            done = "replaced"
    elif path.with_suffix(".toml").exists() and not force:
        raise InputError(
            f"{str(path.with_suffix('.toml'))!r} is there already and belongs to no mechanism; use --force"
        )
    if done != "there already":
        put(path, source)  # first: a record of another text is credited to nobody
        put(path.with_suffix(".toml"), written(record))
    return Stored(name, done, str(path))


def take_over(path: Path, *, force: bool = False) -> list[Stored]:
    """Put the mechanisms of a file, a folder or an archive into the user library.

    Each passes the door, or is not stored. Records are read first: where one cannot be used nothing is stored.
    """
    found = archives.pairs(archives.texts(path))
    if not found:
        raise InputError(f"{str(path)!r} has no mechanism in it: no .py file, and no text NAME.CARRIER.md")
    records = {name: _foreign(name, source, text, path) for name, (source, text) in found.items()}
    return [_admitted(name, found[name][0], record, force) for name, record in records.items()]


def _admitted(name: str, source: str, record: Record, force: bool) -> Stored:
    problems = refusals(source, name)
    if problems:
        return Stored(name, "refused", problems=problems)
    try:
        return store(user_folder() / file_of(name), source, record, force=force)
    except InputError as error:
        return Stored(name, "refused", problems=(str(error),))


def _foreign(name: str, source: str, text: str | None, path: Path) -> Record:
    """The record that comes with a source, marked as somebody else's."""
    found = Found(name, "file", source, path.name)
    record = bare(found) if text is None else parsed(text, f"{path.name}: {Path(file_of(name)).stem}.toml")
    origin = record.origin.model_copy(update={"imported": record.origin.imported or path.name})
    return record.model_copy(update={"origin": origin})


def bare(found: Found) -> Record:
    """A record that says no more than the source does."""
    from bilevel.shelf.measuring import preconditions

    return Record(
        source_hash=found.source_hash,
        title=found.title[:500],
        preconditions=preconditions(found, ()),
        parameters={name[:500]: repr(value)[:500] for name, value in found.parameters.items()},
    )


def remove(name: str) -> Found:
    """Take a mechanism out of the user library, its record too. Raises InputError where it is not in there."""
    wanted = name.removeprefix("user:")
    found = next((one for one in on("user") if one.name == wanted), None)
    if found is None:
        names = ", ".join(one.name for one in on("user")) or "nothing"
        raise InputError(
            f"the user library ({str(user_folder())!r}) has no mechanism {wanted!r}; it has: {names}. What is shipped "
            "or brought by a package cannot be removed, and a project's files are its own"
        )
    path = Path(found.place)
    path.with_suffix(".toml").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return found
