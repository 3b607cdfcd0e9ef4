"""Knock-out: set one parameter back to its default, to measure what its change is worth, and tell what was found.

Source: C. Fawcett, H. H. Hoos, "Analysing differences between algorithm configurations through ablation", Journal of
Heuristics 22(4), 2016, doi:10.1007/s10732-014-9275-9.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Value, same_value
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View

NOTHING: Mapping[str, Any] = {"default": {}, "newest": {}}


class KnockOut(Mechanism):
    """Every `every` trials, once `patience` in a row brought no improvement (0: always), put a knock-out before the
    drafts: the parent with one parameter at its default again.

    The default is the baseline's value. Which parameter: one whose present value was never knocked out, otherwise the
    one measured longest ago; a candidate that was measured is never offered. Any trial that does nothing but set one
    parameter back counts as its knock-out. What is worth less than the noise margin may as well be at its default: that
    is told, and where setting it back gains, the trial is kept like any other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "ablation"
    every = 3
    patience = 4
    offers = 4

    def remember(self, memory: Any, trial: Trial) -> Mapping[str, Any]:
        """The defaults, and per parameter the newest trial that did nothing but set it back."""
        old = memory or NOTHING
        if trial.number == 0:
            return {"default": dict(trial.candidate.params), "newest": {}}
        if len(trial.changes) != 1 or not trial.runs or trial.candidate.files_changed_from(trial.parent):
            return old
        (name, change), *_ = trial.changes.items()
        if name not in old["default"] or not same_value(change.new, old["default"][name]):
            return old
        return {**old, "newest": {**old["newest"], name: trial.number}}

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if view.memory is None or view.number % self.every or view.trace.since_improvement() < self.patience:
            return proposals
        default, newest = view.memory["default"], view.memory["newest"]
        changed = [n for n in view.space.active if n in default and not same_value(default[n], parent.params[n])]
        known = [n for n in changed if n in newest and self._removed(view, newest[n], n, parent.params[n])]
        changed.sort(key=lambda name: newest[name] if name in known else -1)
        flying = {pending.proposal.candidate.id for pending in view.pending}
        found = []
        for name in changed:
            candidate = parent.with_params(**{name: default[name]})
            admitted = candidate.id not in flying and not view.space.problems(candidate, parent)
            if admitted and view.trace.of(candidate.id) is None:
                why = f"knock-out: what is {name} = {parent.params[name]!r} worth? Back to {default[name]!r}"
                found.append(Proposal(candidate, why, notes={"knock out": name}))
        return (*found[: self.offers], *proposals)

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        memory, current = view.memory or NOTHING, view.trace.current
        if current is None:
            return briefing
        numbers = sorted(
            number
            for name, number in memory["newest"].items()
            if name in current.params and self._removed(view, number, name, current.params[name])
        )
        if not numbers:
            return briefing
        lines = [self._line(view, view.trace[number]) for number in numbers]
        text = "What single settings are worth, measured by setting each back to its default:\n" + "\n".join(lines)
        return briefing.with_block("knock-out", text[:4000], priority=3)

    def _removed(self, view: View, number: int, name: str, value: Value) -> bool:
        """Whether a knock-out took away this very value."""
        change = view.trace[number].changes.get(name)
        return change is not None and same_value(change.old, value)

    def _line(self, view: View, trial: Trial) -> str:
        ((name, change),) = trial.changes.items()
        gain, margin = view.trace.gain_of(trial), view.trace.noise.margin
        head = f"- {name} = {change.old!r} instead of {change.new!r}"
        if gain is None:
            return f"{head}: without it the trial has no score ({trial.status.value}, trial {trial.number})"
        if abs(gain) <= margin:
            return f"{head}: worth nothing beyond the noise margin of {margin:.2g} (trial {trial.number})"
        verdict = f"worth {-gain:.3g}" if gain < 0 else f"harmful: without it the score is better by {gain:.3g}"
        return f"{head}: {verdict} (trial {trial.number})"
