"""What a model answers in a mechanism session: an assessment of ideas, a specification, a file of code; and its checks.

Every reader raises ValueError with a sentence that lets the model mend its answer.
"""

import ast
import keyword
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from bilevel.carrying import CODE, carrier_of
from bilevel.mechanism import HOOKS
from bilevel.researchers.answer import parse
from bilevel.researchers.schemas import closed, fitting, integer, listed, one_of, string, text

MOST_IDEAS = 12
_BLOCK = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n`]*\n(.*?)(?:\n {0,3}\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_STARTS = re.compile(r"^(?:\"\"\"|'''|#|from |import |class )", re.MULTILINE)


class Idea(BaseModel):
    """One idea, judged; the numbers go from 1 to 5."""

    name: str = Field(min_length=1, max_length=120)
    idea: str
    failure_modes: str = ""
    evidence: list[int] = []
    impact: int = Field(ge=1, le=5)
    feasibility: int = Field(ge=1, le=5)
    complexity: int = Field(ge=1, le=5)

    @property
    def score(self) -> float:
        """Impact x feasibility / complexity, computed here and not by the model."""
        return round(self.impact * self.feasibility / self.complexity, 3)


class Critique(BaseModel):
    """All ideas, and the one that goes on."""

    ideas: list[Idea] = Field(min_length=1, max_length=MOST_IDEAS)
    selected: str
    reason: str = ""

    @property
    def choice(self) -> Idea:
        """The idea that was selected by its name, or by part of it; the one with the highest score if by neither."""
        wanted = _plain(self.selected)
        same = [idea for idea in self.ideas if _plain(idea.name) == wanted]
        near = [idea for idea in self.ideas if _plain(idea.name) in wanted or wanted in _plain(idea.name)]
        return next(iter(same or (near if len(near) == 1 else [])), max(self.ideas, key=lambda idea: idea.score))


class Parameter(BaseModel):
    """A constant of a mechanism."""

    name: str
    value: str | int | float | bool = ""
    meaning: str = ""


class Plan(BaseModel):
    """A mechanism, specified."""

    name: str = ""
    domain: str = ""
    kind: Literal["add", "replace", "remove"] = "add"
    target: str = ""
    hooks: list[str] = []
    needs: list[Literal["numeric", "advice"]] = []
    data: str = ""
    changes: str = Field(min_length=1)
    shows: str = ""
    parameters: list[Parameter] = []
    carrier: str = ""  # of a text; empty for code


def critique_schema(trials: int, most_tokens: int) -> dict[str, Any]:
    """The JSON schema of a `Critique` in an answer of `most_tokens`; `trials` as for `read_critique`."""
    mark = integer(1, 5)
    idea = closed(
        name=string(60),
        idea=text(most_tokens),
        failure_modes=text(most_tokens),
        evidence=listed(integer(0, max(trials - 1, 0)), fitting(most_tokens, 150, 12)),
        impact=mark,
        feasibility=mark,
        complexity=mark,
    )
    ideas = listed(idea, fitting(most_tokens, 160, MOST_IDEAS), least=1)
    return closed(ideas=ideas, selected=string(60), reason=text(most_tokens))


def plan_schema(
    in_force: Collection[str], most: int, most_tokens: int, carriers: Sequence[str] = (CODE,)
) -> dict[str, Any]:
    """The JSON schema of a `Plan` in an answer of `most_tokens`; the rest as for `read_plan`."""
    texts = {} if tuple(carriers) == (CODE,) else {"carrier": one_of(carriers)}
    least = 0 if texts else 1  # hooks: a text has none
    constant = closed(
        name=string(40),
        value={"anyOf": [{"type": "number"}, {"type": "boolean"}, string(40)]},
        meaning=text(most_tokens // 2),
    )
    return closed(
        name={**string(40), "minLength": 0 if in_force else 2},
        domain=string(40),
        kind=one_of(["add"] * (len(in_force) < most) + ["replace", "remove"] * bool(in_force)),
        target=one_of(["", *in_force]),
        hooks=listed(one_of(HOOKS), fitting(most_tokens, 100, len(HOOKS)), least=least),
        needs=listed(one_of(["numeric", "advice"]), 2),
        data=text(most_tokens),
        changes={**text(most_tokens), "minLength": 1},
        shows=text(most_tokens),
        parameters=listed(constant, fitting(most_tokens, 200, 8)),
        **texts,
    )


def read_ideas(text: str) -> str:
    """The ideas as they stand. Raises ValueError where there is next to nothing."""
    if len(text.split()) < 3:
        raise ValueError("the answer holds no ideas")
    return text.strip()


def read_critique(text: str, trials: int) -> Critique:
    """The assessment. `trials`: how many the trace has; evidence may name no others."""
    critique = parse(text, Critique)
    unknown = sorted({n for idea in critique.ideas for n in idea.evidence if not 0 <= n < trials})
    if unknown:
        last = f"the trials go from 0 to {trials - 1}" if trials else "there are none yet"
        raise ValueError(f"evidence names trials that do not exist ({', '.join(map(str, unknown))}): {last}")
    return critique


def read_plan(
    text: str, in_force: Collection[str], most: int, reads_advice: bool, carriers: Sequence[str] = (CODE,)
) -> Plan:
    """The specification, its name brought into snake_case. A replacement takes the name of its target, and its
    carrier; where there are texts, the name of one begins with its carrier."""
    plan = parse(text, Plan)
    if tuple(carriers) == (CODE,):
        plan = plan.model_copy(update={"carrier": ""})
    elif plan.kind != "add":
        plan = plan.model_copy(update={"carrier": carrier_of(plan.target)})
    if tuple(carriers) != (CODE,) and plan.carrier not in carriers:
        raise ValueError(f"carrier must be one of {', '.join(carriers)}, not {plan.carrier!r}")
    if plan.carrier not in ("", CODE):
        return _text_plan(plan, in_force, most)
    plan = plan.model_copy(update={"carrier": ""})
    plan = plan.model_copy(update={"hooks": list(dict.fromkeys(plan.hooks)), "needs": list(dict.fromkeys(plan.needs))})
    wrong = _kind(plan, in_force, most)
    if plan.kind != "remove":
        plan = plan.model_copy(update={"name": plan.target if plan.kind == "replace" else snake_case(plan.name)})
        wrong += [*_name(plan, in_force), *_hooks(plan, reads_advice)]
    if wrong:
        raise ValueError("; ".join(wrong))
    return plan


def _text_plan(plan: Plan, in_force: Collection[str], most: int) -> Plan:
    """The specification of a text."""
    wrong = _kind(plan, in_force, most)
    if plan.kind == "replace":
        plan = plan.model_copy(update={"name": plan.target})
    elif plan.kind == "add":
        name = snake_case(plan.name.removeprefix(f"{plan.carrier}:"))
        wrong += _name(plan.model_copy(update={"name": name}), ())
        plan = plan.model_copy(update={"name": f"{plan.carrier}:{name}"})
        wrong += [f"{plan.name!r} is in force already: take another name, or replace it"] * (plan.name in in_force)
    if wrong:
        raise ValueError("; ".join(wrong))
    return plan


def read_text(text: str, refused: str = "") -> str:
    """The one text in an answer: in its last fenced block, or the whole answer where there is none.

    `refused` is the text that this one is to mend.
    """
    blocks = [found.group(2) for found in _BLOCK.finditer(text)]
    source = (blocks[-1] if blocks else text).strip() + "\n"
    if len(source.split()) < 3:
        raise ValueError("the answer holds no text")
    if source.strip() == refused.strip():
        raise ValueError("this is the very text that is to be mended, unchanged")
    return source


def read_code(text: str, refused: str = "") -> str:
    """The one file in an answer: in the last fenced block that holds a mechanism, or bare, with prose around it.

    `refused` is the source that this one is to mend.
    """
    problem = "the answer holds no Python block with a subclass of Mechanism"
    for piece in _pieces(text):
        source = piece.strip("\n").rstrip() + "\n"
        try:
            found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and _is_mechanism(node)]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if "Mechanism" in source:
                line = getattr(error, "lineno", None)
                problem = f"the code does not parse: {getattr(error, 'msg', error)}{f' (line {line})' if line else ''}"
            continue
        if not found:
            continue
        if len(found) > 1:
            names = ", ".join(node.name for node in found)
            raise ValueError(f"the file must define exactly one subclass of Mechanism, not {len(found)}: {names}")
        if source.strip() == refused.strip():
            raise ValueError("this is the very source that is to be mended, unchanged")
        return source
    raise ValueError(problem)


def snake_case(name: str) -> str:
    """A name as an identifier: "Cool Off" and "CoolOff" become "cool_off"."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip().removesuffix(".py"))
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def _plain(name: str) -> str:
    """A name as it is compared: letters, digits and single spaces; the name itself where it has none of these."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold())) or name


def _kind(plan: Plan, in_force: Collection[str], most: int) -> list[str]:
    known = ", ".join(in_force) or "none"
    if plan.kind != "add" and plan.target not in in_force:
        return [f"{plan.kind} needs a target that is in force, not {plan.target!r}; in force are: {known}"]
    if plan.kind == "add" and len(in_force) >= most:
        return [f"the set is full ({most} mechanisms): replace or remove one of: {known}"]
    return []


def _name(plan: Plan, in_force: Collection[str]) -> list[str]:
    if plan.kind != "add":
        return []
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", plan.name) or keyword.iskeyword(plan.name):
        return [f"the name must be a snake_case identifier of 2 to 40 characters, not {plan.name!r}"]
    taken = plan.name in in_force
    return [f"{plan.name!r} is in force already: take another name, or replace it"] if taken else []


def _hooks(plan: Plan, reads_advice: bool) -> list[str]:
    unknown = [hook for hook in plan.hooks if hook not in HOOKS]
    if unknown:
        return [f"there is no hook {unknown[0]!r}; the hooks are: {', '.join(HOOKS)}"]
    silent = {"remember"} if reads_advice else {"remember", "advise"}
    if set(plan.hooks) <= silent:
        why = "remember decides nothing by itself" if reads_advice else "nobody here reads advice"
        return [f"the hooks {', '.join(plan.hooks) or '(none)'} cannot change a decision: {why}; add one that can"]
    return []


def _pieces(text: str) -> list[str]:
    """Where the file may be: the fenced blocks, the last first; the whole text; from its first line of code on."""
    blocks = [found.group(2) for found in _BLOCK.finditer(text)][::-1]
    starts = [text[found.start() :] for found in list(_STARTS.finditer(text))[:3]]
    return [*blocks, text, *starts]


def _is_mechanism(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] == "Mechanism" for base in node.bases)
