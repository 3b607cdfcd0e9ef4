"""A person's commands on what happens to a comparison: a run that has no number, and its end."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bilevel.compare.folder import Folder
from bilevel.compare.plan import Plan
from bilevel.compare.results import Result
from bilevel.compare.scheduling import Finished
from bilevel.errors import InputError
from bilevel.models import connected, names_of
from bilevel.notices import Notice, call, commands_in
from bilevel.recipe import EventsTable
from bilevel.wiring import build

EVENTS = ("finished", "failed")  # what there is to tell of a comparison as a whole


def commands_for(options: Sequence[str], plan: Plan) -> "Commands":
    """The commands that options name. Raises InputError for other events, and for a command that holds a key."""
    table = EventsTable(**commands_in(options, EVENTS))
    redact = _redactor(plan) if table.commands else str
    for event, command in table.commands.items():
        if redact(command) != command:
            raise InputError(f"--on {event}=... holds a key: let the command read it from a file of yours")
    return Commands(table, redact)


def _redactor(plan: Plan) -> Callable[[str], str]:
    """What takes the keys of the plan's models out of a text."""
    for arm in plan.arms:
        recipe = plan.recipe(arm, 1, next(iter(plan.harnesses)))
        if names_of(recipe):
            return connected(recipe, build(recipe))[1]
    return str


@dataclass
class Commands:
    """Calls the commands of a comparison; each call gives the sentences that say how they ended, none without one."""

    table: EventsTable
    redact: Callable[[str], str] = str
    _cancel: threading.Event = field(default_factory=threading.Event)

    def ran(self, folder: Folder, finished: Finished) -> list[str]:
        """A run has ended; told where it has no number."""
        job, reason = finished.job, finished.outcome.reason
        if not reason:
            return []
        facts = {
            "arm": job.arm, "replicate": job.replicate, "task": job.task, "reason": reason, "done": finished.done,
            "of": finished.of, "run": str(folder.run_folder(job).resolve()),
        }  # fmt: skip
        return self._tell(folder, "failed", f"{job}: no number: {reason}", facts)

    def broke(self, folder: Folder, error: Exception) -> list[str]:
        """The comparison ended by an error of its own."""
        return self._tell(folder, "failed", f"the comparison failed: {error}", {"reason": str(error)})

    def ended(self, folder: Folder, result: Result) -> list[str]:
        """All runs have ended, and the result is written."""
        missing, runs = len(result.missing), len(folder.jobs)
        said = f"the comparison has ended: {runs} runs{f', {missing} of them without a number' if missing else ''}"
        gains = {arm.name: arm.mean.value for arm in result.arms}
        return self._tell(folder, "finished", said, {"runs": runs, "missing": missing, "improvements": gains})

    def _tell(self, folder: Folder, event: str, message: str, facts: Mapping[str, Any]) -> list[str]:
        if not getattr(self.table, event):
            return []
        all_facts = {"comparison": str(folder.path.resolve()), "plan": folder.plan.hash, **facts}
        return [call(self.table, Notice(event, message, folder.path, all_facts), self.redact, self._cancel)]
