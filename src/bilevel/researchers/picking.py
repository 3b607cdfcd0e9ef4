"""Which of several drafts comes first: the model's own first, the one farthest from all that was tried, or one that a
second call picks."""

import difflib
from collections.abc import Callable, Mapping, Sequence

from bilevel.space import Candidate, Space
from bilevel.trial import Proposal
from bilevel.view import View


def by_novelty(
    proposals: Sequence[Proposal], view: View, parent: Candidate, start: Mapping[str, str]
) -> list[Proposal]:
    """The proposals, the one farthest from everything tried, in flight or turned to first; ties in their order."""
    tried = [parent, *(trial.candidate for trial in view.trace), *(item.proposal.candidate for item in view.pending)]
    tried = list({candidate.id: candidate for candidate in tried}.values())
    distance = distances(view.space, start)
    return sorted(proposals, key=lambda p: -min(distance(p.candidate, other) for other in tried))


def distances(space: Space, start: Mapping[str, str]) -> Callable[[Candidate, Candidate], float]:
    """The distance of two candidates, from 0: the larger of that of their parameters on the space's own scale, and of
    the share of lines in which a file differs."""
    known: dict[tuple[str, str], float] = {}

    def of_texts(a: str, b: str) -> float:
        if a == b:
            return 0.0
        if (a, b) not in known:
            known[a, b] = 1.0 - difflib.SequenceMatcher(None, a.splitlines(), b.splitlines()).ratio()
        return known[a, b]

    def distance(a: Candidate, b: Candidate) -> float:
        paths = a.files_changed_from(b)
        texts = (of_texts(*(c.files.get(path, start.get(path, "")) for c in (a, b))) for path in paths)
        return max([space.distance(a, b), *texts])

    return distance
