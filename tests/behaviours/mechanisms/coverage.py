"""Coverage: which part of each parameter's range was looked at."""

from typing import ClassVar

from bilevel.mechanism import Mechanism
from bilevel.view import Briefing, View


class Coverage(Mechanism):
    """The share of `bins` bins of each active parameter that held a candidate; the least covered are told first."""

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "coverage"
    bins = 10
    told = 5
    window = 300

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        if not len(view.trace):
            return briefing
        candidates = {trial.candidate.id: trial.candidate for trial in view.trace[-self.window :]}.values()
        shares = []
        for name in view.space.active:
            domain = view.space.domains[name]
            bins = {min(int(domain.unit(c.params[name]) * self.bins), self.bins - 1) for c in candidates}
            shares.append((len(bins) / self.bins, name))
        lines = [f"{name}: {share:.0%} of its range" for share, name in sorted(shares)[: self.told]]
        return briefing.with_block("coverage", "least covered:\n" + "\n".join(lines), priority=1)
