"""The level-1 researcher that is a language model: it reads the history, and writes drafts, repairs and lessons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from bilevel.call import Request
from bilevel.errors import ContextOverflow, UnusableReply
from bilevel.mechanism import Guest
from bilevel.researchers.answer import ask_until, parse
from bilevel.researchers.carried import Carried
from bilevel.researchers.constant_lines import shown
from bilevel.researchers.drafts import Draft, Drafts, DraftsModel, Ground, read_edits, read_values
from bilevel.researchers.history import OWN_WORDS, Teller, patch, quoted
from bilevel.researchers.inner_prompt import Desk, Prompt, manner
from bilevel.researchers.lessons import lessons_schema, read_lessons, trials_since
from bilevel.researchers.picking import by_novelty
from bilevel.researchers.prompt import Section, fence, fill, shipped_prompts, tokens
from bilevel.researchers.slips import slip_of
from bilevel.researchers.space_schema import drafts_schema
from bilevel.space import Candidate, Space
from bilevel.trial import Lesson, Proposal, Trial
from bilevel.view import Briefing, View

TEMPLATES = ("inner_ask_files", "inner_ask_values", "inner_pick", "inner_repair", "inner_system")
SHRINKS = 2  # how often a prompt that is too long for the model is halved
T = TypeVar("T")


class TooLong(ContextOverflow):
    """A prompt of about `size` tokens was too long for the model."""

    def __init__(self, text: str, size: int) -> None:
        super().__init__(text)
        self.size = size


class Pick(BaseModel):
    """The draft that should run, counted from 1, and why."""

    index: int
    reason: str = ""


@dataclass(frozen=True)
class ModelResearcher:
    """Asks a language model for drafts and checks them; a pure function of its view and the recorded answers.

    `texts` are the prompts, skills and memory rules that it works with (see `carried`). `files` are the texts of the
    task's editable files as it begins with them, `new_files` patterns of paths at which a
    file may be made; without either only parameters are changed. `planned`: how many trials the whole search has at
    most, where its loop does not know because another level runs it. `prompt_tokens` bounds a prompt, about; it is
    halved up to twice where it is too long for the model. `prompts`: the templates by name. `reasks`: how often an
    answer that cannot be used is sent back. Raises UnusableReply and ContextOverflow where nothing helps.
    """

    prompts: Mapping[str, str] = field(default_factory=shipped_prompts)
    prompt_tokens: int = 12_000
    most_tokens: int = 8192
    temperature: float | None = None
    reasks: int = 2
    files: Mapping[str, str] = field(default_factory=dict)
    new_files: Sequence[str] = ()
    planned: int | None = None
    prose: bool = False
    texts: tuple[Guest, ...] = ()
    carries: tuple[str, ...] = field(default=("prompt", "skill", "memory"), init=False)
    name: str = field(default="llm", init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)
    own_words: int = field(default=OWN_WORDS, init=False)  # of so many of its last trials it reads its own reasons

    # ---- proposals ----

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """Up to `view.settings.drafts` proposals; one, where the last trial failed by a slip that is to be mended."""
        if self.texts:
            told = self._carried.told(view, briefing)
            return replace(self, prompts=told.prompts, texts=()).propose(told.view, parent, told.briefing)
        desk = self._desk(view, parent, briefing, parent)
        if not view.space.active and not desk.files and not self.new_files:
            return []
        failed = slip_of(view, parent, self.name) if briefing.attempt == 0 and desk.files else None
        missed: dict[str, str] = {}
        if failed is not None:
            try:
                return [self._repaired(view, parent, briefing, failed)]
            except (UnusableReply, ContextOverflow) as error:
                missed = {f"no repair of trial {failed.number}": quoted(str(error), 400)[1:-1]}
        drafts = self._within(lambda budget: self._drafted(desk, budget))
        return _noted(self._picked(desk, self._proposals(drafts)), missed)

    def _drafted(self, desk: Desk, budget: int) -> Drafts:
        """The drafts; of parameters alone where not one file fits into the prompt, for none could be edited unseen."""
        wanted = max(desk.view.settings.drafts, 1)
        prompt = self._drafts_prompt(desk, wanted, budget)
        if desk.files and not prompt.whole and desk.view.space.active:
            desk = replace(desk, files={}, new=())
            prompt = self._drafts_prompt(desk, wanted, budget)
        return self._ask_drafts(desk, prompt, _again("propose", desk.briefing), desk.parent, wanted, {})

    def _drafts_prompt(self, desk: Desk, wanted: int, budget: int) -> Prompt:
        drafts = "one draft" if wanted == 1 else f"{wanted} drafts, each with a different idea, the best first"
        template = "inner_ask_files" if desk.files or desk.new else "inner_ask_values"
        ask = fill(desk.prompts, template, drafts=drafts, number=desk.view.number)
        sections = [
            *desk.task(),
            *desk.editable(),
            desk.parameters(),
            *desk.lessons(),
            *desk.advice(),
            *desk.history(budget),
            desk.in_flight(),
            desk.turned_back(),
            Section("Your turn", ask, 101),
        ]
        return desk.prompt(desk.system("inner_system"), sections, budget)

    def _ask_drafts(
        self, desk: Desk, prompt: Prompt, purpose: str, base: Candidate, most: int, refused: Mapping[str, str]
    ) -> Drafts:
        ground = Ground(
            desk.view.space, desk.parent, base, self._held(base), self.files, prompt.whole, self.new_files, refused
        )
        if desk.files or desk.new:
            request = self._request(prompt)
            return self._ask(desk, request, purpose, lambda text: read_edits(text, ground, most))
        request = self._request(
            prompt, drafts_schema(desk.view.space, most, self.most_tokens) or DraftsModel.model_json_schema()
        )
        return self._ask(desk, request, purpose, lambda text: read_values(text, ground, most))

    def _proposals(self, drafts: Drafts) -> list[Proposal]:
        proposals = [self._proposal(draft) for draft in drafts.valid]
        if drafts.left_out:
            notes = {**proposals[0].notes, "left_out": [quoted(reason)[1:-1] for reason in drafts.left_out[:4]]}
            proposals[0] = self._proposal(drafts.valid[0], notes)
        return proposals

    def _proposal(self, draft: Draft, notes: Mapping[str, Any] | None = None) -> Proposal:
        predicted = {} if draft.predicted_gain is None else {"predicted_gain": draft.predicted_gain}
        return Proposal(draft.candidate, draft.why, self.name, {**predicted, **(notes or {})})

    # ---- repairs ----

    def _repaired(self, view: View, parent: Candidate, briefing: Briefing, failed: Trial) -> Proposal:
        """The failed candidate, mended. Raises UnusableReply and ContextOverflow."""
        desk = self._desk(view, parent, briefing, failed.candidate)

        def ask(budget: int) -> Drafts:
            prompt = desk.prompt(desk.system("inner_system"), self._repair_sections(desk, failed), budget)
            refused = {failed.candidate.id: "it is the candidate that failed, unchanged"}
            return self._ask_drafts(desk, prompt, f"repair {failed.number}", failed.candidate, 1, refused)

        return self._proposal(self._within(ask).valid[0], {"repair_of": failed.number})

    def _repair_sections(self, desk: Desk, failed: Trial) -> list[Section]:
        ask = fill(desk.prompts, "inner_repair", number=failed.number, reason=quoted(failed.reason))
        return [
            *desk.task(),
            *desk.editable(),
            *desk.failure(failed),
            Section("Your turn", ask, 101),
        ]

    # ---- picking ----

    def _picked(self, desk: Desk, proposals: list[Proposal]) -> list[Proposal]:
        """The proposals with the one first that the settings' picker picks."""
        picker = desk.view.settings.picker
        if len(proposals) < 2 or picker not in ("novelty", "model"):
            return proposals
        if picker == "novelty":
            return by_novelty(proposals, desk.view, desk.parent, self.files)
        try:
            pick = self._within(lambda budget: self._ask_pick(desk, proposals, budget))
        except (UnusableReply, ContextOverflow) as error:
            return _noted(proposals, {"not picked": quoted(str(error), 400)[1:-1]})
        chosen = proposals.pop(pick.index - 1)
        notes = {**chosen.notes, "picked": quoted(pick.reason)[1:-1]}
        return [Proposal(chosen.candidate, chosen.why, chosen.author, notes), *proposals]

    def _ask_pick(self, desk: Desk, proposals: Sequence[Proposal], budget: int) -> Pick:
        drafts = "\n".join(self._listed(desk, number, proposal) for number, proposal in enumerate(proposals, 1))
        sections = [
            *desk.task(),
            *desk.lessons(),
            *desk.advice(),
            *desk.history(budget),
            Section("The drafts", drafts, 99),
            Section("Your turn", fill(desk.prompts, "inner_pick", count=len(proposals)), 101),
        ]
        request = self._request(desk.prompt(self._plain_system(desk), sections, budget), Pick.model_json_schema())

        def read(text: str) -> Pick:
            pick = parse(text, Pick)
            if not 1 <= pick.index <= len(proposals):
                raise ValueError(f"index must be a number from 1 to {len(proposals)}, not {pick.index}")
            return pick

        return self._ask(desk, request, _again("pick", desk.briefing), read)

    def _listed(self, desk: Desk, number: int, proposal: Proposal) -> str:
        paths = proposal.candidate.files_changed_from(desk.parent)
        old, new = ({**self.files, **candidate.files} for candidate in (desk.parent, proposal.candidate))
        diff = "\n" + fence(patch(old, new, paths), "diff", most=3_000) if paths else ""
        changed = desk.teller.difference(proposal.candidate, desk.parent)
        return f"{number}. {changed}. Reason: {quoted(proposal.why, 400)}{diff}"

    # ---- lessons ----

    def learn(self, view: View) -> Sequence[Lesson]:
        """Two to four lessons of the trials since the last ones; none where there are no such trials."""
        trials = trials_since(view.trace)
        if not trials:
            return ()
        parent = view.trace.current or trials[-1].parent
        desk = self._desk(view, parent, Briefing(), parent)
        return self._within(lambda budget: self._ask_lessons(desk, trials, budget))

    def _ask_lessons(self, desk: Desk, trials: Sequence[Trial], budget: int) -> tuple[Lesson, ...]:
        lines = desk.teller.lines(trials, budget)
        sections = [
            *desk.task(),
            *(desk.lessons() if desk.view.lessons else [Section("Lessons", "none yet", 60)]),
            Section("The trials to learn from", desk.teller.totals(), 95, lines),
            Section("Your turn", fill(desk.prompts, "inner_lessons"), 101),
        ]
        request = self._request(
            desk.prompt(self._plain_system(desk), sections, budget),
            lessons_schema(len(desk.view.trace), self.most_tokens),
        )
        known = desk.view.lessons
        return self._ask(desk, request, "lessons", lambda text: read_lessons(text, desk.view.trace, known))

    # ---- texts ----

    def carrying(self, texts: Sequence[Guest]) -> "ModelResearcher":
        return replace(self, texts=tuple(texts))

    def used(self, view: View, parent: Candidate, briefing: Briefing) -> frozenset[str]:
        return self._carried.used(view)

    def refusal(self, text: Guest, space: Space | None) -> str | None:
        return self._carried.refusal(text, space)

    @property
    def _carried(self) -> Carried:
        return Carried(self.texts, self.prompts, "inner_system", TEMPLATES)

    # ---- shared ----

    def _desk(self, view: View, parent: Candidate, briefing: Briefing, base: Candidate) -> Desk:
        files = shown(self._held(base), base.params)
        teller = Teller(view.trace, self.name, self.files, self.prose, self.own_words)
        return Desk(view, parent, briefing, teller, files, self.files, self.new_files, self.prompts, self.planned)

    def _held(self, candidate: Candidate) -> dict[str, str]:
        """The editable files as a candidate holds them."""
        return {**self.files, **candidate.files}

    def _plain_system(self, desk: Desk) -> str:
        return fill(desk.prompts, "inner_system_json", manner=manner(desk.briefing.register))

    def _request(self, prompt: Prompt, schema: Mapping[str, Any] | None = None) -> Request:
        return Request(prompt.messages, schema, self.most_tokens, self.temperature)

    def _ask(self, desk: Desk, request: Request, purpose: str, read: Callable[[str], T]) -> T:
        try:
            return ask_until(desk.view, request, purpose, read, self.reasks)
        except ContextOverflow as error:
            raise TooLong(str(error), sum(tokens(message.text) for message in request.messages)) from None

    def _within(self, ask: Callable[[int], T]) -> T:
        """The answer to a prompt within the budget of tokens, or to one half or a quarter as long as the one that the
        model cannot take."""
        budget = self.prompt_tokens
        for _ in range(SHRINKS):
            try:
                return ask(budget)
            except TooLong as error:
                budget = min(budget, error.size) // 2
        return ask(budget)


def _noted(proposals: list[Proposal], notes: Mapping[str, str]) -> list[Proposal]:
    """The proposals with more notes on the first."""
    return [replace(proposals[0], notes={**proposals[0].notes, **notes}), *proposals[1:]] if notes else proposals


def _again(purpose: str, briefing: Briefing) -> str:
    return f"{purpose}/attempt {briefing.attempt}" if briefing.attempt else purpose
