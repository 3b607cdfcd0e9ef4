"""Steps of the article workflow that are code: how one is taken, and what it costs a pass when it fails.

A step as code is asked where the model would be, once: what it answers goes through the same gate. It is loaded anew
for each pass, in a run into a process of its own, so that nothing passes from one text or trial to the next. Where it
raises, is cut off, or its gate objects, it is left out of the pass: a replaced step is asked of the model as ever, an
inserted one says nothing; and the reason stands in the trial as its fault.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bilevel.bounds import Asking
from bilevel.carrying import FAULTS
from bilevel.errors import BilevelError, HarnessError, Stopped
from bilevel.mechanism import Guest, Mechanism
from bilevel.view import View
from bilevel.workflow_step import SoFar, misfit, taken, written

T = TypeVar("T")
MOST_SAID = 300  # characters of a reason
SENT_BACK = "the gate sent its answer back"
_KIND = re.compile(r"\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)(?=:|$| \(line)")
_LINE = re.compile(r"\(line (\d+)")


@dataclass
class Coded:
    """The steps as code of one pass: loaded when they are needed, and `out` once they failed, by name, with the
    reason."""

    load: Callable[[Guest], Mechanism]
    view: View
    out: dict[str, str] = field(default_factory=dict)
    _made: dict[str, Mechanism] = field(default_factory=dict)

    def take(self, step: Guest, so_far: SoFar, gate: Callable[[str], T]) -> T | None:
        """What a step says, as its gate lets it through; None where it is out.

        Raises what came of its questions to a model and is none of its faults: a wrong key, a stop.
        """
        if step.name in self.out:
            return None
        asks = None if self.view.asks is None else Asking(step.name, self.view.asks)
        view = replace(
            self.view, trace=self.view.trace.upto(0), pending=(), memory=None, below=None, lessons=(), told="",
            turned_back=(), asks=asks,
        )  # fmt: skip
        found, reason = None, ""
        try:
            if step.name not in self._made:
                self._made[step.name] = self.load(step)
            answer = json.dumps(taken(self._made[step.name], view, so_far))
            try:
                found = gate(answer)
            except ValueError as error:
                reason = f"{SENT_BACK}: {error}"
        except (HarnessError, Stopped):
            raise
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, BilevelError) else f"{type(error).__name__}: {error}"
        if asks is not None and asks.failure is not None:
            raise asks.failure
        if reason:
            self.out[step.name] = reason[:MOST_SAID]
        return found

    @property
    def notes(self) -> dict[str, Any]:
        """The faults as they are noted in a proposal; nothing where there are none."""
        return {FAULTS: [[name, reason] for name, reason in self.out.items()]} if self.out else {}


def told_above(reason: str) -> str:
    """A fault as an outer level is told it: of what a step or a gate said, which may be words of the text, the kind of
    the error and the line of the code alone."""
    if reason.startswith(SENT_BACK):
        return SENT_BACK
    kind, line = _KIND.match(reason), _LINE.search(reason)
    if kind is None and line is None:
        return reason  # the host's own words: a limit of time, an answer that is none
    return f"{kind[0] if kind else 'an error'}{f' at line {line[1]}' if line else ''}"


def spoken(text: str) -> str:
    """The gate of an inserted step: its answer as later steps read it, empty where it says nothing. Raises ValueError
    for one that they cannot be shown."""
    answer = json.loads(text)
    if problem := misfit(answer):
        raise ValueError(problem)
    return written(answer)
