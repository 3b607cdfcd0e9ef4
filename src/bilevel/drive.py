"""Driving a run from outside: bilevel says what comes next, somebody else measures it, or proposes it, or both.

Each call opens the run folder, lets the loops go on from where the store says that they stand until they need an answer
from outside, and closes it again. So a driven run is a run that is interrupted at every question: any recipe can be
driven, levels above included, and a kill between two calls, or within one, loses nothing that was answered.

The protocol: every question has an id (trial number and a hash of what is asked). An answer names it, and one that
does not fit the question that is open is refused: nothing is changed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bilevel.budget import Cost, Meter
from bilevel.call import LanguageModel, Reply, Request, Watch
from bilevel.codec import content_hash, plain
from bilevel.errors import BilevelError, GuestError, InputError, LimitReached, Stopped
from bilevel.lab import Bench, Lab, RunKey
from bilevel.levels import LoopTask, leaf
from bilevel.loop import Loop, LoopSpec
from bilevel.recipe import Recipe
from bilevel.researcher import Researcher
from bilevel.researchers.external import External as Outside
from bilevel.researchers.external import question as outside_question
from bilevel.run import RunSession, resume, spent, start
from bilevel.space import Candidate
from bilevel.task import Task
from bilevel.tasks.catalog import find as find_task
from bilevel.tasks.delegating import Delegating
from bilevel.tasks.external import External, ExternalFolder
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import text_task
from bilevel.trial import Pending, Proposal, Run, Status, Trial
from bilevel.view import Briefing, View

CALLER = "external:caller"
FAILURES = tuple(s.value for s in Status if s not in (Status.OK, Status.PRUNED, Status.INFRASTRUCTURE))


@dataclass(frozen=True)
class ToMeasure:
    """The open question: what is this candidate's score? `step` is the index of the seed among those of the trial."""

    branch: str
    number: int
    candidate: Candidate
    rung: str
    step: int
    seed: int
    pending: Pending | None = None

    @property
    def id(self) -> str:
        return f"{self.number}-{content_hash([self.branch, self.candidate.id, self.rung, self.step])[:6]}"

    def is_meant_by(self, answer: str) -> bool:
        """By its id; where the trial has this one measurement and is the run's own, by the number alone too."""
        asked = self.pending
        own = asked is not None and len(asked.steps) == 1 and asked.proposal.candidate.id == self.candidate.id
        single = self.branch == "root" and self.step == 0 and own
        return answer == self.id or (single and answer == str(self.number))


@dataclass(frozen=True)
class ToPropose:
    """The open question: what is to be tried next, from this parent?"""

    view: View
    parent: Candidate
    briefing: Briefing
    branch: str

    @property
    def number(self) -> int:
        return self.view.number

    @property
    def id(self) -> str:
        return f"{self.number}-{content_hash(outside_question(self.view, self.parent, self.briefing))[:6]}"

    def is_meant_by(self, answer: str) -> bool:
        """By its id; before anything was turned back and outside forks, by the number alone too."""
        return answer == self.id or (self.branch == "root" and not self.briefing.attempt and answer == str(self.number))


Question = ToMeasure | ToPropose


@dataclass(frozen=True)
class Measured:
    """An answer to `ToMeasure`: metrics, or the status and reason of a failure."""

    question: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Proposed:
    """An answer to `ToPropose`: what the candidate is, given the parent."""

    question: str
    make: Callable[[Task, Candidate, View], Candidate]
    why: str = ""
    author: str = ""


@dataclass(frozen=True)
class State:
    """How a driven run stands: the open question, or why there is none; and the trials that were finished on the way.

    `state` is "measure", "propose", "finished" or "limit". `problem`: the answer was taken, and what came next failed.
    """

    state: Literal["measure", "propose", "finished", "limit", "interrupted"]
    session: RunSession
    question: Question | None = None
    finished: tuple[tuple[str, Trial], ...] = ()
    problem: str = ""


class Refused(InputError):
    """An answer that is not taken; nothing was changed. `reasons` has a sentence each."""

    def __init__(self, reasons: Sequence[str], question: Question | None = None) -> None:
        super().__init__("refused: " + "; ".join(reasons))
        self.reasons = tuple(reasons)
        self.question = question


