"""Port: what carries a mechanism: code that the loop asks, or what its researcher works
with: a text, or a step of its work as code.

A mechanism's name says what carries it: `skill:one_at_a_time` is a skill, `tabu`, without a prefix, is code.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from bilevel.mechanism import Guest
from bilevel.researcher import Researcher
from bilevel.space import Candidate, Space
from bilevel.view import Briefing, View

CODE = "code"
STEP = "step"  # a step of a workflow, as code
CARRIERS = (CODE, "prompt", "skill", "memory", "workflow", STEP)
PYTHON = (CODE, STEP)  # these are Python, and run behind the walls of mechanisms
FAULTS = "faults"  # in the notes of a proposal: [name, reason] of each text that failed while its researcher worked
TEXT_NAME = re.compile(rf"(?:{'|'.join(CARRIERS[1:])}):[a-z][a-z0-9_]{{0,39}}")


def carrier_of(name: str) -> str:
    """What carries the mechanism of that name."""
    prefix, colon, _ = name.partition(":")
    return prefix if colon and prefix in CARRIERS else CODE


def texts_of(guests: Iterable[Guest]) -> tuple[Guest, ...]:
    """The mechanisms that are texts, in order."""
    return tuple(guest for guest in guests if carrier_of(guest.name) != CODE)


def code_of(guests: Iterable[Guest]) -> tuple[Guest, ...]:
    """The mechanisms that are code, in order."""
    return tuple(guest for guest in guests if carrier_of(guest.name) == CODE)


@runtime_checkable
class Carrying(Protocol):
    """A researcher that works with texts which an outer loop may change. It knows no more of them than `texts` says.

    `carries`: which carriers it has a place for.
    """

    @property
    def carries(self) -> tuple[str, ...]: ...
    @property
    def texts(self) -> tuple[Guest, ...]: ...

    def carrying(self, texts: Sequence[Guest]) -> Researcher:
        """The same researcher with these texts and no others."""
        ...

    def used(self, view: View, parent: Candidate, briefing: Briefing) -> frozenset[str]:
        """The names of the texts that have a say in what it does when it is asked for this trial. A text that is not
        among them, taken away, changes nothing of what it asks a model."""
        ...

    def refusal(self, text: Guest, space: Space | None) -> str | None:
        """Why it cannot work with a text, in sentences for the text's author, or None. Without a task's space what a
        text says of parameters is not judged."""
        ...


def with_texts(researcher: Researcher, guests: Sequence[Guest]) -> Researcher:
    """The researcher with the texts among some mechanisms; it itself where there are none.

    A text for which it has no place is left out: who puts one in force asks `no_place_for` first.
    """
    texts = texts_of(guests)
    if not texts or not isinstance(researcher, Carrying):
        return researcher
    return researcher.carrying([text for text in texts if carrier_of(text.name) in researcher.carries])


def no_place_for(researcher: Researcher, name: str) -> str | None:
    """Why a researcher cannot work with a mechanism of that name, whatever its text, or None."""
    carrier = carrier_of(name)
    if carrier == CODE:
        return None
    carries = researcher.carries if isinstance(researcher, Carrying) else ()
    if carrier in carries:
        return None
    said = f"it works with: {', '.join(carries)}" if carries else "it works with no text at all"
    return f"researcher {researcher.name!r} has no place for {name!r}, whose carrier is {carrier!r}; {said}"
