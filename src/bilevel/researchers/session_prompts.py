"""The prompts of a mechanism session, one function per round; each is written for a budget of tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bilevel.carrying import CODE, PYTHON, STEP, carrier_of, texts_of
from bilevel.mechanism import HOOKS, Guest
from bilevel.researchers import signals
from bilevel.researchers.asking import filled, head, told
from bilevel.researchers.authoring import hooks, interface
from bilevel.researchers.prompt import Section, fence, fill, tokens
from bilevel.researchers.session_replies import Critique, Idea, Plan
from bilevel.space import Candidate, Derived
from bilevel.trial import Count, Trial
from bilevel.view import Below, Briefing, View

MOST_SESSIONS = 20
SOME_TRIALS = 24  # lines of trials for the author of code
MADE_OF = {
    CODE: "a rule in Python with hooks, which the loop asks",
    "prompt": "a text added to the researcher's system message",
    "skill": "a text that the researcher is given when a condition holds, with claims that the trials can contradict",
    "memory": "a rule that says which lessons are kept and which of them are shown",
    "workflow": "a step of the researcher's workflow, inserted, replaced or removed",
    STEP: "a step of the researcher's workflow in Python, inserted, in place of one, or removing one",
}
LEAST_SOURCE = 200  # tokens; less of the loop's source is not worth showing


@dataclass(frozen=True)
class Desk:
    """What a session works on: the outer view, the inner search, the mechanisms in force, and the fixed texts.

    `allowed` says what a mechanism may import, `source` is the loop's own source text. `carriers`: what a mechanism may
    be made of; `shown`: what texts are added to or change, by title.
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
    carriers: tuple[str, ...] = (CODE,)
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(guest.name for guest in self.guests)


def explore(desk: Desk, budget: int) -> str:
    fields = f" Look in these fields: {', '.join(desk.domains)}." if desk.domains else ""
    known = _loop(desk)
    sections = [*_record(desk), *_sources(desk), *told(desk.view, desk.briefing)]
    values = {"domains": fields, "trials": desk.below.trials, "advice": _on_advice(desk)}
    bare = tokens(fill(desk.prompts, "session_explore", material="", **values))
    room = budget - bare - sum(tokens(section.full) for section in (*known, *sections)) - 60
    source = head(desk.source, room) if room >= LEAST_SOURCE else ""
    code = Section("The loop's own source, what decides", _python(source) if source else "", priority=-1)
    return filled(desk.prompts, "session_explore", [*known, code, *sections], budget, **values)


