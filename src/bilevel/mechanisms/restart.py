"""Restart: go back to the baseline at intervals, or when nothing is found any more.

Source: M. Luby, A. Sinclair, D. Zuckerman, "Optimal speedup of Las Vegas algorithms", Information Processing Letters
47(4), 1993, doi:10.1016/0020-0190(93)90029-9. It is also the control that every stronger mechanism must beat.
"""

from dataclasses import replace
from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Trial
from bilevel.view import Briefing, View


class Restart(Mechanism):
    """Select the baseline every `every` trials (0 is never) or after `patience` trials in a row that were not kept.

    `reset` names what starts afresh: "parent" (the next change starts from the baseline), "history" (the researcher is
    shown only trials since the restart), "guidance" (its guidance is taken away). Freezes and the archive stay; the
    incumbent cannot be lost.
    """

    domain = "restarts"
    every = 0
    patience = 6
    reset = ("parent", "history", "guidance")

    def remember(self, memory: Any, trial: Trial) -> dict[str, Any]:
        """Where the search stands, how many trials in a row were discarded, and when it was last restarted."""
        if trial.number == 0 or memory is None:
            start = trial.candidate.id
            return {"baseline": start, "current": start, "misses": 0, "since": 0}
        restarted = trial.parent.id == memory["baseline"] and memory["current"] != memory["baseline"]
        restarted = restarted or self._due(trial.number, memory)
        return {
            "baseline": memory["baseline"],
            "current": trial.candidate.id if trial.decision.keep else trial.parent.id,
            "misses": 0 if trial.decision.keep else 1 if restarted else memory["misses"] + 1,
            "since": trial.number if restarted else memory["since"],
        }

    def select(self, view: View, parent: Candidate) -> Candidate:
        baseline = view.trace.baseline
        if "parent" not in self.reset or baseline is None or baseline.score is None:
            return parent
        return baseline.candidate if self._due(view.number, view.memory) else parent

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        if view.memory is None or not (view.memory["since"] or self._due(view.number, view.memory)):
            return briefing
        since = 0 if self._due(view.number, view.memory) else view.number - view.memory["since"]
        if "history" in self.reset:
            window = max(since, 1)
            briefing = replace(briefing, history_window=min(window, briefing.history_window or window))
        if "guidance" in self.reset:
            briefing = replace(briefing, guidance="")
        return briefing

    def _due(self, number: int, memory: Any) -> bool:
        if self.every and number > 1 and (number - 1) % self.every == 0:
            return True
        return memory is not None and self.patience > 0 and memory["misses"] >= self.patience