class Awaiting(Stopped):
    """The loops need an answer from outside."""

    def __init__(self, question: Question) -> None:
        super().__init__(f"trial {question.number} waits for an answer; `bilevel suggest` says which")
        self.question = question


def begin(recipe: Recipe, path: Path, measured_by_caller: bool) -> RunSession:
    """A new driven run in a new folder. Raises InputError for a recipe that nobody drives."""
    if recipe.workers != 1:
        raise InputError("a driven run asks one question at a time: use --workers 1")
    if not measured_by_caller and recipe.inner.researcher != "external":
        raise InputError(
            "nobody would be asked anything: let the caller measure, or propose (--researcher external), or use "
            "`bilevel run`"
        )
    if measured_by_caller and not recipe.task.startswith("external:"):
        task = find_task(recipe.task)
        own = isinstance(task, FolderTask) and task.folder == Path(recipe.task).resolve()
        name = str(task.folder) if own and isinstance(task, FolderTask) else recipe.task
        recipe = recipe.model_copy(update={"task": f"external:{name}"})
    return start(recipe, path)


@contextmanager
def driven(path: Path) -> Iterator[RunSession]:
    """A driven run, opened to write. Raises InputError for a run that drives itself."""
    with resume(path) as session:
        inner = leaf(session.spec)
        if inner.researcher.name != "external" and not isinstance(inner.task, External | ExternalFolder):
            raise InputError(
                f"{str(path)!r} is a run that proposes and measures by itself: `bilevel resume` goes on with it; a run "
                "to be driven is begun with `bilevel suggest --task TASK --folder FOLDER`"
            )
        yield session


def go_on(session: RunSession, answer: Measured | Proposed | None = None) -> State:
    """Let the loops go on with an answer until the next question. Raises Refused for an answer that does not fit."""
    caller = Caller(answer)
    lab = _lab_with(session, caller)
    spec = _with_outside(session.spec, lab, caller)
    caller.task = leaf(session.spec).task
    before = {branch.id: len(lab.store.trials(branch.id)) for branch in lab.store.branches()}
    problem, question = "", None
    state: Literal["measure", "propose", "finished", "limit", "interrupted"] = "finished"
    try:
        loop = Loop(spec, lab)
        loop.run()
        if lab.stop.is_set() and not spent(loop):
            raise Stopped("stopped; `bilevel suggest` goes on with the run")
    except Awaiting as awaiting:
        question = awaiting.question
        state = "measure" if isinstance(question, ToMeasure) else "propose"
    except LimitReached as reached:
        state, problem = "limit", str(reached)
    except BilevelError as error:
        if isinstance(error, Refused) or not caller.was_stored(lab):
            raise
        state, problem = "interrupted", str(error)
    if answer is not None and not caller.used:
        raise Refused([f"{answer.question!r} is not an open question: {_no_more(state, problem)}"])
    session.folder.set_meta("state", state if question is None else "waiting")
    lab.save_seconds()
    finished = [
        (branch.id, trial)
        for branch in lab.store.branches()
        if branch.level == leaf(spec).name
        for trial in lab.store.trials(branch.id)[before.get(branch.id, 0) :]
    ]
    return State(state, session, question, tuple(finished), problem)


def _no_more(state: str, problem: str) -> str:
    return problem or {"finished": "the run is finished"}.get(state, "nothing is asked")


