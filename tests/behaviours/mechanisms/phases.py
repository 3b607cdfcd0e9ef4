"""Phases: explore, exploit, plateau, reflect; each replaces the whole briefing."""

from dataclasses import replace

from bilevel.mechanism import Mechanism
from bilevel.view import Block, Briefing, View

TEXTS = {
    "explore": "Explore: change parameters that were not changed yet, in wide steps.",
    "exploit": "Exploit: change what has just helped, in narrow steps.",
    "plateau": "Plateau: nothing helps any more. Undo one kept change, or change two parameters at once.",
    "reflect": "Reflect: say first what the trials have taught you, then test the idea that is in most doubt.",
}


class Phases(Mechanism):
    """Reflect every `reflect` trials, plateau after `patience` trials without an improvement, explore in the first
    `early` trials, else exploit. All other advice and guidance is put aside; in exploitation the history is short."""

    domain = "phases"
    early = 3
    patience = 3
    reflect = 10

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        phase = self._phase(view)
        block = Block("phases", TEXTS[phase], 10)
        return replace(briefing, blocks=(block,), guidance="", history_window=5 if phase == "exploit" else 0)

    def _phase(self, view: View) -> str:
        if view.number % self.reflect == 0:
            return "reflect"
        if view.trace.since_improvement() >= self.patience:
            return "plateau"
        return "explore" if view.number <= self.early else "exploit"
