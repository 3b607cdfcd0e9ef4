"""What stands between this process and other people's code in a run, in words: for people, and for trials' records."""

from dataclasses import dataclass

from bilevel import machine
from bilevel.execution.process import CONTAINMENT
from bilevel.hosting import Hosting, takes_mechanisms
from bilevel.recipe import Recipe
from bilevel.sandbox.levels import AUTO, describe
from bilevel.task import Task
from bilevel.tasks.external import External, ExternalFolder
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.worker import WorkerTask

OWN_PROCESSES = (
    "runs have their own process tree with limits and a bare environment"
    if CONTAINMENT == "tree"
    else "runs have their own process group with limits and a bare environment; on this system only the group is ended"
)


@dataclass(frozen=True)
class Isolation:
    """What stands between this process and other people's code: that of a task's candidates, and of mechanisms."""

    runs: str
    mechanisms: str

    def __str__(self) -> str:
        return f"{self.runs}; {self.mechanisms}"


def isolation(task: Task, recipe: Recipe, hosting: Hosting) -> Isolation:
    """What is in force in a run of this task. Raises InputError where the recipe asks for more than there is."""
    where = "this process" if not recipe.sandbox.shipped else "the sandbox too"
    mechanisms = f"mechanisms that come with the package run in {where}"
    if takes_mechanisms(recipe) or recipe.sandbox.isolation != AUTO:
        mechanisms = f"mechanisms in a sandbox, {describe(hosting.level)}; those that come with the package in {where}"
    return Isolation(_of_runs(task), mechanisms)


def _of_runs(task: Task) -> str:
    if isinstance(task, External | ExternalFolder):
        return "none for runs here: whoever drives the run measures"
    if isinstance(task, WorkerTask):
        return f"{OWN_PROCESSES}; network on"
    if not isinstance(task, FolderTask):
        return "none for runs: the task is a function in this process"
    return f"{OWN_PROCESSES}; network {task.network}"


def in_short(walls: Isolation) -> str:
    """The same in a few words, for each trial's record."""
    runs = "runs: none" if walls.runs.startswith("none") else f"runs: {CONTAINMENT}, {walls.runs.rpartition('; ')[2]}"
    level = walls.mechanisms.partition("in a sandbox, ")[2].partition(":")[0]
    return f"{runs}; mechanisms: {level or 'none but shipped ones'}"


def environment(walls: Isolation) -> dict[str, object]:
    """What the measurements were made on, and behind what."""
    return {**machine.facts(), "isolation": str(walls)}