@dataclass
class Caller:
    """The one who is asked: takes one answer, for the question that it names, and raises Awaiting for any other."""

    answer: Measured | Proposed | None
    used: bool = False
    task: Task | None = None
    heard: tuple[View, Candidate, Briefing] | None = None
    branch: str = "root"
    name: str = CALLER
    key: RunKey | None = None  # under which the measurement is stored

    def was_stored(self, lab: Lab) -> bool:
        """Whether the answer was taken and stays, whatever came after it."""
        return self.used and (self.key is None or lab.store.find_run(self.key) is not None)

    def measure(self, question: ToMeasure, key: RunKey) -> Run:
        """The measurement that was given."""
        answer = self._answer_to(question)
        if not isinstance(answer, Measured):
            raise Refused([f"trial {question.number} waits for a measurement: use `bilevel record`"], question)
        self.used, self.key = True, key
        cost = Cost(1, answer.seconds)
        if answer.failure:
            data = {"reason": answer.reason}
            return Run(question.rung, question.seed, Status(answer.failure), cost=cost, log=answer.reason, data=data)
        return Run(question.rung, question.seed, Status.OK, dict(answer.metrics), cost)

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        """The proposal that was given, for the question that was heard."""
        if self.heard is None or self.task is None:
            raise GuestError("this run has no language model: its proposals come from outside")
        view, parent, briefing = self.heard
        question = ToPropose(view, parent, briefing, self.branch)
        if request.messages[-1].text != outside_question(view, parent, briefing):
            raise GuestError("this run has no language model: its proposals come from outside")
        answer = self._answer_to(question)
        if not isinstance(answer, Proposed):
            raise Refused([f"trial {question.number} waits for a proposal: use `bilevel propose`"], question)
        candidate = answer.make(self.task, parent, view)
        if problems := _problems(self.task, candidate, parent, view):
            raise Refused(problems, question)
        self.used = True
        text = json.dumps({**plain(candidate), "why": answer.why, "author": answer.author})
        return Reply(text, self.name)

    def _answer_to(self, question: Question) -> Measured | Proposed:
        if self.answer is None or self.used:
            raise Awaiting(question)
        if not question.is_meant_by(self.answer.question):
            kind = "measured" if isinstance(question, ToMeasure) else "proposed"
            raise Refused(
                [f"{self.answer.question!r} is not the question that is open: {question.id!r} is to be {kind}"],
                question,
            )
        return self.answer


def _problems(task: Task, candidate: Candidate, parent: Candidate, view: View) -> list[str]:
    """Why a proposal is not taken: types, bounds, locks, the task's own rules, and what was measured already."""
    found = view.space.problems(candidate, parent) or task.problems(candidate, parent)
    if not found and candidate.id == parent.id:
        return ["it changes nothing"]
    known = view.trace.of(candidate.id)
    if not found and known is not None:
        outcome = known.status.value if known.score is None else f"score {known.score:.6g}"
        return [f"already measured as trial {known.number} ({outcome})"]
    return found


@dataclass(frozen=True)
class Listening:
    """The researcher of the innermost loop, with the caller listening to what it is asked."""

    researcher: Researcher
    caller: Caller

    @property
    def name(self) -> str:
        return self.researcher.name

    @property
    def reads_advice(self) -> bool:
        return self.researcher.reads_advice

    @property
    def free(self) -> bool:
        return self.researcher.free

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        self.caller.heard = (view, parent, briefing)
        self.caller.branch = getattr(view.asks, "args", ("", "root"))[1]
        return self.researcher.propose(view, parent, briefing)


@dataclass(frozen=True)
class Asking(Delegating):
    """A task that asks the caller for each measurement."""

    lab: Lab
    caller: Caller

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        asked = (p for p in self.lab.store.pendings(bench.branch) if p.number == bench.number)
        place = (bench.branch, bench.number, candidate, bench.rung, bench.seed_index, bench.seed)
        key = RunKey(self.harness, candidate.id, bench.rung, bench.seed)
        run, text = self.caller.measure(ToMeasure(*place, next(asked, None)), key), text_task(self)
        if text is None or run.metrics is None:
            return run
        return replace(run, metrics={**text.losses(candidate), **run.metrics})


def _lab_with(session: RunSession, caller: Caller) -> Lab:
    """The session's lab, in which the caller answers for the innermost researcher where that is outside."""
    inner, lab = leaf(session.spec), session.lab
    asked: dict[str, LanguageModel] = {inner.name: caller} if isinstance(inner.researcher, Outside) else {}
    made = replace(lab, models={**lab.models, **asked}, meter=Meter("run"), elapsed=lab.seconds, clock=None)
    session.hearing.lab = made
    for branch in lab.store.branches():
        if branch.level == inner.name:
            for trial in lab.store.trials(branch.id):
                made.meter.charge(trial.cost)
    return made


def _with_outside(spec: LoopSpec, lab: Lab, caller: Caller) -> LoopSpec:
    if isinstance(spec.task, LoopTask):
        return replace(spec, task=replace(spec.task, inner=_with_outside(spec.task.inner, lab, caller)))
    if isinstance(spec.researcher, Outside):
        spec = replace(spec, researcher=Listening(spec.researcher, caller))
    if isinstance(spec.task, External | ExternalFolder):
        spec = replace(spec, task=Asking(spec.task, lab, caller))
    return spec
