"""Optuna's tree-structured Parzen estimator as a researcher: the classical baseline.

Source: J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; T.
Akiba et al., "Optuna", KDD 2019, arXiv:1907.10902.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bilevel.codec import derive_seed
from bilevel.errors import MissingExtra
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space, Value
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

ASKED = 8  # how often it is asked again for a candidate that is not measured yet


@dataclass(frozen=True)
class OptunaResearcher:
    """Rebuilds Optuna's study from the trace for each proposal, so that it resumes and forks like any other.

    All active parameters are proposed at once, within caps; frozen and locked ones keep the parent's values. `startup`:
    so many random trials come first. Failed trials are shown to the sampler as failed, trials in flight as running.
    """

    startup: int = 10
    name: str = field(default="optuna", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        optuna = _optuna()
        domains = _distributions(optuna, view.space)
        if not domains:
            return []
        study = self._study(optuna, view, domains, derive_seed(view.seed, view.number, "optuna", briefing.attempt))
        found: dict[str, Proposal] = {}
        for _ in range(ASKED * max(view.settings.drafts, 1)):
            asked = study.ask(domains)
            candidate = _candidate(view.space, parent, asked.params)
            if view.trace.of(candidate.id) is None and candidate.id != parent.id:
                found[candidate.id] = Proposal(candidate, "sampled by Optuna's TPE", self.name)
            if len(found) >= view.settings.drafts:
                break
        return list(found.values())

    def _study(self, optuna: Any, view: View, domains: Mapping[str, Any], seed: int) -> Any:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup, constant_liar=True)
        direction = "minimize" if view.objective.minimize else "maximize"
        study = optuna.create_study(direction=direction, sampler=sampler)
        states = optuna.trial.TrialState
        for trial in view.trace:
            state = states.FAIL if trial.score is None else states.COMPLETE
            _add(optuna, study, view.space, domains, trial.candidate, state, trial.score)
        for pending in view.pending:
            _add(optuna, study, view.space, domains, pending.proposal.candidate, states.RUNNING, None)
        return study


def _add(
    optuna: Any, study: Any, space: Space, domains: Mapping[str, Any], candidate: Candidate, state: Any, value: Any
) -> None:
    """Tell the study of one candidate, by the parameters whose values lie within the space as it is now."""
    values = {name: candidate.params[name] for name in domains}
    params = {n: _inward(space, n, value) for n, value in values.items() if space.domains[n].check(value) is None}
    trial = optuna.trial.create_trial(
        params=params, distributions={name: domains[name] for name in params}, value=value, state=state
    )
    study.add_trial(trial)


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    """One distribution per active parameter: powers of two by their exponent, choices by their position."""
    kinds, found = optuna.distributions, {}
    for name in space.active:
        domain = space.domains[name]
        if isinstance(domain, Float):
            found[name] = kinds.FloatDistribution(domain.low, domain.high, log=domain.log)
        elif isinstance(domain, Int) and domain.power_of_two:
            low, high = math.ceil(math.log2(domain.low)), math.floor(math.log2(domain.high))
            found[name] = kinds.IntDistribution(low, high)
        elif isinstance(domain, Int):
            found[name] = kinds.IntDistribution(domain.low, domain.high, log=domain.log)
        elif isinstance(domain, Choice):
            found[name] = kinds.CategoricalDistribution(tuple(range(len(domain.options))))
        elif isinstance(domain, Bool):
            found[name] = kinds.CategoricalDistribution((False, True))
    return found


def _inward(space: Space, name: str, value: Value) -> Value:
    domain = space.domains[name]
    if isinstance(domain, Int) and domain.power_of_two:
        return int(value).bit_length() - 1  # type: ignore[arg-type]
    return domain.options.index(value) if isinstance(domain, Choice) else value


def _outward(space: Space, name: str, value: Any) -> Value:
    domain = space.domains[name]
    if isinstance(domain, Int) and domain.power_of_two:
        return int(2**value)
    if isinstance(domain, Choice):
        return domain.options[int(value)]
    if isinstance(domain, Float):
        return min(max(float(f"{value:.6g}"), domain.low), domain.high)
    return bool(value) if isinstance(domain, Bool) else int(value)


def _candidate(space: Space, parent: Candidate, params: Mapping[str, Any]) -> Candidate:
    values = {name: _outward(space, name, value) for name, value in params.items()}
    return parent.with_params(**{n: space.clip(n, parent.params[n], value) for n, value in values.items()})


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ModuleNotFoundError:
        raise MissingExtra("researcher 'optuna'", "optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
