"""Track record: drafts whose kind has failed here go behind those whose kind has not.

Source: credit by success for operators, L. Davis, "Adapting Operator Probabilities in Genetic Algorithms", Proceedings
of the 3rd International Conference on Genetic Algorithms, 1989; rates by P.-S. Laplace's rule of succession.
"""

from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import View


class TrackRecord(Mechanism):
    """On a loop that searches mechanisms: the memory of what failed, by what a mechanism is instead of by its name.

    The kinds of a mechanism are its domain, its carrier and each hook that it defines. Each kind has a rate: of the
    trials that added such a mechanism, (kept + 1) / (all + 2). Drafts are tried in the order of the mean rate of their
    kinds; equal ones stay as they were. Nothing is refused. What takes a mechanism away has no kind, and the rate 1/2.
    """

    domain = "outer levels"

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[int, int]]:
        """By kind: how many were kept, of how many that ran."""
        known: dict[str, tuple[int, int]] = memory or {}
        if not trial.runs:
            return known
        told = {kind: known.get(kind, (0, 0)) for kind in self._kinds(trial.candidate, trial.parent)}
        return known | {kind: (kept + trial.decision.keep, ran + 1) for kind, (kept, ran) in told.items()}

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        known = view.memory or {}
        return tuple(sorted(proposals, key=lambda draft: -self._rate(known, self._kinds(draft.candidate, parent))))

    def _rate(self, known: dict[str, tuple[int, int]], kinds: tuple[str, ...]) -> float:
        rates = [(kept + 1) / (ran + 2) for kept, ran in (known.get(kind, (0, 0)) for kind in kinds)]
        return sum(rates) / len(rates) if rates else 0.5

    def _kinds(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        """The kinds of the mechanism that a candidate adds; none where it adds none, or no mechanism is meant."""
        newest, hooks = candidate.params.get("newest"), candidate.params.get("hooks", ())
        if candidate.files_changed_from(parent) != (newest,) or not isinstance(hooks, tuple):
            return ()
        known = {"domain": candidate.params.get("domain"), "carrier": candidate.params.get("carrier")}
        return (*(f"{what} {value}" for what, value in known.items()), *(f"hook {hook}" for hook in hooks))
