"""A factorial wave: two parameters at two levels each, crossed; then the main effects and their interaction are told.

Source: R. A. Fisher, "The Design of Experiments", 1935, chapter VI.
"""

from typing import Any, ClassVar

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Float, Int, Space
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View

CELLS = ("--", "-+", "+-", "++")


class FactorialWave(Mechanism):
    """From trial `first` on, propose the four corners around one base, each factor `step` below and above its value.

    The factors are the first two numbers that may be changed. While the wave goes on every change starts from its base;
    cells that are in flight are not proposed again.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"numeric"})
    domain = "design of experiments"
    first = 2
    step = 0.15

    def remember(self, memory: Any, trial: Trial) -> dict[str, Any]:
        """The base and the factors of the wave, and the score of each cell that was measured."""
        wave: dict[str, Any] = memory or {"base": None, "factors": "", "scores": {}}
        cell = trial.proposal.notes.get("cell")
        if cell is None:
            return wave
        scores = {**wave["scores"], cell: trial.score}
        return {"base": trial.parent, "factors": trial.proposal.notes["factors"], "scores": scores}

    def select(self, view: View, parent: Candidate) -> Candidate:
        memory = view.memory or {}
        base, going_on = memory.get("base"), len(memory.get("scores", {})) < len(CELLS)
        known = base is not None and view.trace.of(base.id)
        return base if known and known.score is not None and going_on else parent

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        factors = self._factors(view.space)
        if view.number < self.first or len(factors) < 2:
            return proposals
        done = {*(view.memory or {}).get("scores", {}), *(p.proposal.notes.get("cell") for p in view.pending)}
        wave = [self._cell(view.space, parent, cell, factors) for cell in CELLS if cell not in done]
        fresh = [p for p in wave if p.candidate.id != parent.id and view.trace.of(p.candidate.id) is None]
        return (*fresh, *proposals)

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        scores = (view.memory or {}).get("scores", {})
        if any(scores.get(cell) is None for cell in CELLS):
            return briefing
        a, b = view.memory["factors"].split(",")
        gain = {cell: view.objective.gain(scores["--"], scores[cell]) for cell in CELLS}
        of_a = (gain["+-"] + gain["++"] - gain["-+"]) / 2
        of_b = (gain["-+"] + gain["++"] - gain["+-"]) / 2
        both = (gain["++"] - gain["+-"] - gain["-+"]) / 2
        text = f"gain of a higher {a}: {of_a:+.4g}; of a higher {b}: {of_b:+.4g}; of both beyond the sum: {both:+.4g}"
        return briefing.with_block("factorial wave", text, priority=4)

    def _factors(self, space: Space) -> list[str]:
        return [name for name in space.active if isinstance(space.domains[name], Float | Int)][:2]

    def _cell(self, space: Space, base: Candidate, cell: str, factors: list[str]) -> Proposal:
        values = {}
        for sign, name in zip(cell, factors, strict=True):
            domain, old = space.domains[name], base.params[name]
            aim = domain.at(domain.unit(old) + (self.step if sign == "+" else -self.step))
            values[name] = space.clip(name, old, aim)
        notes = {"cell": cell, "factors": ",".join(factors)}
        return Proposal(base.with_params(**values), f"cell {cell} of {' x '.join(factors)}", notes=notes)
