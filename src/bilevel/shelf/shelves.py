"""The places where mechanisms lie, and how one is found by its name.

    shipped:NAME    with the program
    project:NAME    in the folder `mechanisms` of the current folder
    user:NAME       in the user library (`places.user_folder`)
    package:NAME    brought by an installed Python package (`packages`); package:DISTRIBUTION/NAME where two bring one
    ./FILE.py       a file
    CARRIER:NAME    a text with the program: skill:wide_steps
    ./NAME.CARRIER.md   a text in a file: ./mine.skill.md is in force as skill:mine
    ./NAME.step.py  a step of a workflow as code: ./mine.step.py is in force as step:mine

A plain NAME is the shipped one where there is one: so what a shipped recipe names means the same everywhere. Else it is
the one that has this name; where several have, a qualified name is needed. Nothing is imported or run to find it.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from bilevel import mechanisms
from bilevel.carrying import CARRIERS, CODE, STEP, TEXT_NAME, carrier_of
from bilevel.errors import InputError
from bilevel.shelf.found import ORIGINS, Found
from bilevel.shelf.packages import brought
from bilevel.shelf.places import project_folder, user_folder
from bilevel.shelf.record import Record, parsed, text_of

SEARCHED = {  # place -> what it is called in a sentence
    "project": "the project's folder",
    "user": "the user library",
    "package": "the installed packages",
}
STEPS = f".{STEP}.py"  # how the name of a file ends that holds a step as code


def find(name: str) -> Found:
    """The mechanism of that name, qualified or plain, or the one in a file. Raises InputError where there is none,
    where several are meant, or where it cannot be read."""
    found = _file(Path(name)) if name.endswith((".py", ".md")) else _named(name)
    if found.problem:
        raise InputError(f"mechanism {name!r} ({found.place}) cannot be used: {found.problem}")
    return found


def every() -> dict[str, Found]:
    """All mechanisms that there are, those that cannot be used too, by the shortest name that means them."""
    found = [one for origin in ORIGINS for one in on(origin)]
    plain = Counter(one.name for one in found if one.origin != "shipped")
    ships = set(mechanisms.library())
    return {_label(one, plain[one.name] > 1 or one.name in ships, found): one for one in found}


def on(origin: str) -> list[Found]:
    """What lies in one of the four places, by name."""
    if origin == "shipped":
        return [*(_shipped(name) for name in mechanisms.library()), *shipped_texts().values()]
    if origin == "package":
        return brought()
    return in_folder(project_folder() if origin == "project" else user_folder(), origin)


def in_folder(folder: Path, origin: str) -> list[Found]:
    """The mechanisms in a folder: each NAME.py and NAME.CARRIER.md, but for names with a leading underscore, with its
    record."""
    try:
        files = [*folder.glob("*.py"), *(path for path in folder.glob("*.md") if is_text(path.name))]
        paths = sorted(path for path in files if path.is_file() and not path.name.startswith("_"))
    except OSError as error:
        raise InputError(f"folder {str(folder)!r} cannot be read: {error.strerror or error}") from error
    return [at(path, origin) for path in paths]


def at(path: Path, origin: str) -> Found:
    """The mechanism in a file, with the record beside it."""
    name = plain(path.name)
    try:
        source = text_of(path)
    except InputError as error:
        return Found(name, origin, "", str(path), problem=str(error))
    try:
        record, note = record_of(path), ""
    except InputError as error:
        record, note = None, str(error)
    found = Found(name, origin, source, str(path), record=record, note=note)
    problem = found.reading.problem if origin != "file" else ""  # a file that is named is judged at the door
    return found if not problem else Found(name, origin, source, str(path), record=record, problem=problem)


def record_of(source: Path) -> Record | None:
    """The record beside a source file; None where there is none. Raises InputError where it cannot be used."""
    path = source.with_suffix(".toml")
    return parsed(text_of(path), path.name) if path.is_file() else None


def plain(name: str) -> str:
    """The name under which a mechanism that a recipe names is in force: user:mine is mine, ./file.py is file."""
    if name.endswith((".md", STEPS)):
        return _text_name(Path(name))
    origin, _, rest = name.partition(":")
    if carrier_of(name) != CODE or carrier_of(rest) != CODE:
        return rest if origin in ORIGINS else name
    return Path(name).stem if name.endswith(".py") else name.rpartition(":")[2].rpartition("/")[2]


@functools.cache
def shipped_texts() -> Mapping[str, Found]:
    """The texts that come with the program, by the names that they have in force."""
    folder = resources.files("bilevel.catalog") / "texts"
    files = sorted((file for file in folder.iterdir() if is_text(file.name)), key=lambda file: file.name)
    named = [(_text_name(Path(file.name)), file.read_text("utf-8")) for file in files]
    return {name: Found(name, "shipped", text, "bilevel.catalog", by="bilevel") for name, text in named}


def file_of(name: str) -> str:
    """The name of the file that holds the mechanism of a name in force."""
    carrier, _, rest = name.partition(":")
    return f"{name}.py" if carrier == name else f"{rest}{STEPS}" if carrier == STEP else f"{rest}.{carrier}.md"


def is_text(file: str) -> bool:
    """Whether a file's name is that of a text, NAME.CARRIER.md, or of a step as code, NAME.step.py."""
    carrier = file.removesuffix(".md").rpartition(".")[2]
    return file.endswith(STEPS) or (file.endswith(".md") and carrier in CARRIERS[1:] and carrier != STEP)


