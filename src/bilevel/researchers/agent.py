"""The level-1 researcher that is a coding agent: it gets a briefing and a working copy, and edits files.

The agent is asked like a model, so a call is recorded, metered, and asked once. The question has two messages: the
briefing, and as JSON what to start from (`params`, `files`, and `edited` where it goes on with its own edits). The
answer is JSON: `files`, `proposal`, `refused`, `ended`, `said` (see `Answer`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, Field

from bilevel.call import Message, Reply, Request
from bilevel.codec import canonical
from bilevel.errors import UnusableReply
from bilevel.mechanism import Guest
from bilevel.researchers.answer import parse
from bilevel.researchers.carried import Carried
from bilevel.researchers.drafts import Draft, DraftModel, Ground, settled
from bilevel.researchers.history import Teller, quoted
from bilevel.researchers.inner_prompt import Desk, manner
from bilevel.researchers.prompt import Section, compose, fill, shipped_prompts
from bilevel.researchers.slips import slip_of
from bilevel.space import Candidate, Space
from bilevel.trial import Proposal, Trial
from bilevel.view import Briefing, View

TEMPLATES = ("agent_again", "agent_ask", "agent_repair", "agent_system")
MOST_PATHS = 200  # files that a briefing lists
WHY = 300  # characters of what an agent printed that stand for its reason, where it gave none
NOTED = 8  # refusals that a proposal's notes hold


class Refusal(BaseModel):
    """Something that was not taken from the working copy."""

    kind: str
    path: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"{quoted(self.path)[1:-1]} ({self.kind}): {self.why}" if self.path else f"{self.kind}: {self.why}"


class Answer(BaseModel):
    """What came back from an agent: the new text of each file that it changed and may, what it says of the change,
    what was not taken, how it ended, and the last of what it printed."""

    files: dict[str, str] = Field(default_factory=dict)
    proposal: dict[str, Any] = Field(default_factory=dict)
    refused: list[Refusal] = Field(default_factory=list)
    ended: str = ""
    said: str = ""


class NothingDone(ValueError):
    """An agent changed nothing that can be used; asking it to mend that makes no sense."""


@dataclass(frozen=True)
class AgentResearcher:
    """Asks a coding agent for changes of a task's files; a pure function of its view and the recorded answers.

    `files`: the texts of the editable files as the task begins with them; `constants`: those of files of which only the
    constants may be changed. `editable` and `protected`: the task's patterns, for the briefing. `seconds`: how long an
    agent may take. `prompt_tokens` bounds a briefing, about. `reasks`: how often an agent whose change cannot be used
    is told why, and goes on with it. `texts`: prompts and skills, which stand in the briefing (see `carried`). Raises
    UnusableReply where no draft can be used.
    """

    prompts: Mapping[str, str] = field(default_factory=shipped_prompts)
    prompt_tokens: int = 12_000
    reasks: int = 1
    files: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    editable: Sequence[str] = ()
    protected: Sequence[str] = ()
    seconds: float = 1800.0
    prose: bool = False
    texts: tuple[Guest, ...] = ()
    carries: tuple[str, ...] = field(default=("prompt", "skill"), init=False)
    name: str = field(default="agent", init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """Up to `view.settings.drafts` proposals, each from a call of its own; one, where the last trial failed by a
        slip that is to be mended."""
        if self.texts:
            told = self._carried.told(view, briefing)
            return replace(self, prompts=told.prompts, texts=()).propose(told.view, parent, told.briefing)
        if not view.space.active and not self.editable:
            return []
        failed = slip_of(view, parent, self.name) if briefing.attempt == 0 else None
        if failed is not None:
            with suppress(UnusableReply):
                return [self._repaired(view, parent, briefing, failed)]
        return self._drafted(self._desk(view, parent, briefing))

    def _drafted(self, desk: Desk) -> list[Proposal]:
        sections = [
            *desk.task(),
            self._editable(desk),
            desk.parameters(),
            *desk.lessons(),
            *desk.advice(),
            *desk.history(self.prompt_tokens),
            desk.in_flight(),
            desk.turned_back(),
            Section("Your turn", fill(desk.prompts, "agent_ask", number=desk.view.number), 101),
        ]
        purpose = f"propose/attempt {desk.briefing.attempt}" if desk.briefing.attempt else "propose"
        proposals: list[Proposal] = []
        problems: list[str] = []
        for repeat in range(max(desk.view.settings.drafts, 1)):
            refused = {proposal.candidate.id: "it is the same as an earlier draft" for proposal in proposals}
            try:
                proposals.append(self._asked(desk, sections, purpose, desk.parent, refused, repeat))
            except UnusableReply as error:
                problems.append(str(error))
        if not proposals:
            raise UnusableReply("; ".join(dict.fromkeys(problems)))
        return proposals

    def _repaired(self, view: View, parent: Candidate, briefing: Briefing, failed: Trial) -> Proposal:
        """The failed candidate, mended. Raises UnusableReply."""
        desk = self._desk(view, parent, briefing)
        ask = fill(desk.prompts, "agent_repair", number=failed.number, reason=quoted(failed.reason))
        sections = [
            *desk.task(),
            self._editable(desk),
            *desk.failure(failed),
            Section("Your turn", ask, 101),
        ]
        refused = {failed.candidate.id: "it is the candidate that failed, unchanged"}
        proposal = self._asked(desk, sections, f"repair {failed.number}", failed.candidate, refused)
        notes = {**proposal.notes, "repair_of": failed.number}
        return Proposal(proposal.candidate, proposal.why, proposal.author, notes)

    # ---- asking ----

    def _asked(
        self,
        desk: Desk,
        sections: Sequence[Section],
        purpose: str,
        base: Candidate,
        refused: Mapping[str, str],
        repeat: int = 0,
    ) -> Proposal:
        """What the agent makes of `base`, asked again with the reason where it cannot be used. Raises UnusableReply."""
        edited: Mapping[str, str] = {}
        problem = ""
        for attempt in range(self.reasks + 1):
            again = Section("What is wrong with what you did", self._objection(desk, problem), 102)
            request = self._request(desk, [*sections, again] if attempt else sections, base, edited)
            reply = desk.view.call(request, f"{purpose}/re-ask {attempt}" if attempt else purpose, repeat)
            try:
                answer = _answer(reply)
                return self._proposal(desk, answer, base, refused)
            except NothingDone as error:
                problem = str(error)
                break
            except ValueError as error:
                problem, edited = str(error), answer.files
        raise UnusableReply(f"{purpose}: {problem[:440]}")

    def _request(self, desk: Desk, sections: Sequence[Section], base: Candidate, edited: Mapping[str, str]) -> Request:
        rules = fill(
            desk.prompts, "agent_system", manner=manner(desk.briefing.register), minutes=f"{self.seconds / 60:.3g}"
        )
        start = {"params": base.params, "files": base.files, **({"edited": edited} if edited else {})}
        briefing = f"{rules}\n{compose(sections, self.prompt_tokens)}"
        return Request((Message("user", briefing), Message("user", canonical(start))))

    def _objection(self, desk: Desk, problem: str) -> str:
        return fill(desk.prompts, "agent_again", problem=quoted(problem, 2000)) if problem else ""

    # ---- the answer ----

    def _proposal(self, desk: Desk, answer: Answer, base: Candidate, refused: Mapping[str, str]) -> Proposal:
        """The proposal of an answer. Raises ValueError for one that cannot be used, NothingDone for one without."""
        if not answer.files and not answer.proposal.get("changes"):
            raise NothingDone(_nothing(answer))
        draft, left_out = self._draft(desk, answer, base)
        known = {desk.parent.id: _nothing(answer), **refused}
        if draft.candidate.id in known:
            raise NothingDone(known[draft.candidate.id])
        notes: dict[str, Any] = {"ended": answer.ended}
        if draft.predicted_gain is not None:
            notes["predicted_gain"] = draft.predicted_gain
        if not_taken := [*left_out, *map(str, answer.refused)]:
            notes["not_taken"] = [quoted(text, 300)[1:-1] for text in not_taken[:NOTED]]
        return Proposal(draft.candidate, draft.why or quoted(answer.said[-WHY:], WHY)[1:-1], self.name, notes)

    def _draft(self, desk: Desk, answer: Answer, base: Candidate) -> tuple[Draft, list[str]]:
        """The draft, and what was left out of it: code in files of which only the constants may be changed."""
        start = {**self.files, **self.constants}
        ground = Ground(desk.view.space, desk.parent, base, {**start, **base.files}, start)
        head = parse(canonical(answer.proposal), DraftModel) if answer.proposal else DraftModel()
        draft = settled(head, answer.files, ground)
        closed = [path for path in self.constants if path in draft.candidate.files]
        if not closed:
            return draft, []
        files = {path: text for path, text in draft.candidate.files.items() if path not in closed}
        left_out = [f"{path}: only its constants may be changed" for path in closed]
        return Draft(Candidate(draft.candidate.params, files), draft.why, draft.predicted_gain), left_out

    # ---- texts ----

    def carrying(self, texts: Sequence[Guest]) -> "AgentResearcher":
        return replace(self, texts=tuple(texts))

    def used(self, view: View, parent: Candidate, briefing: Briefing) -> frozenset[str]:
        return self._carried.used(view)

    def refusal(self, text: Guest, space: Space | None) -> str | None:
        return self._carried.refusal(text, space)

    @property
    def _carried(self) -> Carried:
        return Carried(self.texts, self.prompts, "agent_system", TEMPLATES)

    # ---- shared ----

    def _desk(self, view: View, parent: Candidate, briefing: Briefing) -> Desk:
        """A desk without the files' texts: the agent has them."""
        start = {**self.files, **self.constants}
        return Desk(
            view, parent, briefing, Teller(view.trace, self.name, start, self.prose), {}, start, (), self.prompts
        )

    def _editable(self, desk: Desk) -> Section:
        """What may be edited, as patterns and as the files that there are."""
        lines = [f"May be edited: {', '.join(self.editable) or 'no file as a whole'}"]
        if self.protected:
            lines.append(f"Protected, whatever the line above says: {', '.join(self.protected)}")
        if self.constants:
            lines.append(f"Only the constants at the top level may be changed in: {', '.join(self.constants)}")
        paths = sorted({*self.files, *(path for path in desk.parent.files)})
        more = f" and {len(paths) - MOST_PATHS} more" if len(paths) > MOST_PATHS else ""
        there = f"There are: {', '.join(paths[:MOST_PATHS])}{more}" if paths else ""
        return Section("What you may edit", "\n".join(filter(None, [*lines, there])), 99)


def _answer(reply: Reply) -> Answer:
    """The answer in a reply. Raises NothingDone for one that is no answer of an agent."""
    try:
        return parse(reply.text, Answer)
    except ValueError:
        raise NothingDone(f"the agent's answer cannot be read: {quoted(reply.text, 300)}") from None


def _nothing(answer: Answer) -> str:
    """Why there is nothing to try, in words."""
    refused = "; ".join(map(str, answer.refused[:4]))
    said = f"; the end of its output: {quoted(answer.said[-200:], 200)}" if answer.said.strip() else ""
    what = f"; not taken: {refused}" if refused else ""
    return f"the agent changed nothing that can be tried ({answer.ended}){what}{said}"
