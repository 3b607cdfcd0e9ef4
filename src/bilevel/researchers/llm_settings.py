"""Level 1.5 by a language model: it reads the signals of the inner search and turns the inner loop's settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from bilevel.researchers import signals
from bilevel.researchers.answer import parse
from bilevel.researchers.asking import ask_within, filled, told
from bilevel.researchers.prompt import Section, shipped_prompts
from bilevel.researchers.schemas import closed, integer, listed, one_of, or_null, text
from bilevel.settings import PICKERS, STRATEGIES
from bilevel.space import Candidate, Value
from bilevel.trial import Proposal, Trial
from bilevel.view import Below, Briefing, View

FREEZE = "freeze."
GUIDANCE = "guidance.md"
MOST_GUIDANCE = 4000  # characters


class Turned(BaseModel):
    """A model's answer; None leaves a setting as it is."""

    diagnosis: str = Field(min_length=1)
    freeze: list[str] = []
    unfreeze: list[str] = []
    strategy: str | None = None
    drafts: int | None = None
    history_window: int | None = None
    picker: str | None = None
    guidance: str | None = Field(None, max_length=MOST_GUIDANCE)


@dataclass(frozen=True)
class ModelSettings:
    """Asks a model once per cycle what holds the search back, and which settings to turn.

    An answer with unknown names, with values outside their domains or beyond the limits is asked for again with the
    exact error, `reasks` times. `least_active` and `most_changed` must be the surface's own limits. The rule of
    guidance is the surface's: what it refuses comes back in `briefing.turned_back` and is shown. The first trial, with
    nothing to learn from, leaves everything as it is. Raises what `ask_within` raises.
    """

    prompts: Mapping[str, str] = field(default_factory=shipped_prompts)
    least_active: int = 2
    most_changed: int = 3
    prompt_tokens: int = 8000
    most_tokens: int = 4096
    temperature: float | None = None
    reasks: int = 2
    name: str = field(default="llm settings", init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        below = view.below
        if below is None or len(below.trace) < 2:
            return [Proposal(parent, "no trial of the inner loop to learn from yet", self.name)]

        def read(text: str) -> Proposal:
            turned = parse(text, Turned)
            candidate = self._candidate(view, parent, turned)
            return Proposal(candidate, turned.diagnosis[:2000], self.name)

        proposal = ask_within(
            view,
            lambda budget: self._prompt(view, below, parent, briefing, budget),
            f"settings/redraft {briefing.attempt}" if briefing.attempt else "settings",
            read,
            budget=self.prompt_tokens,
            most_tokens=self.most_tokens,
            schema=self._schema(view, parent),
            temperature=self.temperature,
            reasks=self.reasks,
        )
        return [proposal]

    def _schema(self, view: View, parent: Candidate) -> dict[str, Any]:
        """The JSON schema of a `Turned`: the names there are, and no more of them than may be turned."""
        frozen = {name.removeprefix(FREEZE): parent.params[name] for name in parent.params if name.startswith(FREEZE)}
        switches = {
            "freeze": [name for name, value in frozen.items() if not value],
            "unfreeze": [name for name, value in frozen.items() if value],
        }
        lists = {key: listed(one_of(names), self.most_changed) for key, names in switches.items() if names}
        return closed(
            diagnosis={**text(self.most_tokens), "minLength": 1},
            **lists,
            strategy=or_null(one_of(STRATEGIES)),
            drafts=or_null(integer(1, 8)),
            history_window=or_null(integer(0, 1000)),
            picker=or_null(one_of(PICKERS)),
            guidance=or_null(text(3 * self.most_tokens, MOST_GUIDANCE)),
        )

    def _candidate(self, view: View, parent: Candidate, turned: Turned) -> Candidate:
        """What the answer turns the settings into. Raises ValueError with all that is wrong."""
        wrong, freezes = _freezes(parent, turned)
        values: dict[str, Value | None] = {
            "strategy": turned.strategy,
            "drafts": turned.drafts,
            "history_window": turned.history_window,
            "picker": turned.picker,
        }
        given = {name: value for name, value in values.items() if value is not None and name in parent.params}
        files = dict(parent.files)
        if turned.guidance is not None and GUIDANCE in files:
            files[GUIDANCE] = turned.guidance.strip() + "\n" if turned.guidance.strip() else ""
        candidate = Candidate({**parent.params, **freezes, **given}, files)
        wrong += view.space.problems(candidate, parent) + self._beyond_limits(candidate, parent)
        if wrong:
            raise ValueError("; ".join(wrong))
        return candidate

    def _beyond_limits(self, candidate: Candidate, parent: Candidate) -> list[str]:
        switches = [name for name in candidate.params if name.startswith(FREEZE)]
        active = sum(not candidate.params[name] for name in switches)
        changed = sum(candidate.params[name] != parent.params[name] for name in switches)
        found = []
        if active < min(self.least_active, len(switches)):
            found.append(f"at least {self.least_active} parameters must stay free, not {active}")
        if changed > self.most_changed:
            found.append(f"at most {self.most_changed} parameters may be frozen or unfrozen at once, not {changed}")
        return found

    def _prompt(self, view: View, below: Below, parent: Candidate, briefing: Briefing, budget: int) -> str:
        frozen = [
            name.removeprefix(FREEZE) for name, value in parent.params.items() if name.startswith(FREEZE) and value
        ]
        sections = [
            *told(view, briefing),
            signals.standing(below, view.trials_left),
            signals.bottlenecks(below),
            signals.steps(below.trace),
            signals.parameters(below, frozen),
            signals.trials(below),
            signals.ledger(below.trace, sorted(below.trace.ledger()), "Mechanisms so far"),
            _cycles(view, briefing),
            _now(parent, frozen),
            _refusals(briefing),
        ]
        return filled(
            self.prompts,
            "settings",
            sections,
            budget,
            trials=below.trials,
            least_active=self.least_active,
            most_changed=self.most_changed,
            strategies=", ".join(map(repr, STRATEGIES)),
            pickers=", ".join(map(repr, PICKERS)),
        )


def _freezes(parent: Candidate, turned: Turned) -> tuple[list[str], dict[str, Value]]:
    """What is wrong with the names to freeze and unfreeze, and the switches that they turn."""
    known = [name.removeprefix(FREEZE) for name in parent.params if name.startswith(FREEZE)]
    wrong = [f"there is no parameter {n!r}" for n in (*turned.freeze, *turned.unfreeze) if n not in known]
    if wrong:
        wrong.append(f"the parameters that may be frozen are: {', '.join(known)}")
    wrong += [f"{name!r} is both in freeze and in unfreeze" for name in turned.freeze if name in turned.unfreeze]
    switches: dict[str, Value] = {f"{FREEZE}{name}": True for name in turned.freeze if name in known}
    return wrong, switches | {f"{FREEZE}{name}": False for name in turned.unfreeze if name in known}


def _now(parent: Candidate, frozen: list[str]) -> Section:
    others = [f"{name}: {value!r}" for name, value in parent.params.items() if not name.startswith(FREEZE)]
    guidance = parent.files.get(GUIDANCE, "").strip()
    lines = [
        f"- frozen: {', '.join(frozen) or 'none'}",
        f"- {', '.join(others)}",
        f"- guidance: {guidance or 'none'}",
    ]
    return Section("The settings now", "\n".join(lines), priority=85)


def _cycles(view: View, briefing: Briefing) -> Section:
    """The earlier trials of this level: what was turned, and what came of it."""
    earlier = [trial for trial in view.trace if trial.number > 0][-(briefing.history_window or 20) :]
    return Section("Earlier settings and what came of them", _compared(earlier), 70, tuple(map(_cycle, earlier)))


def _compared(earlier: Sequence[Trial]) -> str:
    """What the gains of earlier cycles are gains over."""
    if not earlier:
        return "none yet"
    if all(trial.runs[-1].data.get("control") for trial in earlier if trial.runs):
        return "A gain is by how much the best with these settings beat the best of a control without the change."
    return (
        "A gain is over the best at the cycle's start, without a control: most cycles gain something whatever the "
        "settings, so it does not show what they did."
    )


def _cycle(trial: Trial) -> str:
    changes = [f"{name} {change.old!r} -> {change.new!r}" for name, change in trial.changes.items()]
    changes += ["other guidance"] * bool(trial.candidate.files_changed_from(trial.parent))
    outcome = trial.status.value if trial.score is None else f"gain {trial.score:+.4g}"
    verdict = f"{'kept' if trial.decision.keep else 'discarded'}: {trial.decision.reason[:200]}"
    return f"- cycle {trial.number}: {', '.join(changes) or 'nothing changed'}: {outcome}; {verdict}"


def _refusals(briefing: Briefing) -> Section:
    reasons = [f"- {back.reason[:600]}" for back in briefing.turned_back]
    return Section("Your answers so far were turned back; answer differently", "\n".join(reasons), priority=99)
