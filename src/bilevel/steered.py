"""What persons' word on mechanisms comes to in the loop that searches them: those that they retired go and do not come
back, those that they pinned stay."""

from bilevel.acts import Steering
from bilevel.codec import content_hash
from bilevel.mechanism import Guest
from bilevel.space import Candidate
from bilevel.surfaces import MechanismSurface, Surface, guests_of, mechanism_set


def searches_mechanisms(surface: Surface) -> bool:
    """Whether what a surface shows is the set of mechanisms in force, however deep it is aimed."""
    while hasattr(surface, "surface"):
        surface = surface.surface
    return isinstance(surface, MechanismSurface)


def without_retired(candidate: Candidate, steering: Steering) -> Candidate:
    """A set of mechanisms without those that a person retired."""
    guests = guests_of(candidate)
    left = tuple(guest for guest in guests if key_of(guest) not in steering.retired)
    return candidate if len(left) == len(guests) else mechanism_set(left)


def barred_by(candidate: Candidate, parent: Candidate, steering: Steering) -> list[str]:
    """Why persons' word is against a set of mechanisms in place of its parent, in sentences for its author."""
    if not steering.retired and not steering.pinned:
        return []
    has = {key_of(guest) for guest in guests_of(candidate)}
    had = {key_of(guest) for guest in guests_of(parent)}
    gone = [f"mechanism {name!r} was retired by a person" for name, source in has if (name, source) in steering.retired]
    stay = [
        f"mechanism {name!r} was pinned by a person: it stays as it is"
        for name, source in had & steering.pinned
        if (name, source) not in has
    ]
    return sorted(gone + stay)


def key_of(guest: Guest) -> tuple[str, str]:
    """How acts name a mechanism: its name and the hash of its source."""
    return guest.name, content_hash(guest.source)
