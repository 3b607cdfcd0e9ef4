"""What persons tell a run to do while it goes on, and what is in force of it after a trace.

An act is written down when it is given, and taken up by a loop with the trial that it asks for next: the trial's record
holds it. So it is part of the trace, and what decides stays a function of the trace.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

OF_THE_RUN = ("pause", "resume", "stop")  # taken up by the process, between two trials; nothing that decides knows them
ANSWERS = ("approve", "reject")  # at the gate; `what` names the question
LIMITS = ("seconds", "tokens", "money")  # budgets of the whole run, taken up as those are
BUDGETS = ("trials", "evaluations")  # of the outermost loop, and part of its trace


@dataclass(frozen=True)
class Act:
    """One thing that a person told a run. `number` counts them; `at` is the time, in seconds since 1970.

    `what` is a parameter's, a mechanism's or a budget's name, `source` the hash of the mechanism's text; `text` is the
    guidance, or why; `value` the new budget. `levels` are the loops that take it up; none: the run itself.
    """

    number: int
    kind: str
    what: str = ""
    text: str = ""
    value: float | None = None
    source: str = ""
    levels: tuple[str, ...] = ()
    author: str = ""
    at: float = 0.0

    @property
    def said(self) -> str:
        """The act in a few words, without its author and time."""
        value = "" if self.value is None else f"{self.value:,.12g}"
        more = f": {self.text}" if self.text else ""
        return " ".join(part for part in (self.kind, self.what, value) if part) + more


@dataclass(frozen=True)
class Effect:
    """What became of an act: it was taken up with trial `number` of a branch, or between two trials before that one.

    `outcome` is one of OUTCOMES. An act that reaches several loops, or both arms of a fork, has several.
    """

    act: int
    branch: str
    number: int
    outcome: str
    said: str = ""
    at: float = 0.0


TAKEN, REFUSED = "taken up", "refused"
OUTCOMES = (TAKEN, REFUSED)


@dataclass(frozen=True)
class Steering:
    """What is in force of all acts that a trace holds. `taken` are their numbers.

    `frozen`: parameters that a person froze, with the reason; `freed`: those that a person unfroze, whatever settings
    say. `pinned` and `retired`: mechanisms by name and hash of the source. `budget`: what stands in place of the
    loop's own.
    """

    taken: frozenset[int] = frozenset()
    guidance: tuple[str, ...] = ()
    frozen: Mapping[str, str] = field(default_factory=dict)
    freed: frozenset[str] = frozenset()
    pinned: frozenset[tuple[str, str]] = frozenset()
    retired: frozenset[tuple[str, str]] = frozenset()
    budget: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", MappingProxyType(dict(self.frozen)))
        object.__setattr__(self, "budget", MappingProxyType(dict(self.budget)))

    def after(self, acts: Iterable[Act]) -> "Steering":
        """This, and further acts; one that is known already changes nothing."""
        new = self
        for act in acts:
            if act.number not in new.taken:
                new = replace(new._with(act), taken=new.taken | {act.number})
        return new

    def _with(self, act: Act) -> "Steering":
        one = frozenset([(act.what, act.source)])
        match act.kind:
            case "guide":
                return replace(self, guidance=(*self.guidance, act.text))
            case "freeze":
                frozen = {**self.frozen, act.what: f"{act.author}{f': {act.text}' if act.text else ''}"}
                return replace(self, frozen=frozen, freed=self.freed - {act.what})
            case "unfreeze":
                frozen = {name: why for name, why in self.frozen.items() if name != act.what}
                return replace(self, frozen=frozen, freed=self.freed | {act.what})
            case "pin":
                return replace(self, pinned=self.pinned | one, retired=self.retired - one)
            case "retire":
                return replace(self, retired=self.retired | one, pinned=self.pinned - one)
            case "budget" if act.value is not None:
                return replace(self, budget={**self.budget, act.what: int(act.value)})
        return self


UNSTEERED = Steering()
