"""The claim stage of a run, decided again round by round from the stored measurements."""

from typing import Any

from bilevel.claim import Allowance, next_round
from bilevel.claiming import SEALED, Stage, needless, question_of, score_in, stage_of
from bilevel.codec import build, plain
from bilevel.errors import BilevelError, Diverged
from bilevel.fresh import CLAIM, fresh_seed, key_of
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.recipe import Recipe
from bilevel.report import archive_best, own_trials
from bilevel.rollback import Question, Round
from bilevel.store.folder import RunFolder
from bilevel.task import Sealing
from bilevel.trial import Run
from bilevel.verifying.tally import NOTHING, Tally


def check_stage(tally: Tally, folder: RunFolder[Any], recipe: Recipe, spec: LoopSpec) -> bool:
    """Whether each round of a run's claim stage is the one that follows from those before it."""
    stage, before = stage_of(folder), len(tally.differences)
    try:
        _check_seal(tally, folder, leaf(spec))
        if stage is not None:
            _check(tally, folder, recipe, spec, stage)
    except (BilevelError, ValueError, IndexError, KeyError) as error:
        tally.differs("claim stage", "rounds that follow from each other", f"none: {error}")
    return len(tally.differences) == before


def _check(tally: Tally, folder: RunFolder[Any], recipe: Recipe, spec: LoopSpec, stage: Stage) -> None:
    best, inner = archive_best(folder.store, spec), leaf(spec)
    found = None if best is None else f"{best[0]}#{best[1].number}"
    if found != f"{stage.branch}#{stage.trial}" and folder.meta("state") == "finished":
        tally.differs("claim stage incumbent", f"{stage.branch}#{stage.trial}", str(found))
    tally.equal("claim stage least", stage.least, recipe.claim.least)
    question = question_of(folder.store, inner, stage)
    tally.said("claim stage skipped", stage.skipped, needless(folder.store, spec, question.incumbent))
    _check_allowance(tally, folder, recipe, spec, stage)
    for number, done in enumerate(stage.rounds):
        if not _all_measured(tally, folder, inner, stage, number):
            return
        if not tally.equal(
            f"claim stage round {number}", plain(done), plain(_next(folder, inner, question, stage, number))
        ):
            return
    if stage.complete and stage.asked:
        after = _next(folder, inner, question, stage, len(stage.rounds))
        if after is not None:
            tally.differs("claim stage", f"an end after {len(stage.rounds)} rounds", f"one more round: {plain(after)}")


def _next(folder: RunFolder[Any], inner: LoopSpec, question: Question, stage: Stage, number: int) -> Round | None:
    asked = [ask for ask in stage.asked if ask.begun <= number]
    if not asked:
        raise Diverged(f"round {number} comes before the stage was begun")
    score = score_in(folder.store, inner, stage)
    return next_round(question, stage.rounds[:number], asked[-1].begun, score, asked[-1].allowed)


def _check_allowance(tally: Tally, folder: RunFolder[Any], recipe: Recipe, spec: LoopSpec, stage: Stage) -> None:
    """How far the stage was let go by the recipe; what a person asked for is bounded by rounds alone."""
    if not stage.asked or stage.asked[0].allowed.measurements is None:
        return
    charged = sum(trial.cost.evaluations for _, trial in own_trials(folder.store, leaf(spec).name))
    wanted = Allowance(recipe.claim.most, int(recipe.claim.share * charged))
    tally.equal("claim stage allowance", plain(stage.asked[0].allowed), plain(wanted))


def _all_measured(tally: Tally, folder: RunFolder[Any], inner: LoopSpec, stage: Stage, number: int) -> bool:
    """Whether all measurements of a round are stored; those of the last one may be under way."""
    done = stage.rounds[number]
    seed = fresh_seed(inner, CLAIM, done.seed)
    missing = [
        candidate
        for candidate in dict.fromkeys(done.arms.values())
        if folder.store.find_run(key_of(inner, candidate, seed)) is None
    ]
    if missing and number == len(stage.rounds) - 1 and not stage.complete:
        tally.note(f"claim stage: round {number} is not measured to its end")
    elif missing:
        tally.differs(
            f"claim stage round {number}", f"candidate {missing[0]!r} on seed {seed}",
            f"{NOTHING}: no such measurement is stored",
        )  # fmt: skip
    return not missing


def _check_seal(tally: Tally, folder: RunFolder[Any], inner: LoopSpec) -> None:
    """The sealed measurements have nothing beside them; they must name the task's sealed metrics and no other."""
    task = inner.task
    names = set(task.seals) if isinstance(task, Sealing) else set()
    for candidate, data in (folder.meta(SEALED) or {}).items():
        run: Run = build(Run, data)
        for name in run.metrics or {}:
            tally.checked += 1
            if name not in names:
                tally.differs(f"sealed {candidate}", f"metric {name!r}", f"a task that seals {sorted(names)}")
