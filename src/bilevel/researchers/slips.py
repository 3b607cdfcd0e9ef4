"""Slips: candidates that failed by a plain mistake in their code, which their author may mend."""

import re

from bilevel.researchers.history import last_lines
from bilevel.space import Candidate
from bilevel.trial import Run, Status, Trial
from bilevel.view import View

LOG_LINES = 40
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*(?:Error|Exception|Warning))\b(?:: (.*))?")
_NO_SLIP = ("MemoryError", "OutOfMemoryError", "TimeoutError", "BrokenPipeError", "ConnectionError")
_NO_MEMORY = re.compile(r"out of memory|can't allocate|cannot allocate|failed to allocate|bad_alloc", re.IGNORECASE)
_NEAR_THE_END = 12  # lines; a harness may print a few of its own after the traceback


def slip_of(view: View, parent: Candidate, author: str) -> Trial | None:
    """The last trial, where its author should mend it: a change of files by `author` from this very parent that ended
    in a Python traceback, and that was not sent back `view.settings.repairs` times in a row yet."""
    trial = view.trace.last
    if trial is None or trial.number == 0 or trial.status is not Status.EXIT or trial.proposal.author != author:
        return None
    if trial.parent.id != parent.id or not trial.candidate.files_changed_from(trial.parent):
        return None
    if repairs_in_a_row(view, trial) >= view.settings.repairs or not is_slip(log_of(trial)):
        return None
    return trial


def repairs_in_a_row(view: View, trial: Trial) -> int:
    """How many trials ending with this one were repairs, each of the one before."""
    count = 0
    while isinstance(number := trial.proposal.notes.get("repair_of"), int) and 0 <= number < trial.number:
        count, trial = count + 1, view.trace[number]
    return count


def is_slip(log: str) -> bool:
    """Whether a log ends with what Python prints for a mistake in code; not for want of memory or time."""
    lines = [line for line in last_lines(log, LOG_LINES).splitlines() if line.strip()]
    if not any(line.startswith("Traceback (most recent call last)") or _is_place(line) for line in lines):
        return False
    raised = [found for line in lines[-_NEAR_THE_END:] if (found := _RAISED.fullmatch(line.rstrip()))]
    if not raised:
        return False
    name, text = raised[-1][1], raised[-1][2] or ""
    return name not in _NO_SLIP and not _NO_MEMORY.search(text)


def log_of(trial: Trial) -> str:
    """The log of the run that failed."""
    failed: Run | None = next((run for run in trial.runs if run.status is not Status.OK), None)
    return failed.log if failed else ""


def _is_place(line: str) -> bool:
    """The line above a syntax error's text, which Python prints without a traceback."""
    return bool(re.fullmatch(r'\s*File ".*", line \d+.*', line))
