"""Simulated annealing: a worse candidate is kept with a probability that falls with its loss and with time.

Source: S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by Simulated Annealing", Science 220, 1983,
doi:10.1126/science.220.4598.671; the rule of acceptance is that of N. Metropolis et al., 1953, doi:10.1063/1.1699114.
"""

import math
import statistics
from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.trial import Decision, Trial
from bilevel.view import View


class Annealing(Mechanism):
    """Keep a candidate that would be discarded with probability exp(-loss / temperature); the search goes on from it.

    The loss is against its parent. The temperature starts at `heat` times the median loss of the newest `window`
    discarded trials and is multiplied by `cooling` at each trial, so that it needs no scale of its own. A gain within
    the noise margin counts as no loss. The incumbent is the best of the trace whatever is kept here. Where scores are
    relative (gains over a control) nothing is changed.
    """

    domain = "simulated annealing"
    heat = 0.5
    cooling = 0.96
    window = 12

    def remember(self, memory: Any, trial: Trial) -> tuple[int, ...]:
        """The numbers of the newest trials with a score that were worse than their parents, or nearly equal."""
        numbers: tuple[int, ...] = memory or ()
        if trial.score is None or trial.number == 0 or (trial.decision.keep and not _annealed(trial)):
            return numbers
        return (*numbers, trial.number)[-self.window :]

    def decide(self, view: View, trial: Trial) -> Decision:
        gain = view.trace.gain_of(trial)
        if trial.decision.keep or trial.score is None or gain is None or view.objective.relative:
            return trial.decision
        losses = [self._loss(view, view.trace[number]) for number in view.memory or ()]
        loss = max(-gain, 0.0)
        typical = statistics.median([*losses, loss])
        temperature = self.heat * typical * self.cooling**trial.number
        chance = math.exp(-loss / temperature) if temperature > 0 else float(loss == 0)
        if view.rng("annealing").random() >= chance:
            return trial.decision
        return Decision(True, f"annealing: kept with a probability of {chance:.2g}, though {trial.decision.reason}")

    def _loss(self, view: View, trial: Trial) -> float:
        return max(-(view.trace.gain_of(trial) or 0.0), 0.0)


def _annealed(trial: Trial) -> bool:
    return trial.decision.reason.startswith("annealing: ")
