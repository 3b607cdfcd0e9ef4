"""What went wrong in a guest, said to its author: what was raised, where, in which situation, and how to mend it."""

import dataclasses
import difflib
import math
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from bilevel.mechanism import Mechanism
from bilevel.space import Bool, Choice, Derived, Float, Int
from bilevel.trace import Trace

MOST_SHOWN = 3
BOUNDS = ("low", "high", "lower", "upper", "min", "max", "bounds", "minimum", "maximum")
KINDS = (Float, Int, Choice, Bool, Derived)


def said(error: BaseException) -> str:
    """An error as a message names it: its kind, and what it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def raised(mechanism: Mechanism, error: Exception) -> str:
    """What a guest raised, where, and what may mend it."""
    found = frames(mechanism, error)
    place = f" (line {found[-1].lineno}{f': {found[-1].line}' if found[-1].line else ''})" if found else ""
    return f"it raised {said(error):.400}{place}{hint(error)}"


def frames(mechanism: Mechanism, error: BaseException) -> list[traceback.FrameSummary]:
    """The mechanism's own frames in a traceback."""
    own = getattr(sys.modules.get(type(mechanism).__module__), "__file__", None)
    found = traceback.extract_tb(error.__traceback__)
    return [frame for frame in found if frame.filename.startswith("<mechanism") or frame.filename == own]


def situation(trace: Trace, active: tuple[str, ...]) -> str:
    """A trace in a few words: how long, how the last trial went, what may be changed."""
    names = ", ".join(active) or "none"
    free = f"view.space.active: {names}" if len(active) <= MOST_SHOWN else f"{len(active)} parameters active"
    last = trace.last
    if last is None:
        return f"view.trace is empty, {free}"
    moved = [f"{name} {change.old!r} → {change.new!r}" for name, change in list(last.changes.items())[:MOST_SHOWN]]
    score = "no score" if last.score is None else f"score {last.score:.4g}"
    kept = "kept" if last.decision.keep else "discarded"
    return (
        f"{len(trace)} trial{'s' if len(trace) > 1 else ''}, the last: {', '.join(moved) or 'no change'}, "
        f"{last.status.value}, {score}, {kept}; {free}"
    )


# ---- what may mend it ----


def hint(error: Exception) -> str:
    """What an error means here, after a semicolon; empty where the error says it all."""
    text = _hint(error)
    return f"; {text}" if text else ""


def _hint(error: Exception) -> str:
    if isinstance(error, dataclasses.FrozenInstanceError) or "mappingproxy" in str(error):
        return "records are frozen: return a changed copy, made with dataclasses.replace or candidate.with_params"
    if isinstance(error, AttributeError):
        return _no_attribute(getattr(error, "obj", None), str(getattr(error, "name", "") or ""))
    if isinstance(error, MemoryError):
        return "it may use about a gigabyte, Python and all packages included"
    if isinstance(error, RecursionError):
        return "a function calls itself without end"
    if isinstance(error, KeyError):
        return "parameters differ from task to task: ask view.space.active for their names, or use .get"
    if isinstance(error, ModuleNotFoundError):
        return "import it at the top of the text, where its name can be checked"
    if isinstance(error, NameError):
        return "import it or define it before it is used"
    if isinstance(error, StopIteration):
        return "next(...) found nothing: give it what to take then, as in next(..., None)"
    if isinstance(error, IndexError | AssertionError) or "empty" in str(error):
        return "the trace, its scores, the proposals and view.space.active may all be empty: test first"
    if "could not convert" in str(error) or "invalid literal" in str(error):
        return "values are numbers, texts, flags or tuples, never source text; ask the domain's type before you convert"
    if isinstance(error, ValueError | ZeroDivisionError | OverflowError | FloatingPointError | ArithmeticError):
        return "values and scores may be 0, equal or missing: use space.step and domain.unit, or test first"
    if isinstance(error, TypeError):
        return "a score is None where a trial failed; values are numbers, texts, flags or tuples, never source text"
    return ""


def _no_attribute(thing: Any, name: str) -> str:
    if thing is None:
        return "incumbent, current, last, baseline and a score are None while there is none: test first"
    kind = thing if isinstance(thing, type) else type(thing)
    if not kind.__module__.startswith("bilevel."):
        return ""
    names = [known for known in dir(thing) if not known.startswith("_")]
    near = difflib.get_close_matches(name, names, 1, 0.7)
    maybe = f"did you mean {near[0]}? " if near else ""
    if isinstance(thing, KINDS) and name in BOUNDS:
        maybe += "only a Float and an Int have bounds (low, high); domain.unit and domain.at work for every kind; "
    if isinstance(thing, Mechanism):
        return f"{maybe}nothing of that name is defined in the class"
    return f"{maybe}a {kind.__name__} has: {', '.join(names)}"


def refusal_hint(message: str, answer: Any) -> str:
    """What came, where the loop's own sentence about an answer does not say it, and what may mend it."""
    if re.search(r"\b(nan|inf) is not a number", message):
        return "; numpy raises nothing for log(0) and 0/0, it gives -inf and nan: test values and scores for 0 first"
    if "must return a sequence" in message and not isinstance(answer, list | tuple):
        return f", not {type(answer).__name__}: {answer!r:.60}; return a list, also where nothing is to be changed"
    if "must return a sequence" in message:
        odd = next((item for item in answer if type(item).__name__ not in ("Proposal", "Step")), None)
        return f"; the sequence holds {odd!r:.80}"
    if "unhashable" in message:
        return "; give lists as tuples: what is returned may hold nothing that can be changed later"
    return "; did you forget to return it?" if message.endswith("not NoneType") else ""


def holds_nan(value: Any, depth: int = 4) -> bool:
    """Whether a value is, or holds, a float that is no number."""
    if isinstance(value, float):
        return math.isnan(value)
    if depth and isinstance(value, Mapping):
        return any(holds_nan(item, depth - 1) for item in value.values())
    return bool(depth) and isinstance(value, list | tuple) and any(holds_nan(item, depth - 1) for item in value)
