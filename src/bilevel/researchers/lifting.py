"""Level 3 by rules: what level 2 has kept is put in force on level 2 itself, one mechanism at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.mechanism import Guest
from bilevel.space import Candidate, Derived
from bilevel.trace import Trace
from bilevel.trial import LADDER, Proposal
from bilevel.view import Briefing, View

AUTHOR = "lift (kept one level below)"
LIFTED = "lifted "  # before the name: the same mechanism may be in force on both levels, each with a ledger of its own


@dataclass(frozen=True)
class LiftResearcher:
    """Lifts what is in force one level below, what was kept there before, what the recipe offers, and last what the
    library has; of these what was tried least often first.

    `compose` makes the candidate of an ordered set of mechanisms; `fits` says whether a source can work where it would
    go; `offered` and `library` hold sources by name, for when nothing that was kept can be lifted. A lifted mechanism
    is on trial like any other: the fork's control is the loop without it, its unlifted twin.
    """

    compose: Callable[[tuple[Guest, ...]], Candidate]
    fits: Callable[[str], bool]
    library: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="lift", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        below = view.below
        if below is None or not all(isinstance(domain, Derived) for domain in below.space.domains.values()):
            raise InputError(
                "researcher 'lift' lifts mechanisms onto a loop that searches them; put it on a second level "
                "'mechanisms', above the first"
            )
        here = tuple(Guest(str(name), parent.files[str(name)]) for name in _order(parent))
        turned_back = {back.candidate for back in briefing.turned_back}
        found = [
            Proposal(self.compose((*_others(here, guest), guest)), why, AUTHOR, {"lifted": guest.name})
            for guest, why in self._wanted(view.trace, below.trace)
            if guest not in here
        ]
        fresh = [proposal for proposal in found if proposal.candidate.id not in turned_back]
        return fresh[: max(view.settings.drafts, 1)]

    def _wanted(self, trace: Trace, below: Trace) -> list[tuple[Guest, str]]:
        """What could be lifted, what was tried least often first."""
        tried = [climb.source for trial in trace for climb in trial.climbs if climb.rung == LADDER[0]]
        kept = [*_kept(below)]
        kept += [(Guest(f"{LIFTED}{name}", text), f"lift {name}: the recipe offers it")
                 for name, text in self.offered.items()]  # fmt: skip
        kept += [(Guest(f"{LIFTED}{name}", text), f"lift {name} of the library: nothing that was kept is left to lift")
                 for name, text in self.library.items() if name not in self.offered]  # fmt: skip
        fit = [(guest, why) for guest, why in kept if self.fits(guest.source)]
        return sorted(fit, key=lambda pair: tried.count(content_hash(pair[0].source)))


def _kept(below: Trace) -> Iterator[tuple[Guest, str]]:
    """What is in force now, then what was kept before, the newest first; each source once."""
    seen: set[str] = set()
    current = below.current
    sets = [] if current is None else [(current, "it is in force one level below")]
    sets += [(t.candidate, f"it was kept one level below in trial {t.number}") for t in reversed(below[:]) if
             t.decision.keep]  # fmt: skip
    for candidate, why in sets:
        for name in _order(candidate):
            text = candidate.files[str(name)]
            if text not in seen:
                seen.add(text)
                yield Guest(f"{LIFTED}{str(name).removeprefix(LIFTED)}", text), f"lift {name}: {why}"


def _others(guests: tuple[Guest, ...], new: Guest) -> tuple[Guest, ...]:
    return tuple(guest for guest in guests if guest.name != new.name)


def _order(candidate: Candidate) -> tuple[Any, ...]:
    order = candidate.params["order"]
    return order if isinstance(order, tuple) else ()
