"""What level 2 chooses from where no model writes it: the library, and what a recipe names or offers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from bilevel.carrying import CODE, PYTHON, carrier_of
from bilevel.errors import InputError
from bilevel.hosting import Hosting
from bilevel.mechanism import Guest
from bilevel.recipe import Outer
from bilevel.researchers.library import Known

ONLY = "library:only:"  # a researcher that always proposes the one mechanism whose name follows


def offers(level: Outer, stored: Mapping[str, str], warm: Mapping[str, Known], hosting: Hosting) -> dict[str, Any]:
    """What researcher `library` has to choose from: what is shipped, of the level's carriers; what the recipe offers;
    and the one that it is told to propose always."""
    from bilevel import mechanisms, shelf

    name, mode = level.researcher, level.researcher.partition(":")[2]
    shipped = mechanisms.library() if CODE in level.carriers else {}
    offered = {one.name: one for one in (offered_one(wanted, level, stored) for wanted in level.offers)}
    given = {label: one for label, one in shelf.shipped_texts().items() if carrier_of(label) in level.carriers}
    given |= offered
    entries = {**shipped, **given}
    if not name.startswith(ONLY):
        if mode not in ("", "diagnose", "random"):
            raise InputError(
                f"there is no researcher {name!r}; write library, library:random, or library:only:NAME with one of: "
                f"{', '.join(entries)}; or a name that `bilevel mechanisms list` shows"
            )
        warm = {label: one for label, one in warm.items() if carrier_of(label) in level.carriers}
        found = {label: shelf.Found(label, "user", one.source, label) for label, one in warm.items()}
        known = {"warm": warm, "entries": {**entries, **found}} if warm and not mode else {}
        own = {label: one.source for label, one in {**found, **given}.items() if label in given or label not in shipped}
        return {
            "sources": partial(_source, own), "entries": entries, "mode": mode or "diagnose", "first": tuple(offered),
            **known,
        }  # fmt: skip
    wanted = name.removeprefix(ONLY)
    try:
        guest = Guest(shelf.plain(wanted), stored[wanted]) if wanted in stored else guest_of(wanted, hosting)
    except InputError as error:
        raise InputError(f"researcher {name!r}: {error}") from None
    _check_carrier(f"researcher {name!r}", guest.name, level)
    offer = shelf.Found(guest.name, "file", guest.source, wanted)
    own = {label: one.source for label, one in given.items()} | {guest.name: guest.source}
    return {"sources": partial(_source, own), "entries": {**entries, guest.name: offer}, "mode": f"only:{guest.name}"}


def offered_one(wanted: str, level: Outer, stored: Mapping[str, str]) -> Any:
    """A mechanism that a recipe offers to a level. Whether it is sound is for the ladder to say."""
    from bilevel import shelf

    source = stored[wanted] if wanted in stored else shelf.find(wanted).source
    _check_carrier("offers", shelf.plain(wanted), level)
    return shelf.Found(shelf.plain(wanted), "file", source, wanted)


def _check_carrier(what: str, name: str, level: Outer) -> None:
    if carrier_of(name) not in level.carriers:
        raise InputError(
            f"{what}: {name!r} is {carrier_of(name)}, and the level's carriers are: " + ", ".join(level.carriers)
        )


def _source(own: Mapping[str, str], asked: str, **parameters: Any) -> str:
    """The text of a mechanism, with some of its constants set: one of `own`, else a shipped one."""
    from bilevel import mechanisms

    if asked not in own:
        return mechanisms.source(asked, **parameters)
    return mechanisms.rewrite(own[asked], parameters, asked) if parameters else own[asked]


def guest_of(name: str, hosting: Hosting) -> Guest:
    """A mechanism by its name in a library, or the one in a .py file; what is not shipped must pass the door."""
    from bilevel import shelf

    found = shelf.find(name)
    guest = Guest(found.name, found.source)
    known = found.origin == "shipped" or carrier_of(found.name) not in PYTHON  # a text is read by who works with it
    refusal = None if known else hosting.door.door(guest)
    if refusal is not None:
        raise InputError(f"mechanism {name!r} ({found.place}) was refused at the door: {refusal}")
    return guest
