"""Level 2 by a language model: a mechanism session, from the record of a search to a rule in Python.

Four rounds, each a call of its own: explore (ideas), critique (one is selected), specify, generate. What the door
refuses is repaired, up to the loop's redrafts; what ran and was inert is repaired before anything new is thought of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from bilevel.carrying import CODE, carrier_of
from bilevel.errors import InputError
from bilevel.mechanism import Guest
from bilevel.researchers import session_prompts as rounds
from bilevel.researchers.asking import ask_within
from bilevel.researchers.prompt import shipped_prompts
from bilevel.researchers.session_prompts import Desk
from bilevel.researchers.session_replies import (
    Critique,
    Plan,
    critique_schema,
    plan_schema,
    read_code,
    read_critique,
    read_ideas,
    read_plan,
    read_text,
)
from bilevel.space import Candidate
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View

T = TypeVar("T")
PLAIN = (
    "collections, dataclasses, functools, itertools, math, random (its Random only), statistics, typing; "
    "bilevel.mechanism, .noise, .objective, .settings, .space, .trace, .trial, .view"
)


@dataclass(frozen=True)
class Work:
    """What a session wants: the mechanism `name` with this source, or without one its removal."""

    name: str
    source: str | None
    why: str
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class ModelSession:
    """Invents mechanisms: a language model reads the record of the inner search and writes the code of one.

    `compose` makes the candidate of an ordered set of mechanisms, `source` is the loop's own source text, the interface
    first. `allowed` says what the door lets a mechanism import, by default a plain part of it. `most`: so many
    mechanisms may be in force; in a full set one can only be replaced or removed. `domains`: fields of knowledge to
    look in, none by default. `carriers`: what a mechanism may be made of, of which the model chooses; `shown`: the
    researcher's own texts that are added to or changed then, by title. Each prompt has about `prompt_tokens` at most,
    each answer `most_tokens`.

    Asked again after a refusal it goes through the same rounds, whose answers are on record, and then has the refused
    code repaired, once per refusal. Where its last mechanism was inert in its trial, that one is repaired first, at
    most `view.settings.repairs` times in a row. Raises what `ask_within` raises: a session whose answers cannot be used
    is a fault of its trial, and the next trial begins a new one.
    """

    compose: Callable[[tuple[Guest, ...]], Candidate]
    source: str
    allowed: str = PLAIN
    prompts: Mapping[str, str] = field(default_factory=shipped_prompts)
    most: int = 8
    domains: tuple[str, ...] = ()
    carriers: tuple[str, ...] = (CODE,)
    shown: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int = 24000
    most_tokens: int = 8192
    temperature: float | None = None
    reasks: int = 2
    name: str = field(default="llm session", init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        below = view.below
        if below is None:
            raise InputError(f"researcher {self.name!r} writes mechanisms for an inner loop; put it on an outer level")
        order = parent.params["order"]
        guests = tuple(Guest(str(n), parent.files[str(n)]) for n in (order if isinstance(order, tuple) else ()))
        desk = Desk(
            # The rounds are the same each time that the same trial is asked for, whatever was turned back meanwhile.
            view, below, parent, replace(briefing, attempt=0, turned_back=()), guests, self.most, self.prompts,
            self.source, self.allowed, self.domains, self.carriers, self.shown,
        )  # fmt: skip
        failed = self._inert_before(view, guests)
        work = self._fresh(desk) if failed is None else self._again(desk, failed)
        return self._until_not_refused(desk, work, briefing)

    # ---- the four rounds ----

    def _fresh(self, desk: Desk) -> Work:
        ideas = self._ask(desk, "explore", partial(rounds.explore, desk), read_ideas, cut=True)
        known = len(desk.below.trace)
        critique = self._ask(
            desk, "critique", partial(rounds.critique, desk, ideas), lambda text: read_critique(text, known),
            critique_schema(known, self.most_tokens),
        )  # fmt: skip
        in_force, advised = desk.names, desk.below.reads_advice
        plan = self._ask(
            desk, "specify", partial(rounds.specify, desk, critique),
            lambda text: read_plan(text, in_force, self.most, advised, self.carriers),
            plan_schema(in_force, self.most, self.most_tokens, self.carriers),
        )  # fmt: skip
        notes = _notes(critique, plan)
        if plan.kind == "remove":
            return Work(plan.target, None, f"remove {plan.target}: {plan.changes}"[:1000], notes)
        if carrier_of(plan.name) != CODE:
            source = self._ask(desk, "generate", partial(rounds.write_text, desk, critique, plan), read_text)
        else:
            source = self._ask(desk, "generate", partial(rounds.generate, desk, critique, plan), read_code)
        return Work(plan.name, source, f"{plan.kind} {plan.name}: {plan.changes}"[:1000], notes)

    # ---- repairs ----

    def _until_not_refused(self, desk: Desk, work: Work, briefing: Briefing) -> list[Proposal]:
        """The work as a proposal, repaired once for each refusal that is on record. A refused removal is given up."""
        reasons = {back.candidate: back.reason for back in briefing.turned_back}
        for number in range(1, len(briefing.turned_back) + 1):
            proposal = self._proposal(desk, work, number - 1)
            reason = reasons.get(proposal.candidate.id)
            if reason is None:
                return [proposal]
            source = work.source
            if source is None:
                return []
            write: Callable[[int], str] = partial(rounds.repair, desk, work.why, source, reason)
            read = partial(read_code, refused=source)
            if carrier_of(work.name) != CODE:
                write = partial(rounds.repair_text, desk, work.name, work.why, source, reason)
                read = partial(read_text, refused=source)
            work = replace(work, source=self._ask(desk, f"repair {number}", write, read))
        return [self._proposal(desk, work, len(briefing.turned_back))]

    def _inert_before(self, view: View, guests: tuple[Guest, ...]) -> Trial | None:
        """The last trial, if it was of a mechanism of ours that proved inert and may be repaired."""
        last = view.trace.last
        if last is None or last.proposal.author != self.name or not last.decision.reason.startswith("inert"):
            return None
        name = last.proposal.notes.get("mechanism")
        if name not in last.candidate.files or (name not in [g.name for g in guests] and len(guests) >= self.most):
            return None
        root, repairs = last.proposal.notes.get("repair_of"), 0
        for trial in view.trace.newest():
            if root is None or trial.proposal.notes.get("repair_of") != root:
                break
            repairs += 1
        return last if repairs < view.settings.repairs else None

    def _again(self, desk: Desk, failed: Trial) -> Work:
        name, notes = str(failed.proposal.notes["mechanism"]), dict(failed.proposal.notes)
        text = carrier_of(name) != CODE
        write = partial(rounds.inert_text if text else rounds.inert, desk, name, failed)
        read = partial(read_text if text else read_code, refused=failed.candidate.files[name])
        source = self._ask(desk, "repair inert", write, read)
        notes |= {"repair_of": notes.get("repair_of", failed.number), "calls": ["repair inert"]}
        return Work(name, source, failed.proposal.why, notes)

    # ---- one call, one proposal ----

    def _ask(
        self,
        desk: Desk,
        what: str,
        write: Callable[[int], str],
        read: Callable[[str], T],
        schema: Mapping[str, Any] | None = None,
        cut: bool = False,
    ) -> T:
        return ask_within(
            desk.view,
            write,
            f"session/{what}",
            read,
            budget=self.prompt_tokens,
            most_tokens=self.most_tokens,
            schema=schema,
            temperature=self.temperature,
            reasks=self.reasks,
            cut=cut,
        )

    def _proposal(self, desk: Desk, work: Work, repairs: int) -> Proposal:
        guests = desk.guests
        if work.source is None:
            guests = tuple(guest for guest in guests if guest.name != work.name)
        elif work.name in desk.names:
            new = Guest(work.name, work.source)
            guests = tuple(new if guest.name == work.name else guest for guest in guests)
        else:
            guests = (*guests, Guest(work.name, work.source))
        return Proposal(self.compose(guests), work.why, self.name, {**work.notes, "repairs": repairs})


def _notes(critique: Critique, plan: Plan) -> dict[str, Any]:
    """What is worth knowing of a session later on, beside its calls."""
    removed = plan.kind == "remove"
    carrier = {"carrier": plan.carrier} if plan.carrier else {}
    return carrier | {
        "mechanism": plan.target if removed else plan.name,
        "kind": plan.kind,
        "idea": critique.choice.name,
        "score": critique.choice.score,
        "scores": {idea.name: idea.score for idea in critique.ideas},
        "evidence": critique.choice.evidence,
        "domain": plan.domain[:80],
        "hooks": plan.hooks,
        "shows": plan.shows[:300],
        "calls": ["explore", "critique", "specify"] + ["generate"] * (not removed),
    }
