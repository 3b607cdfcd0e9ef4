"""Port: a step of a workflow as code, what it is given, and how it travels between processes.

    from bilevel.workflow_step import SoFar, WorkflowStep


    class Longest(WorkflowStep):
        after = "start"
        shown = ("analysis",)

        def take(self, view, so_far):
            sizes = [len(text.split()) for text in so_far.paragraphs]
            return {"longest": sizes.index(max(sizes)) + 1} if sizes else {}

Where a step stands (`after`, `replace` or `remove`) is read from the text, so nothing is run to know it. A step is
loaded, tried and walled in like any mechanism: its question and its answer are blocks of a briefing, so what asks it
is the hook `advise`.
"""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from bilevel.errors import GuestError
from bilevel.mechanism import Mechanism
from bilevel.view import Block, Briefing, View

KIND = "WorkflowStep"
QUESTION, ANSWER = "workflow step", "answer"  # the sources of the two blocks
PLACES = ("after", "replace", "remove")
MOST_ANSWER = 60_000  # characters of an answer as JSON: that of a step which revises has whole paragraphs
MOST_FIELDS = 6
MOST_TOLD = 4_000  # characters of an inserted step's answer, which later steps are shown
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,29}")


@dataclass(frozen=True)
class SoFar:
    """A pass over one text as far as it has come: all that a step as code may know of it.

    `paragraphs` are the text's, numbered from 1 in answers; `editable` are the numbers that an edit may be about.
    `said`: what each step before it answered, by name; those of the workflow's own in their own form, those of others
    as later steps read them. `tried`: changes that the step `hypotheses` may not give once more. `edits`: what the step
    `revision` is to make: paragraph and instruction of each. It holds no score, no judge's words, no earlier trial.
    """

    step: str
    text: str
    paragraphs: tuple[str, ...]
    editable: tuple[int, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    tried: tuple[str, ...] = ()
    edits: tuple[Mapping[str, Any], ...] = ()


class WorkflowStep(Mechanism):
    """A step of a workflow: inserted behind another (`after`: its name, or "start"), in place of one (`replace`), or
    nothing but the removal of one (`remove`). `shown`: which later steps read the answer of an inserted one.

    `take` is a pure function of its arguments: `view` has the trial's number, seed and random numbers, the task's brief
    and `view.ask`, and a trace without trials.
    """

    after: ClassVar[str] = ""
    replace: ClassVar[str] = ""
    remove: ClassVar[str] = ""
    shown: ClassVar[tuple[str, ...]] = ()

    def take(self, view: View, so_far: SoFar) -> Mapping[str, Any] | None:
        """The answer: names and values, as JSON has them. Where the step replaces one, its answer in that one's form;
        None or an empty one says nothing."""
        return None

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        so_far = _asked(briefing)
        return briefing if so_far is None else answered(briefing, self.take(view, so_far))


# ---- the question and the answer, as they travel ----


def asking(so_far: SoFar) -> Briefing:
    """The question to a step."""
    return Briefing((Block(QUESTION, json.dumps(asdict(so_far), ensure_ascii=False)),))


def _asked(briefing: Briefing) -> SoFar | None:
    text = next((block.text for block in briefing.blocks if block.source == QUESTION), None)
    if text is None:
        return None
    data: dict[str, Any] = json.loads(text)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return SoFar(**values)


def answered(briefing: Briefing, answer: object) -> Briefing:
    """The question with a step's answer. Raises GuestError for one that is no JSON."""
    if answer is None:
        answer = {}
    if not isinstance(answer, Mapping):
        raise GuestError(f"take must return a dict of names and values, or None, not {type(answer).__name__}")
    try:
        text = json.dumps(dict(answer), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise GuestError(f"what take returns is no JSON: {error}; give texts, whole numbers, lists, dicts") from None
    return briefing.with_block(ANSWER, text)


def taken(step: Mechanism, view: View, so_far: SoFar) -> dict[str, Any]:
    """A step's answer. Raises GuestError where it fails, and for what is no answer."""
    briefing = step.advise(view, asking(so_far))
    blocks = getattr(briefing, "blocks", ())
    text = next((block.text for block in reversed(blocks) if block.source == ANSWER), None)
    if not isinstance(text, str):
        raise GuestError("the step gave no answer: it must define take, and nothing in place of advise")
    if len(text) > MOST_ANSWER:
        raise GuestError(f"the step's answer has {len(text):,} characters as JSON; at most {MOST_ANSWER:,} are read")
    try:
        answer = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise GuestError(f"the step's answer is no JSON: {error}") from None
    if not isinstance(answer, dict):
        raise GuestError("the step's answer is no dict of names and values")
    return answer


def _refused(name: str) -> object:
    raise ValueError(f"{name} is no number")


def misfit(answer: Mapping[str, Any]) -> str | None:
    """Why an inserted step's answer cannot be shown to later steps, or None."""
    if len(answer) > MOST_FIELDS:
        return f"the answer has {len(answer)} fields; at most {MOST_FIELDS} are shown"
    for name, value in answer.items():
        if not _FIELD.fullmatch(name):
            return f"{name!r:.60} is no name of a field: lower case letters, digits and _, a letter first"
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float) and _finite(item) for item in items):
            return f"{name} must be a text, a number, or a list of these"
    said = written(answer)
    return (
        f"the answer has {len(said):,} characters; at most {MOST_TOLD:,} are shown" if len(said) > MOST_TOLD else None
    )


def written(answer: Mapping[str, Any]) -> str:
    """An inserted step's answer as later steps read it; empty where it says nothing."""
    lines = [
        (name, ", ".join(map(str, value if isinstance(value, list) else [value]))) for name, value in answer.items()
    ]
    return "\n".join(f"- {name}: {text}" for name, text in lines if text.strip())


def _finite(item: object) -> bool:
    return not isinstance(item, float) or math.isfinite(item)


# ---- what a text says of its place, without running it ----


def is_step(source: str) -> bool:
    """Whether a text defines a step of a workflow, and not another mechanism."""
    try:
        return bool(_kinds(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def step_kind(tree: ast.Module) -> ast.ClassDef | None:
    """The one class of a step; None where there is none, or several."""
    kinds = _kinds(tree)
    return kinds[0] if len(kinds) == 1 else None


def place_of(source: str) -> dict[str, tuple[str, ...]]:
    """What a step's class says of its place: `after`, `replace`, `remove`, `shown`, as far as it says it; and `take`
    where it is defined. Raises ValueError with the reason."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it does not parse: {getattr(error, 'msg', error)}") from None
    return place_in(tree)


def place_in(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """The same of a text that is parsed."""
    kind = step_kind(tree)
    if kind is None:
        raise ValueError(f"a step as code defines one class at the top: class Mine({KIND}), and no other of that kind")
    found: dict[str, tuple[str, ...]] = {}
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "take":
            found["take"] = ()
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id in (*PLACES, "shown"):
            found[target.id] = _texts(target.id, getattr(node, "value", None))
    return found


def _texts(name: str, node: Any) -> tuple[str, ...]:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        value = None
    if name != "shown" and isinstance(value, str):
        return (value,)
    if name == "shown" and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    form = 'a tuple of texts, as in ("plan",)' if name == "shown" else 'a text, as in "plan"'
    raise ValueError(f"{name}: it stands in the class as {form}; it is read, and not run")


def _kinds(tree: ast.Module) -> Sequence[ast.ClassDef]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return [node for node in classes if KIND in [ast.unparse(base).split(".")[-1] for base in node.bases]]