def _text_name(path: Path) -> str:
    """The name in force of the text in a file NAME.CARRIER.md."""
    name, _, carrier = path.name.removesuffix(".md").removesuffix(".py").rpartition(".")
    if not is_text(path.name) or not name:
        raise InputError(
            f"text {str(path)!r}: the name of its file says what carries it, as in ./{path.stem or 'mine'}.skill.md; "
            f"the carriers are: {', '.join(CARRIERS[1:])}; a step, which is code, is ./NAME{STEPS}"
        )
    return f"{carrier}:{name}"


def _file(path: Path) -> Found:
    if not path.is_file():
        raise InputError(f"there is no mechanism file {str(path)!r}")
    found = at(path, "file")
    if carrier_of(found.name) != CODE and not TEXT_NAME.fullmatch(found.name):
        ending = file_of(found.name).removeprefix(found.name.partition(":")[2])
        raise InputError(
            f"text {str(path)!r}: {found.name!r} is no name of a text; rename the file: before {ending} stand lower "
            "case letters, digits and _, a letter first, at most 40"
        )
    return found


def _named(name: str) -> Found:
    origin, colon, rest = name.partition(":")
    if not colon:
        return _plain(name)
    if origin in CARRIERS[1:]:
        own = [one for place in SEARCHED for one in on(place) if one.name == name]
        if name in shipped_texts():
            return shipped_texts()[name]
        if not own:
            known = ", ".join(shipped_texts())
            raise InputError(f"there is no text {name!r}; there are: {known}; a file is named ./{file_of(name)}")
        return _one(name, own)
    if origin not in ORIGINS:
        raise InputError(f"mechanism {name!r}: there is no place {origin!r}; the places are: {', '.join(ORIGINS)}")
    if origin == "package":
        by, _, wanted = rest.rpartition("/")
        return _one(name, [one for one in on(origin) if one.name == wanted and by in ("", one.by)])
    return _one(name, [one for one in on(origin) if one.name == rest])


def _plain(name: str) -> Found:
    if name in mechanisms.library():
        return _shipped(name)
    return _one(name, [one for origin in SEARCHED for one in on(origin) if one.name == name])


def _one(name: str, found: list[Found]) -> Found:
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{_label(one, True, found)} ({one.place})" for one in found)
        raise InputError(f"{len(found)} mechanisms have the name {name!r}; name one of: {several}")
    others = [label for label, one in every().items() if one.origin != "shipped"]
    more = f"; beside it there are: {', '.join(others)}" if others else ""
    raise InputError(
        f"there is no mechanism {name!r}; the library has: {', '.join(mechanisms.library())}{more}. It was looked for "
        f"in {', '.join(SEARCHED.values())}; a file is named by its path, as in ./{plain(name) or 'mine'}.py"
    )


def _shipped(name: str) -> Found:
    return Found(name, "shipped", mechanisms.library()[name].source, "bilevel.mechanisms", by="bilevel")


def _label(one: Found, twice: bool, among: list[Found]) -> str:
    if one.origin == "shipped" or not twice:
        return one.name
    same = [other for other in among if (other.origin, other.name) == (one.origin, one.name)]
    return one.qualified if len(same) == 1 else f"{one.origin}:{one.by}/{one.name}"