def critique(desk: Desk, ideas: str, budget: int) -> str:
    said = Section("The ideas", head(ideas, max(budget // 3, 60)), priority=100)
    sections = [*_loop(desk), *_record(desk), said]
    return filled(desk.prompts, "session_critique", sections, budget, trials=desk.below.trials)


def specify(desk: Desk, chosen: Critique, budget: int) -> str:
    idea = Section("The idea that was selected", head(_idea(chosen.choice, chosen.reason), budget // 3), priority=100)
    full = len(desk.guests) >= desk.most
    room = f"The set is full ({desk.most}): replace or remove." if full else ""
    sections = [*_loop(desk), idea, *_task(desk, budget), *_record(desk), *_sources(desk)]
    return filled(
        desk.prompts, "session_specify", sections, budget,
        room=room, in_force=", ".join(desk.names) or "none so far", hooks=", ".join(HOOKS),
        advice=_on_advice(desk), trials=desk.below.trials,
    )  # fmt: skip


def generate(desk: Desk, chosen: Critique, plan: Plan, budget: int) -> str:
    old = next((guest for guest in desk.guests if guest.name == plan.name), None)
    sections = [
        *interface(budget),
        replace(_order(desk), priority=58),
        *_of_mechanisms(desk),
        Section("An example of the form (not of what to do)", _python(desk.prompts["session_example"]), 83),
        Section("How such rules have failed", fill(desk.prompts, "session_failures").strip(), priority=57),
        signals.domains(desk.below),
        *_task(desk, budget),
        replace(signals.standing(desk.below), priority=50),
        replace(signals.trials(desk.below, SOME_TRIALS), priority=49),
        Section("The mechanism in force that this one replaces", _python(old.source) if old else "", 59),
        Section("The idea", head(_idea(chosen.choice, ""), budget // 6), priority=62),
        Section("What to write", head(_spec(plan), budget // 3), priority=100),
    ]
    return filled(
        desk.prompts, "session_generate", sections, budget,
        mechanism=plan.name, allowed=desk.allowed, trials=desk.below.trials,
    )  # fmt: skip


def write_text(desk: Desk, chosen: Critique, plan: Plan, budget: int) -> str:
    old = next((guest for guest in desk.guests if guest.name == plan.name), None)
    sections = [
        *_around_texts(desk, budget),
        Section("The text in force that this one replaces", fence(old.source, "text", most=6000) if old else "", 59),
        Section("The idea", head(_idea(chosen.choice, ""), budget // 6), priority=62),
        Section("What to write", head(_spec(plan), budget // 3), priority=100),
    ]
    return _text(desk, plan.name, sections, budget, "Write it.")


def repair_text(desk: Desk, name: str, purpose: str, text: str, reason: str, budget: int) -> str:
    sections = [
        *_around_texts(desk, budget),
        Section("What it is meant to do", head(purpose, budget // 6), priority=70),
        Section("The text that was refused", fence(text, "text", most=6000), priority=90),
        Section("Why it was refused", fence(reason, "findings of the checks", most=3000), priority=100),
    ]
    return _text(desk, name, sections, budget, "Mend what is wrong, and change nothing else.")


def inert_text(desk: Desk, name: str, trial: Trial, budget: int) -> str:
    sections = [
        *_around_texts(desk, budget),
        Section("What it was meant to change", head(trial.proposal.why, budget // 6), priority=95),
        Section("What it did", signals.ledger_line(name, ledger_of(trial, name)), priority=98),
        Section("Why it was discarded", trial.decision.reason[:600], priority=97),
        Section("The text", fence(trial.candidate.files[name], "text", most=6000), priority=100),
    ]
    ask = "It had no say, or changed no draft. Write it so that it does, with the same idea."
    return _text(desk, name, sections, budget, ask)


def _text(desk: Desk, name: str, sections: list[Section], budget: int, ask: str) -> str:
    carrier = carrier_of(name)
    kind = ("session_step", {"allowed": desk.allowed}) if carrier == STEP else ("session_text", {"carrier": carrier})
    return filled(
        desk.prompts, kind[0], sections, budget,
        form=desk.prompts[f"session_form_{carrier}"].strip(), trials=desk.below.trials, ask=ask, **kind[1],
    )  # fmt: skip


def _around_texts(desk: Desk, budget: int) -> list[Section]:
    """What the author of a text needs to know of the task, the record, and the texts that are there."""
    return [
        signals.domains(desk.below),
        *_task(desk, budget),
        replace(signals.standing(desk.below), priority=50),
        replace(signals.trials(desk.below, SOME_TRIALS), priority=49),
        *(Section(title, fence(text, "text", most=6000), 55) for title, text in desk.shown.items()),
        *map(_source, texts_of(desk.guests)),
    ]


def repair(desk: Desk, purpose: str, source: str, reason: str, budget: int) -> str:
    sections = [
        *interface(budget),
        *_of_mechanisms(desk),
        signals.domains(desk.below),
        *_task(desk, budget),
        replace(signals.trials(desk.below, SOME_TRIALS), priority=49),
        Section("What it is meant to do", head(purpose, budget // 6), priority=70),
        Section("The source that was refused", _python(head(source, budget // 2)), priority=90),
        Section("Why it was refused", fence(reason, "findings of the checks", most=3000), priority=100),
    ]
    return filled(desk.prompts, "session_repair", sections, budget, allowed=desk.allowed, trials=desk.below.trials)


def inert(desk: Desk, name: str, trial: Trial, budget: int) -> str:
    said = trial.proposal.why
    sections = [
        *interface(budget),
        replace(_order(desk), priority=58),
        *_of_mechanisms(desk),
        *_task(desk, budget),
        *_record(desk),
        Section("What it was meant to change", head(said, budget // 6), priority=95),
        Section("What it did", signals.ledger_line(name, ledger_of(trial, name)), priority=98),
        _measured(desk, trial, name),
        Section("Why it was discarded", trial.decision.reason[:600], priority=97),
        Section("Its source", _python(head(trial.candidate.files[name], budget // 2)), priority=100),
    ]
    return filled(
        desk.prompts, "session_inert", sections, budget,
        allowed=desk.allowed, trials=desk.below.trials, next=len(desk.below.trace), arm=_better_arm(trial),
    )  # fmt: skip


def _better_arm(trial: Trial) -> str:
    """The arm of an outer trial from whose end the search goes on."""
    arms = trial.runs[-1].data.get("arms", {}) if trial.runs else {}
    return "the control" if "control" in arms and arms["control"].get("branch") == trial.state else "the loop with it"


_MEASURED = "trial, who proposed it: changes | score | decision | what the mechanism did | against the control"


def _measured(desk: Desk, trial: Trial, name: str) -> Section:
    """The inner trials of an outer trial's challenger, a line each; none where the record does not hold them. On level
    3 it holds those of the innermost search, where the mechanism had no say: they are not shown."""
    title = "The trials over which it was measured"
    if _searches_mechanisms(desk):
        return Section(title, "", 96)
    arms = trial.runs[-1].data.get("arms", {}) if trial.runs else {}
    challenger, control = (arms.get(arm, {}).get("trials", ()) for arm in ("challenger", "control"))
    others = {told["number"]: told["candidate"] for told in control}
    lines = tuple(_measured_line(desk, told, name, others.get(told["number"])) for told in challenger)
    return Section(title, _MEASURED, 96, lines)


def _measured_line(desk: Desk, told: Mapping[str, Any], name: str, other: str | None) -> str:
    author, hooks = told["author"], told["ledger"].get(name, {})
    by = "the rule, and so would the researcher" if author == name else "the researcher"
    by = f"rule {author}" if author != name and author in desk.names else by
    changes = ", ".join(f"{key} {old!r} -> {new!r}" for key, (old, new) in told["changes"].items())
    counts = {hook: Count(*numbers) for hook, numbers in hooks.items()}
    did = [f"{hook} {'decisive' if c.decisive else 'touched' if c.touched else 'called'}" for hook, c in counts.items()]
    score = "no score" if told["score"] is None else f"{told['score']:.6g}"
    same = "" if other is None else f" | {'the same' if other == told['candidate'] else 'another'} candidate ran there"
    verdict = "kept" if told["keep"] else "discarded"
    return (
        f"{told['number']}, {by}: {changes or 'no parameter changed'} | {score} | {verdict} | "
        f"{', '.join(did) or 'not called'}{same}"
    )


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
    came = "" if earlier else "none yet"
    return [
        signals.standing(below, desk.view.trials_left),
        signals.bottlenecks(below),
        signals.steps(below.trace),
        signals.parameters(below),
        signals.trials(below),
        in_force,
        signals.faults(below.trace, frozenset(below.trace.ledger()) | frozenset(desk.names)),
        Section("Earlier sessions and what came of them", came, 75, tuple(map(session_line, earlier))),
    ]


def _loop(desk: Desk) -> list[Section]:
    """How the loop asks a mechanism, in short; and what it may be made of."""
    code = [hooks(), _order(desk), *_of_mechanisms(desk)] if CODE in desk.carriers else []
    if desk.carriers == (CODE,):
        return code
    told = "\n".join(f"- {carrier}: {MADE_OF[carrier]}" for carrier in desk.carriers)
    text = fill(desk.prompts, "session_carriers", carriers=told).strip()
    return [*code, Section("What a mechanism may be made of here, whatever else is said", text, priority=99)]


def _order(desk: Desk) -> Section:
    return Section("A trial, and what decisive means", fill(desk.prompts, "session_order").strip(), priority=81)


def _of_mechanisms(desk: Desk) -> list[Section]:
    """On level 3: what a candidate and a score are there. A run made before there was such a text goes on without."""
    if not _searches_mechanisms(desk) or "session_level_3" not in desk.prompts:
        return []
    return [Section("What this search searches", fill(desk.prompts, "session_level_3").strip(), priority=98)]


def _searches_mechanisms(desk: Desk) -> bool:
    domains = desk.below.space.domains.values()
    return bool(domains) and all(isinstance(domain, Derived) for domain in domains)


def _task(desk: Desk, budget: int) -> list[Section]:
    """The beginning of the brief: code that makes candidates must know the task's rules."""
    text = head(desk.view.brief.strip(), max(budget // 12, 60))
    return [Section("The task, as a person describes it", text, priority=51)]


def _sources(desk: Desk) -> list[Section]:
    return [_source(guest) for guest in desk.guests]


def _source(guest: Guest) -> Section:
    text = _python(guest.source) if carrier_of(guest.name) in PYTHON else fence(guest.source, "text", most=6000)
    return Section(f"The source of {guest.name}, in force", text, 40)


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
