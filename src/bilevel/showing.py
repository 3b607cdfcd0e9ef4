"""A run folder for people who look: its recipe and loops also where the task itself can no longer be opened."""

from pathlib import Path
from typing import Any, NamedTuple

from bilevel.errors import BilevelError, InputError
from bilevel.loop import LoopSpec
from bilevel.recipe import Recipe, resolve
from bilevel.run import TASK, recorded
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.tasks.absent import BACK, Absent, Kept
from bilevel.tasks.catalog import find_seeded


class Shown(NamedTuple):
    """The recipe that a run folder keeps, and its loops; `gone`: what cannot be shown and why, where the task cannot be
    opened."""

    recipe: Recipe
    spec: LoopSpec
    gone: str = ""


def to_show(folder: RunFolder[Any]) -> Shown:
    """What a run folder was made from, as far as it can be shown. Raises InputError where the task is gone and the
    folder keeps nothing of it."""
    config = folder.config
    recipe = resolve(config["recipe"])
    try:
        task = find_seeded(recipe.task, recipe.seed)
    except BilevelError as error:
        why = missing(recipe.task) or str(error)
    else:
        return Shown(*recorded(config, task=task))
    kept = folder.meta(TASK)
    if kept is None:
        raise InputError(
            f"the task of this run cannot be opened ({why}), and the version that made it kept nothing of the task; "
            + BACK
        )
    absent = Absent(Kept.from_data(kept), why, str(folder.meta("harness") or ""), _start(folder))
    said = (
        f"the task of this run cannot be opened ({why}), so this is what the records hold: no patch against the task's "
        "files, no sealed metrics that were not measured, and nobody knows whether the task has changed since. "
        f"{BACK[0].upper()}{BACK[1:]} to steer, replay or verify the run, or to go on with it."
    )
    return Shown(*recorded(config, task=absent), said)


def missing(task: str) -> str:
    """That the task's folder is not there, where it was one; empty where it is, or is no folder."""
    path = Path(task)
    return f"its folder {str(path)!r} is not there" if path.is_absolute() and not path.exists() else ""


def _start(folder: RunFolder[Any]) -> Candidate:
    """The baseline of the first search; one of nothing before it is measured."""
    for branch in folder.store.branches():
        if branch.level == "inner" and branch.parent is None:
            trials = folder.store.trials(branch.id)
            return trials[0].candidate if trials else Candidate()
    return Candidate()
