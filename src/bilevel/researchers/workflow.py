"""The level-1 researcher of articles: a workflow of five steps, each with a prompt, a schema and a gate.

Analysis, hypotheses, edit plan, impact assessment, revised text; texts can insert, replace and remove steps
(`arranging.py`). A gate (`gates.py`) judges each answer against the
article and the steps before; what it objects to goes back to the model. The assessment decides which edits are made:
the last step is asked for their paragraphs alone, and every other paragraph stays as it is, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeVar

from pydantic import BaseModel

from bilevel import prose
from bilevel.addenda import for_step
from bilevel.call import Message, Request
from bilevel.carrying import CARRIERS, STEP, carrier_of
from bilevel.errors import ContextOverflow, UnusableReply
from bilevel.hints import values_in
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.prose import Block
from bilevel.researchers import gates
from bilevel.researchers.answer import ask_until
from bilevel.researchers.arranging import START, Arrangement, Step, arranged
from bilevel.researchers.carried import Carried
from bilevel.researchers.coded import Coded, spoken
from bilevel.researchers.gates import DIMENSIONS, Edit, Hypotheses, Hypothesis, Plan
from bilevel.researchers.history import quoted
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.researchers.prompt import fill, shipped_prompts, tokens
from bilevel.researchers.shown import WHOLE, declined, itemised, numbered, told, tried
from bilevel.space import Candidate, Space
from bilevel.steps import NOTE, STEPS, StepCount, noted
from bilevel.trial import Lesson, Proposal
from bilevel.view import Briefing, View
from bilevel.workflow_step import SoFar

LONG = 8000  # characters: a longer text is revised section by section, each of at most so many where that can be
CUTS = (WHOLE, 1000, 500, 250, 120)  # characters of a paragraph that are shown where a prompt has to be shorter
NAME = "llm workflow"
STEPPING = ("workflow", STEP)  # the carriers of changes of the steps
MOST_HALVINGS = 2  # how often a prompt that is too long for the model is made shorter
T = TypeVar("T")


@dataclass(frozen=True)
class _Learner(ModelResearcher):
    """Draws the lessons: the edits of all trials that they rest on are its own words."""

    name: str = field(default=NAME, init=False)
    own_words: int = field(default=1_000, init=False)


@dataclass(frozen=True)
class Section:
    """A part of a text that is revised at once: the numbers of its blocks, from 1."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Workflow:
    """Revises one article in each trial, one after the other; a pure function of its view and the recorded answers.

    `reasks`: how often a gate sends an answer back. Where the assessment lets no edit through, the plan is asked for
    once more with its reasons; after that there is nothing to propose. `prompt_tokens` bounds a prompt, about: long
    paragraphs are shown cut where it must be, but whole in the last step, section by section. Raises UnusableReply and
    ContextOverflow where nothing helps. `texts`: prompts, skills, memory rules, and changes of its steps; `load` makes
    mechanisms of those that are code (as `LoopSpec.load`: in this process, unless it is told another place).
    """

    prompts: Mapping[str, str] = field(default_factory=shipped_prompts)
    prompt_tokens: int = 12_000
    most_tokens: int = 4096
    temperature: float | None = None
    reasks: int = 2
    texts: tuple[Guest, ...] = ()
    load: Callable[[Guest], Mechanism] = load
    carries: tuple[str, ...] = field(default=CARRIERS[1:], init=False)
    name: str = field(default=NAME, init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """One proposal: the parent with one article revised; withdrawn where no edit was let through."""
        if not parent.files:
            return []
        if self._carried.guests:
            told = self._carried.told(view, briefing)
            flow = replace(self, prompts=told.prompts, texts=self._changes)
            return flow.propose(told.view, parent, told.briefing)
        names = sorted(parent.files)
        name = names[(view.number - 1 + briefing.attempt) % len(names)]
        desk = Desk(self, view, parent, briefing, name, prose.blocks(parent.files[name]))
        try:
            return [self._proposal(desk)]
        except UnusableReply as error:
            error.notes = {"article": name, NOTE: noted(desk.counts), **desk.coded.notes}
            raise

    def _proposal(self, desk: "Desk") -> Proposal:
        """What a pass over one article comes to. Raises UnusableReply where a gate ends it."""
        name, parent = desk.name, desk.parent
        desk.take_inserted(START)
        found = self._weaknesses(desk)
        hypotheses = self._hypotheses(desk, found)
        ideas = [f"{n}. for weakness {h.weakness}: {h.change}" for n, h in enumerate(hypotheses, 1)]
        plan, approved = self._planned(desk, ideas)
        new = desk.revised(approved)
        made = [edit for edit in approved if edit.paragraph in new]
        behind = {edit.hypothesis for edit in made}
        desk.told("analysis", 0, len({hypotheses[n - 1].weakness for n in behind}))
        desk.told("hypotheses", 0, len(behind))
        desk.told("plan", 0, len(made))
        notes = {
            "article": name,
            "hypotheses": [h.change for h in hypotheses],
            "edits": len(plan.edits),
            "approved": [edit.paragraph for edit in approved],
            NOTE: noted(desk.counts),
            **desk.coded.notes,
        }
        if not approved:
            return Proposal(parent, "", self.name, notes, dropped=f"the assessment let no edit of {name} through")
        why = "; ".join(f"[{edit.paragraph}] {edit.instruction}" for edit in approved)
        text = "".join(new.get(n, part.text) + part.gap for n, part in enumerate(desk.parts, 1))
        return Proposal(
            Candidate(parent.params, {**parent.files, name: text}), quoted(why, 1000)[1:-1], self.name, notes
        )

    def learn(self, view: View) -> Sequence[Lesson]:
        """The lessons of the trials since the last ones, drawn as a model does that researches anything else: from the
        edits that were made, and what came of them."""
        author = _Learner(self.prompts, self.prompt_tokens, self.most_tokens, self.temperature, self.reasks)
        return author.learn(view)

    def _weaknesses(self, desk: "Desk") -> list[str]:
        """The weaknesses that the analysis finds, as later steps read them; without one, the dimensions."""
        if "analysis" in desk.arrangement.removed:
            desk.take_inserted("analysis")
            return [
                f"{n}. {dimension}: whatever is weakest in the article" for n, dimension in enumerate(DIMENSIONS, 1)
            ]
        analysis = desk.ask(
            "analysis", gates.analysis_schema(len(desk.parts)), partial(gates.analysis, parts=desk.parts)
        )
        found = [f"{n}. [{w.paragraph}] {w.dimension}: {w.problem}" for n, w in enumerate(analysis.weaknesses, 1)]
        desk.told("analysis", len(found), 0)
        desk.take_inserted("analysis", "\n".join(found))
        return found

    def _hypotheses(self, desk: "Desk", found: Sequence[str]) -> list[Hypothesis]:
        """What would mend which weakness; without that step, each weakness is to be mended."""
        if "hypotheses" in desk.arrangement.removed:
            desk.take_inserted("hypotheses")
            mended = [one.partition(". ")[2] for one in found]
            made = [Hypothesis(weakness=n, change=f"mend it: {one}", why="") for n, one in enumerate(mended, 1)]
            desk.said["hypotheses"] = Hypotheses(hypotheses=made).model_dump()
            return made
        window = desk.briefing.history_window
        before, refused = tried(desk.view, desk.name, window), declined(desk.view, desk.name)
        hypotheses = desk.ask(
            "hypotheses",
            gates.hypotheses_schema(len(found)),
            partial(gates.hypotheses, count=len(found), tried=[*before, *refused]),
            known={"tried": (*before, *refused)},
            analysis="\n".join(found),
            tried=itemised("These were tried for this article and not kept, or are being tried:", before)
            + itemised("Of these no edit was let through:", refused),
        ).hypotheses
        desk.told("hypotheses", len(hypotheses), 0)
        desk.take_inserted("hypotheses", "\n".join(f"{h.weakness}: {h.change}" for h in hypotheses))
        return hypotheses

    # ---- texts ----

    def carrying(self, texts: Sequence[Guest]) -> "Workflow":
        return replace(self, texts=tuple(texts))

    def used(self, view: View, parent: Candidate, briefing: Briefing) -> frozenset[str]:
        """Prompts, skills and memory rules that have a say, and each change of the steps."""
        if not parent.files:
            return frozenset()
        return self._carried.used(view) | {text.name for text in self._changes}

    def refusal(self, text: Guest, space: Space | None) -> str | None:
        if carrier_of(text.name) not in STEPPING:
            return self._carried.refusal(text, space)
        try:
            arranged(self.prompts, [text])
        except ValueError as error:
            return str(error)
        if carrier_of(text.name) == STEP:
            return None  # whether it is sound is for the door of code to say
        return "; ".join(values_in(space or Space({}), text.source, known=(), where="the step")) or None

    @property
    def addressed(self) -> tuple[str, ...]:
        """The steps that guidance can speak to alone: the workflow's own, and those that texts insert."""
        return (*STEPS, *(step.name for step in self.steps if step.after and not step.code))

    @property
    def questions(self) -> int:
        """How many it asks a model in each trial, at least."""
        return sum(step.code is None for step in self.steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in their order, as the texts in force arrange them."""
        return arranged(self.prompts, self._changes).steps

    @property
    def _changes(self) -> tuple[Guest, ...]:
        return tuple(text for text in self.texts if carrier_of(text.name) in STEPPING)

    @property
    def _carried(self) -> Carried:
        others = tuple(text for text in self.texts if carrier_of(text.name) not in STEPPING)
        return Carried(others, self.prompts, "article_system")

    # ---- the plan ----

    def _planned(self, desk: "Desk", ideas: Sequence[str]) -> tuple[Plan, list[Edit]]:
        """The plan and the edits that the assessment lets through; a second plan where those are none."""
        dropped: list[str] = []
        for again in ("", " again"):
            plan = desk.ask(
                "plan",
                gates.plan_schema(len(desk.parts), len(ideas)),
                partial(gates.plan, parts=desk.parts, ideas=len(ideas)),
                again,
                hypotheses="\n".join(ideas),
                dropped=itemised("An editor let none of your first edits through:", dropped),
                editable=", ".join(map(str, gates.editable(desk.parts))),
            )
            listed = [f"{n}. [{e.paragraph}] {e.instruction}" for n, e in enumerate(plan.edits, 1)]
            desk.told("plan", len(listed), 0)
            desk.take_inserted("plan", "\n".join(listed), again)
            if "assessment" in desk.arrangement.removed:
                approved = list(plan.edits)
                break
            verdicts = desk.ask(
                "assessment",
                gates.assessment_schema(len(listed)),
                partial(gates.assessment, count=len(listed)),
                again,
                plan="\n".join(listed),
            )
            approved = [plan.edits[v.edit - 1] for v in verdicts.verdicts if v.gain > v.risk]
            desk.told("assessment", len(listed), len(listed) - len(approved))
            if approved:
                break
            dropped = [f"- {listed[v.edit - 1]}: gain {v.gain}, risk {v.risk}: {v.reason}" for v in verdicts.verdicts]
        desk.take_inserted("assessment", "\n".join(f"[{edit.paragraph}] {edit.instruction}" for edit in approved))
        return plan, approved


@dataclass(frozen=True)
class Desk:
    """One pass over one article: what its steps are shown, and how they are asked."""

    flow: Workflow
    view: View
    parent: Candidate
    briefing: Briefing
    name: str
    parts: tuple[Block, ...]
    counts: dict[str, StepCount] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)  # by step: an inserted one's words, an own one's answer

    @cached_property
    def arrangement(self) -> Arrangement:
        return arranged(self.flow.prompts, self.flow.texts)

    @cached_property
    def coded(self) -> Coded:
        return Coded(self.flow.load, self.view)

    def take_inserted(self, behind: str, said: str = "", again: str = "") -> None:
        """Take the steps that are inserted behind a step of the workflow, which `said` so much."""
        for step in self.arrangement.behind(behind):
            if step.code is not None:
                self.said[step.name] = found = self._computed(step, spoken, {}) or ""
                self._count(step.name, StepCount(said=int(bool(found))))
                continue
            before = f"What the step {behind} says:\n{said}\n\n" if said else ""
            asked = f"{before}{step.prompt}\n\nAnswer with one JSON object: {', '.join(n for n, _ in step.fields)}.\n"
            schema, gate = step.schema(len(self.parts)), partial(step.read, parts=self.parts)
            self.said[step.name] = self._asked(step.name, asked, schema, gate, again)
            self._count(step.name, StepCount(said=1))

    def _before(self, step: str) -> str:
        """What inserted steps said that a step is shown."""
        told = [one for one in self.arrangement.steps if self.said.get(one.name) and step in one.shown]
        names = [one.name.rpartition(":")[2] for one in told]
        return "".join(
            f"What the step {name} says:\n{self.said[one.name]}\n\n" for name, one in zip(names, told, strict=True)
        )

    def ask(
        self, step: str, schema: Mapping[str, Any], gate: Callable[[str], T], again: str = "",
        known: Mapping[str, Any] | None = None, **values: object,
    ) -> T:  # fmt: skip
        """What a step's gate lets through. `known` is what code is told beyond what was said. Raises UnusableReply,
        with the gate's last objection, and ContextOverflow where the model takes no shorter prompt."""
        found = next(one for one in self.arrangement.steps if one.name == step)
        answer = self._computed(found, gate, known or {}) if found.code is not None else None
        if answer is None:
            asked = fill({step: found.prompt}, step, **values)
            answer = self._asked(step, self._before(step) + asked, schema, gate, again)
        if isinstance(answer, BaseModel):
            self.said[step] = answer.model_dump()
        return answer

    def _computed(self, step: Step, gate: Callable[[str], T], known: Mapping[str, Any]) -> T | None:
        """What a step as code says; None where it is out of this pass."""
        assert step.code is not None
        if step.code.name in self.coded.out:
            return None
        said = {name.rpartition(":")[2]: words for name, words in self.said.items()}
        so_far = SoFar(
            step.name.rpartition(":")[2], self.name, tuple(part.text for part in self.parts),
            tuple(gates.editable(self.parts)), said, **known,
        )  # fmt: skip
        answer = self.coded.take(step.code, so_far, gate)
        if answer is not None or step.after:  # of one that is replaced the model is asked then
            self._count(step.name, StepCount(asked=1))
        return answer

    def _asked(self, step: str, asked: str, schema: Mapping[str, Any], gate: Callable[[str], T], again: str = "") -> T:
        """The same for a prompt that is filled in."""
        flow, budget = self.flow, self.flow.prompt_tokens
        self._count(step, StepCount(asked=1))

        def judged(text: str) -> T:
            try:
                return gate(text)
            except ValueError:
                self._count(step, StepCount(sent_back=1))
                raise

        attempt = f"/attempt {self.briefing.attempt}" if self.briefing.attempt else ""
        system = Message("system", self._system(step))
        for left in range(MOST_HALVINGS, -1, -1):
            room = budget - tokens(asked) - tokens(system.text)
            user = asked if step == "revision" else f"{self._material(room)}\n{asked}"
            request = Request((system, Message("user", user)), schema, flow.most_tokens, flow.temperature)
            try:
                return ask_until(self.view, request, f"{step} {self.name}{again}{attempt}", judged, flow.reasks)
            except UnusableReply:
                self._count(step, StepCount(failed=1))
                raise
            except ContextOverflow:
                if not left or step == "revision":
                    raise
            budget = min(budget, tokens(user) + tokens(system.text)) // 2
        raise AssertionError("unreachable")

    def told(self, step: str, said: int, reached: int) -> None:
        """Count what a step said, and how much of it reached the text; see `StepCount`."""
        if step in self.arrangement.removed:
            return
        decisive = int(reached > 0 and not self.counts.get(step, StepCount()).decisive)
        self._count(step, StepCount(said=said, reached=reached, decisive=decisive))

    def _count(self, step: str, count: StepCount) -> None:
        self.counts[step] = self.counts.get(step, StepCount()) + count

    def revised(self, approved: Sequence[Edit]) -> dict[int, str]:
        """The paragraphs that the approved edits change, asked for at once, or section by section where the article is
        long."""
        edits = {edit.paragraph: edit for edit in approved}
        new: dict[int, str] = {}
        for number, section in enumerate(sections(self.parts), 1):
            mine = [edits[n] for n in section.numbers if n in edits]
            if not mine:
                continue
            wanted = [edit.paragraph for edit in mine]
            new |= self.ask(
                "revision",
                gates.revision_schema(wanted),
                partial(gates.revision, parts=self.parts, wanted=wanted),
                f" {number}",
                known={"edits": tuple(edit.model_dump() for edit in mine)},
                edits="\n".join(f"- [{edit.paragraph}] {edit.instruction}" for edit in mine),
                section=numbered(self.parts, section.numbers),
                numbers=", ".join(map(str, wanted)),
            )
        changed = {n: text for n, text in new.items() if text != self.parts[n - 1].text}
        self.told("revision", len(edits), len(changed))
        if edits and not changed:
            raise UnusableReply(f"revision {self.name}: nothing was changed")
        return changed

    def _system(self, step: str) -> str:
        guidance = for_step(self.briefing.guidance, step, self.flow.addressed)
        manner = f"{guidance}\n\n" if guidance else ""
        return fill(self.flow.prompts, "article_system", brief=self.view.brief.strip(), manner=manner)

    def _material(self, room: int) -> str:
        """The article and what is known of it in about so many tokens, long paragraphs cut where it must be."""
        every = range(1, len(self.parts) + 1)
        for most in CUTS:
            text = fill(
                self.flow.prompts,
                "article_material",
                title=self.name,
                article=numbered(self.parts, every, most),
                scores=self._scores(),
                told=told(self.view, self.briefing),
            )
            if tokens(text) <= room:
                break
        return text

    def _scores(self) -> str:
        """What was measured of the text to start from, all articles together."""
        known = self.view.trace.of(self.parent.id)
        metrics = next((run.metrics for run in known.runs if run.metrics), None) if known else None
        if metrics is None:
            return ""
        shown = ", ".join(
            f"{name} {value:.3g}" for name, value in sorted(metrics.items()) if not name.startswith("of ")
        )
        return f"Measured of all articles together: {shown}\n"


def sections(parts: Sequence[Block]) -> list[Section]:
    """The whole of a short text; a long one cut before headings, and where there are none before paragraphs, so that no
    section has more than `LONG` characters unless one paragraph has."""
    if sum(len(part.text) + len(part.gap) for part in parts) <= LONG:
        return [Section(tuple(range(1, len(parts) + 1)))]
    found, held, size = list[Section](), list[int](), 0
    for number, part in enumerate(parts, 1):
        length = len(part.text) + len(part.gap)
        if held and (size + length > LONG or (part.level and size > LONG // 2)):
            found.append(Section(tuple(held)))
            held, size = [], 0
        held.append(number)
        size += length
    return [*found, Section(tuple(held))]
