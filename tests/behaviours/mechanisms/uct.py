"""Tree search by upper confidence bounds: branches that were kept often, or looked at seldom, are gone down.

Source: L. Kocsis, C. Szepesvári, "Bandit based Monte-Carlo Planning", 2006, doi:10.1007/11871842_29.
"""

import math
from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import View


class Uct(Mechanism):
    """From the baseline go down to the child with the highest bound until a candidate has fewer than `width` children.

    A visit is a trial below a candidate, and it is worth 1 where it was kept. Children without a score are no nodes.
    """

    domain = "tree search"
    width = 2
    exploration = 1.0

    def remember(self, memory: Any, trial: Trial) -> dict[str, tuple[str, int, int, tuple[str, ...]]]:
        """Candidate -> (its parent, visits, visits that were kept, its children)."""
        nodes = dict(memory or {})
        if trial.candidate.id not in nodes and trial.score is not None:
            up = trial.parent.id if trial.number else ""
            nodes[trial.candidate.id] = (up, 0, 0, ())
            if up in nodes:
                above, visits, kept, children = nodes[up]
                nodes[up] = (above, visits, kept, (*children, trial.candidate.id))
        here, met = trial.parent.id, set()
        while here in nodes and here not in met:
            met.add(here)
            above, visits, kept, children = nodes[here]
            nodes[here] = (above, visits + 1, kept + int(trial.decision.keep), children)
            here = above
        return nodes

    def select(self, view: View, parent: Candidate) -> Candidate:
        nodes, baseline = view.memory or {}, view.trace.baseline
        if baseline is None or baseline.candidate.id not in nodes:
            return parent
        here, met = baseline.candidate.id, set()
        while here not in met and len(nodes[here][3]) >= self.width:
            met.add(here)
            visits = nodes[here][1]
            here = max(nodes[here][3], key=lambda child: self._bound(nodes[child], visits))
        known = view.trace.of(here)
        return known.candidate if known is not None and known.score is not None else parent

    def _bound(self, node: tuple[str, int, int, tuple[str, ...]], visits: int) -> float:
        _, mine, kept, _ = node
        return (kept + 1) / (mine + 1) + self.exploration * math.sqrt(math.log(max(visits, 2)) / (mine + 1))
