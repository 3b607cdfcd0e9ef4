"""The prompts of a mechanism session, one function per round; each is written for a budget of tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bilevel.mechanism import HOOKS, Guest
from bilevel.researchers import signals
from bilevel.researchers.asking import filled, head, told
from bilevel.researchers.authoring import hooks, interface
from bilevel.researchers.prompt import Section, fence, fill, tokens
from bilevel.researchers.session_replies import Critique, Idea, Plan
from bilevel.space import Candidate
from bilevel.trial import Count, Trial
from bilevel.view import Below, Briefing, View

MOST_SESSIONS = 20
LEAST_SOURCE = 200  # tokens; less of the loop's source is not worth showing


@dataclass(frozen=True)
class Desk:
    """What a session works on: the outer view, the inner search, the mechanisms in force, and the fixed texts.

    `allowed` says what a mechanism may import, `source` is the loop's own source text.
    """

    view: View
    below: Below
    parent: Candidate
    briefing: Briefing
    guests: tuple[Guest, ...]
    most: int
    prompts: Mapping[str, str]
    source: str
    allowed: str
    domains: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(guest.name for guest in self.guests)


def explore(desk: Desk, budget: int) -> str:
    fields = f" Look in these fields: {', '.join(desk.domains)}." if desk.domains else ""
    sections = [*_record(desk), *_sources(desk), *told(desk.view, desk.briefing)]
    values = {"domains": fields, "trials": desk.below.trials, "advice": _on_advice(desk)}
    bare = tokens(fill(desk.prompts, "session_explore", material="", **values))
    room = budget - bare - sum(tokens(section.full) for section in sections) - 60
    source = head(desk.source, room) if room >= LEAST_SOURCE else ""
    code = Section("The source of the loop", _python(source), priority=-1) if source else hooks()
    return filled(desk.prompts, "session_explore", [code, *sections], budget, **values)


def critique(desk: Desk, ideas: str, budget: int) -> str:
    sections = [*_record(desk), Section("The ideas", head(ideas, max(budget // 3, 60)), priority=100)]
    return filled(desk.prompts, "session_critique", sections, budget, trials=desk.below.trials)


def specify(desk: Desk, chosen: Critique, budget: int) -> str:
    idea = Section("The idea that was selected", head(_idea(chosen.choice, chosen.reason), budget // 3), priority=100)
    full = len(desk.guests) >= desk.most
    room = f"The set is full ({desk.most}): replace or remove." if full else ""
    return filled(
        desk.prompts, "session_specify", [hooks(), idea, *_record(desk), *_sources(desk)], budget,
        room=room, in_force=", ".join(desk.names) or "none so far", hooks=", ".join(HOOKS),
        advice=_on_advice(desk), trials=desk.below.trials,
    )  # fmt: skip


def generate(desk: Desk, chosen: Critique, plan: Plan, budget: int) -> str:
    old = next((guest for guest in desk.guests if guest.name == plan.name), None)
    sections = [
        *interface(budget),
        Section("An example of the form (not of what to do)", _python(desk.prompts["session_example"]), 78),
        Section("How such rules have failed", fill(desk.prompts, "session_failures"), priority=57),
        signals.domains(desk.below),
        replace(signals.standing(desk.below), priority=50),
        replace(signals.bottlenecks(desk.below), priority=49),
        Section("The mechanism in force that this one replaces", _python(old.source) if old else "", 59),
        Section("The idea", head(_idea(chosen.choice, ""), budget // 6), priority=62),
        Section("What to write", head(_spec(plan), budget // 3), priority=100),
    ]
    return filled(
        desk.prompts, "session_generate", sections, budget, allowed=desk.allowed, trials=desk.below.trials
    )  # fmt: skip


def repair(desk: Desk, purpose: str, source: str, reason: str, budget: int) -> str:
    sections = [
        *interface(budget),
        signals.domains(desk.below),
        Section("What it is meant to do", head(purpose, budget // 6), priority=70),
        Section("The source that was refused", _python(head(source, budget // 2)), priority=90),
        Section("Why it was refused", fence(reason, "findings of the checks", most=3000), priority=100),
    ]
    return filled(desk.prompts, "session_repair", sections, budget, allowed=desk.allowed, trials=desk.below.trials)


def inert(desk: Desk, name: str, trial: Trial, budget: int) -> str:
    said = trial.proposal.why
    sections = [
        *interface(budget),
        *_record(desk),
        Section("What it was meant to change", head(said, budget // 6), priority=95),
        Section("What it did", signals.ledger_line(name, ledger_of(trial, name)), priority=98),
        Section("Why it was discarded", trial.decision.reason[:600], priority=97),
        Section("Its source", _python(head(trial.candidate.files[name], budget // 2)), priority=100),
    ]
    return filled(desk.prompts, "session_inert", sections, budget, allowed=desk.allowed, trials=desk.below.trials)


def ledger_of(trial: Trial, name: str) -> dict[str, Count]:
    """What a mechanism did in the inner trials of an outer trial."""
    hooks = trial.runs[-1].data.get("ledger", {}).get(name, {}) if trial.runs else {}
    return {hook: Count(*numbers) for hook, numbers in hooks.items()}


def session_line(trial: Trial) -> str:
    """An earlier session: what it did to which mechanism, the gain over the control, what was decisive, the verdict."""
    notes = trial.proposal.notes
    changed = trial.candidate.files_changed_from(trial.parent)
    parts = []
    for name in changed:
        verb = "replaced" if name in trial.parent.files else "added"
        verb = verb if name in trial.candidate.files else "removed"
        counts = ledger_of(trial, name).values()
        decisive, calls = sum(c.decisive for c in counts), sum(c.calls for c in counts)
        parts.append(f"{verb} {name}" + (f" (decisive in {decisive} of {calls} calls)" if counts else ""))
    idea = f" [{notes['idea']}]" if isinstance(notes.get("idea"), str) and notes["idea"] else ""
    again = f", a repair of session {notes['repair_of']}" if "repair_of" in notes else ""
    outcome = trial.status.value if trial.score is None else f"gain {trial.score:+.4g}"
    verdict = f"{'kept' if trial.decision.keep else 'discarded'}: {trial.decision.reason[:240]}"
    return f"- session {trial.number}: {', '.join(parts) or 'changed nothing'}{idea}{again}: {outcome}; {verdict}"


def _record(desk: Desk) -> list[Section]:
    """The inner search and what was done about it so far."""
    below = desk.below
    window = desk.briefing.history_window or MOST_SESSIONS
    earlier = [trial for trial in desk.view.trace if trial.number > 0][-window:]
    in_force = signals.ledger(below.trace, desk.names)
    return [
        signals.standing(below),
        signals.bottlenecks(below),
        signals.parameters(below),
        signals.trials(below),
        in_force,
        signals.faults(below.trace, frozenset(below.trace.ledger()) | frozenset(desk.names)),
        Section("Earlier sessions and what came of them", "", 75, tuple(map(session_line, earlier))),
    ]


def _sources(desk: Desk) -> list[Section]:
    return [Section(f"The source of {guest.name}, in force", _python(guest.source), 40) for guest in desk.guests]


def _on_advice(desk: Desk) -> str:
    if not desk.below.reads_advice:
        return "The inner researcher reads no advice, so the hook advise does nothing here."
    return "Advice to the inner researcher is seldom proved to have mattered: never rely on the hook advise alone."


def _idea(idea: Idea, reason: str) -> str:
    parts = [f"{idea.name}: {idea.idea}", f"How it may fail: {idea.failure_modes}" if idea.failure_modes else ""]
    parts.append(f"Its bottleneck shows in trials {', '.join(map(str, idea.evidence))}." if idea.evidence else "")
    parts.append(f"Why it was selected: {reason}" if reason else "")
    return "\n".join(part for part in parts if part)


def _spec(plan: Plan) -> str:
    given = plan.model_dump()
    lines = [
        f"- {key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in given.items()
        if value and key not in ("kind", "target")
    ]
    return "\n".join(lines)


def _python(source: str) -> str:
    return f"```python\n{source.rstrip()}\n```"
