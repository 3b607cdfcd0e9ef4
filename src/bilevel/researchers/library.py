"""Level 2 by rules: a diagnosis, a mechanism of the library that answers it, fitted to the numbers, as source text."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bilevel.carrying import CODE, carrier_of
from bilevel.errors import InputError
from bilevel.mechanism import Guest
from bilevel.researchers.diagnosis import Diagnosis, diagnose
from bilevel.space import Candidate, Derived
from bilevel.trace import Trace
from bilevel.trial import Proposal
from bilevel.view import Below, Briefing, View

AUTHOR = "library (selected by rules from a library, not invented)"
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "repetition": ("orthogonal", "bandit", "surrogate", "tabu", "semantic_duplicate", "restart"),
    "refusals": ("bandit", "orthogonal", "surrogate", "tabu"),
    "fixation": ("orthogonal", "bandit", "surrogate", "tabu", "plateau"),
    "one direction": ("bandit", "orthogonal", "trust_region", "semantic_duplicate"),
    "crashes": ("crash_memory", "trust_region", "revert"),
    "plateau": ("orthogonal", "bandit", "surrogate", "annealing", "restart", "trust_region", "elite", "crossover"),
    "astray": ("revert", "trust_region", "elite"),
    "noise": ("noise_aware", "orthogonal", "trust_region", "bandit", "remeasure"),
    "none": ("bandit", "orthogonal", "trust_region", "surrogate", "knock_out", "momentum"),
}
SEVERAL = "several objectives"  # the domain of what does nothing without further ones
OUTER = "outer levels"  # the domain of what steers loops that search mechanisms: only where a recipe offers it
LIKELY = 0.8  # probability that a mechanism helps, from which on it is tried before what the diagnosis says
TEXTS: Mapping[str, tuple[str, ...]] = {  # answers that are texts, where the level may change them
    "repetition": ("prompt:untried_first", "skill:wide_steps"),
    "refusals": ("prompt:untried_first",),
    "fixation": ("prompt:untried_first", "skill:wide_steps"),
    "crashes": ("skill:after_failures",),
    "plateau": ("skill:wide_steps", "memory:sure_ones"),
    "noise": ("memory:sure_ones",),
}
INERT_CALLS = 8  # so many calls without one decision changed make a mechanism in force inert


class Offer(Protocol):
    """What a library says of one mechanism."""

    @property
    def needs(self) -> frozenset[str]: ...
    @property
    def domain(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Known:
    """What a library's evidence says of a mechanism: the text that was measured, the probability that it helps (0.5:
    nothing is known), and all of it in a sentence."""

    source: str
    probability: float
    sentence: str

    @property
    def rank(self) -> int:
        """What is likely to help comes first, what is likely to hurt last; the rest is left to the diagnosis."""
        return -1 if self.probability >= LIKELY else 1 if self.probability <= 1 - LIKELY else 0


@dataclass(frozen=True)
class LibraryResearcher:
    """Selects, fits and writes; it does not invent.

    `compose` makes the candidate of an ordered set of mechanisms, `sources(name, **parameters)` a source text, and
    `entries` says what there is. `mode`: "diagnose" takes the answer to the worst ailment that is neither in force nor
    was tried for it before; "random" draws one, the control for the diagnosis; "only:NAME" proposes that one always,
    the control for the choice. `first`: what a recipe offers; "diagnose" tries that before its own answers. `warm`:
    what is known of mechanisms from earlier runs; "diagnose" then tries first what is likely to help, in the very text
    that was measured, and last what is not. When the set is full (`most`) one that changed no decision is removed.
    """

    compose: Callable[[tuple[Guest, ...]], Candidate]
    sources: Callable[..., str]
    entries: Mapping[str, Offer]
    mode: str = "diagnose"
    most: int = 8
    warm: Mapping[str, Known] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    name: str = field(default="library", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        below = view.below
        if below is None:
            raise InputError("researcher 'library' writes mechanisms for an inner loop; put it on an outer level")
        diagnosis = diagnose(below.trace, below.space)
        guests = tuple(Guest(str(n), parent.files[str(n)]) for n in _order(parent))
        turned_back = {back.candidate for back in briefing.turned_back}
        found: list[Proposal] = []
        for proposal in self._proposals(view, below, diagnosis, guests):
            again = any(proposal.notes["mechanism"] == other.notes["mechanism"] for other in found)
            if proposal.candidate.id not in turned_back and proposal.candidate.id != parent.id and not again:
                found.append(proposal)
            if len(found) >= max(view.settings.drafts, 1):
                break
        return found

    def _proposals(
        self, view: View, below: Below, diagnosis: Diagnosis, guests: tuple[Guest, ...]
    ) -> Iterator[Proposal]:
        inert = [guest.name for guest in guests if _is_inert(below.trace, guest.name)]
        if len(guests) >= self.most:
            out = (inert or [guests[0].name])[0]
            yield self._removal(guests, out, "it changed no decision" if inert else "the set is full")
        in_force = {guest.name for guest in guests}
        for name, ailment, sentence in self._choices(view, below, diagnosis, in_force):
            known, measured = self.entries[name].parameters, self.warm.get(name)
            if measured is not None and self.mode == "diagnose" and name not in in_force:
                said = f"{sentence}; the library says of {name}: {measured.sentence}"
                yield self._with(guests, name, measured.source, ailment, said, {})
            for parameters in _fits(name, diagnosis, known, below.trials, again=name in in_force):
                text = self.sources(name, **parameters)
                yield self._with(guests, name, text, ailment, sentence, parameters)
        for name in inert:
            yield self._removal(guests, name, "it changed no decision")

    def _choices(
        self, view: View, below: Below, diagnosis: Diagnosis, in_force: set[str]
    ) -> list[tuple[str, str, str]]:
        """(mechanism, ailment, sentence), what to try first first."""
        able = [name for name, entry in self.entries.items() if _can(entry, below)]
        if self.mode.startswith("only:"):
            name = self.mode.removeprefix("only:")
            if name not in self.entries:
                raise InputError(f"there is no mechanism {name!r}; the library has: {', '.join(self.entries)}")
            return [(name, "control", "always the same mechanism, whatever the diagnosis")]
        able = [name for name in able if self.entries[name].domain != "control"]
        if self.mode == "random":
            random.Random.shuffle(view.rng("library"), able)
            fresh = [name for name in able if name not in in_force]
            return [(name, "control", "drawn at random, whatever the diagnosis") for name in fresh]
        if self.mode != "diagnose":
            raise InputError(f"mode {self.mode!r} does not exist; the modes are: diagnose, random, only:NAME")
        offered = [
            (name, "offered", "offered by the recipe")
            for name in self.first
            if name in able or self.entries[name].domain == OUTER
        ]
        tried = [(trial.proposal.notes.get("ailment"), trial.proposal.notes.get("mechanism")) for trial in view.trace]
        choices = offered + [
            (name, ailment, sentence)
            for ailment, sentence in diagnosis.ailments()
            for name in (*TEXTS.get(ailment, ()), *ANSWERS[ailment])
            if name in able
        ]
        choices += [(name, "none", "no answer to the diagnosis is left") for name in able]
        # A mechanism in force comes again only after all others, with other parameters; one tried before for the same
        # ailment comes after those not tried, the longest ago first.
        last = {pair: number for number, pair in enumerate(tried)}
        rank = {name: known.rank for name, known in self.warm.items()}
        return sorted(choices, key=lambda c: (c[0] in in_force, last.get((c[1], c[0]), -1), rank.get(c[0], 0)))

    def _with(
        self, guests: tuple[Guest, ...], name: str, text: str, ailment: str, sentence: str, fitted: Mapping[str, Any]
    ) -> Proposal:
        new = Guest(name, text)
        replaced = any(guest.name == name for guest in guests)
        others = tuple(new if guest.name == name else guest for guest in guests)
        fit = ", ".join(f"{key}={value!r}" for key, value in fitted.items())
        verb = "replace" if replaced else "add"
        why = f"diagnosis {ailment}: {sentence}; {verb} {name}{f' with {fit}' if fit else ''}"
        notes = {"ailment": ailment, "mechanism": name, "fitted": dict(fitted)}
        return Proposal(self.compose(others if replaced else (*guests, new)), why, AUTHOR, notes)

    def _removal(self, guests: tuple[Guest, ...], name: str, reason: str) -> Proposal:
        left = tuple(guest for guest in guests if guest.name != name)
        notes = {"ailment": "inert", "mechanism": name}
        return Proposal(self.compose(left), f"remove {name}: {reason}", AUTHOR, notes)


def _fits(
    name: str, diagnosis: Diagnosis, parameters: Mapping[str, Any], trials: int, again: bool
) -> Iterator[dict[str, Any]]:
    """Class attributes that suit the diagnosis; where the mechanism is in force already, only other ones.

    `trials` is how long the mechanism will be measured: one that waits longer than that cannot show anything.
    """
    patient = max(1, trials // 3)
    plateau, wide = diagnosis.plateau, diagnosis.plateau >= 8
    fitted: dict[str, dict[str, Any]] = {
        "tabu": {
            "tenure": min(max(6, round(20 * diagnosis.repetition)), 20),
            "distance": round(min(max(diagnosis.step / 2, 0.02), 0.15), 3),
        },
        "restart": {"patience": min(max(4, plateau // 2), 12, 2 * patient)},
        "revert": {"patience": min(3 if diagnosis.away else 5, patient)},
        "orthogonal": {"points": 6 if diagnosis.trials < 20 else 10, "radius": 0.8 if wide else 0.4},
        "bandit": {"patience": min(2 if diagnosis.refused > 0.1 or wide else 4, patient)},
        "trust_region": {"radius": round(min(max(diagnosis.step, 0.1), 0.3), 3)},
        "crash_memory": {"times": 1},
        "surrogate": {"patience": min(2 if wide else 3, patient)},
        "elite": {"patience": min(4, patient)},
        "crossover": {"patience": min(3, patient)},
        "knock_out": {"patience": min(4, patient)},
        "plateau": {"patience": min(5, patient), "further": min(4, patient)},
    }
    fit = {key: value for key, value in fitted.get(name, {}).items() if key in parameters}
    if not again:
        yield fit
    for key, value in parameters.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield {**fit, key: fit.get(key, value) + 2}
            yield {**fit, key: fit.get(key, value) + 4}


def _can(entry: Offer, below: Below) -> bool:
    if entry.domain == OUTER:
        return False
    if entry.domain == SEVERAL and not below.objective.also:
        return False
    if "numeric" in entry.needs and all(isinstance(domain, Derived) for domain in below.space.domains.values()):
        return False  # on level 3: what a mechanism set is cannot be constructed
    return "advice" not in entry.needs or below.reads_advice


def _order(candidate: Candidate) -> tuple[Any, ...]:
    order = candidate.params["order"]
    return order if isinstance(order, tuple) else ()


def _is_inert(trace: Trace, name: str) -> bool:
    counts = trace.ledger().get(name, {}).values()
    if carrier_of(name) != CODE and any(count.touched for count in counts):
        asked = any(shadow.mechanism == name for trial in trace for shadow in trial.shadows)
        if not asked:
            return False  # nobody has asked the researcher without it
    return sum(c.calls for c in counts) >= INERT_CALLS and not any(c.decisive for c in counts)
