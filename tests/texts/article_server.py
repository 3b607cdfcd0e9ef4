"""A model behind HTTP that revises articles in five steps, and judges them by a word that it adds."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from servers import ScriptedServer

STEPS = {
    "judge": "You judge an article by a rubric",
    "compare": "You compare two versions",
    "analysis": "Step 1, analysis",
    "hypotheses": "Step 2, hypotheses",
    "plan": "Step 3, edit plan",
    "assessment": "Step 4, impact assessment",
    "revision": "Step 5, revised text",
    "lessons": "Draw 2 to 4 lessons",
    "settings": "You steer a search from outside",
    "inserted": "Inserted step",
}
Says = Callable[[str, Mapping[str, Any]], Any]


class ArticleServer(ScriptedServer):
    """`says`: by step, an answer or a function of (prompt, body) that gives one; None is the usual answer."""

    def __init__(self, says: Mapping[str, Any]) -> None:
        self.says = dict(says)
        self.steps: list[str] = []
        super().__init__("compatible", self._reply)

    def of(self, step: str) -> list[str]:
        """The prompts of a step that arrived."""
        return [asked.prompt for name, asked in zip(self.steps, self.requests, strict=True) if name == step]

    def _reply(self, prompt: str, body: Mapping[str, Any]) -> Any:
        step = next(name for name in ("inserted", *STEPS) if STEPS[name] in prompt)
        self.steps.append(step)
        said = self.says.get(step)
        made = said(prompt, body) if callable(said) else said
        made = USUAL[step](prompt, body) if made is None else made
        return made if isinstance(made, str) or "status" in made else json.dumps(made)


def fenced_in(prompt: str) -> list[str]:
    """The texts between a judge's marks."""
    return [
        found[2] for found in re.finditer(r"^(===== \w+) begins\n(.*?)\n\1 ends$", prompt, re.DOTALL | re.MULTILINE)
    ]


def marks(score: int) -> dict[str, Any]:
    names = ("rigour", "clarity", "consistency", "insight", "actionability")
    return {name: {"reason": "the second paragraph", "score": score} for name in names}


def _judged(prompt: str, body: Any) -> Any:
    (text,) = fenced_in(prompt)
    return marks(min(4 + text.count("therefore"), 10))


def _compared(prompt: str, body: Any) -> Any:
    first, second = (text.count("therefore") for text in fenced_in(prompt))
    return {"reason": "counted", "better": "first" if first > second else "second" if second > first else "tie"}


def _analysis(prompt: str, body: Any) -> Any:
    return {
        "weaknesses": [
            {"paragraph": 2, "dimension": "rigour", "problem": "Nothing supports what is claimed at this place."},
            {"paragraph": 3, "dimension": "clarity", "problem": "The main notion stays without any definition here."},
        ]
    }


def _hypotheses(prompt: str, body: Any) -> Any:
    said = prompt.count("therefore")
    change = f"Give the claim the reason number {said} that it needs."
    return {"hypotheses": [{"weakness": 1, "change": change, "why": "Readers ask for the reason first."}]}


def _plan(prompt: str, body: Any) -> Any:
    return {
        "edits": [
            {"paragraph": 2, "hypothesis": 1, "instruction": "Say the reason after the claim, in one sentence."},
            {"paragraph": 3, "hypothesis": 1, "instruction": "Say the same once more in other words."},
        ]
    }


def _assessed(prompt: str, body: Any) -> Any:
    return {
        "verdicts": [
            {"edit": 1, "gain": 6, "risk": 2, "reason": "It answers what a reader asks at once."},
            {"edit": 2, "gain": 2, "risk": 5, "reason": "It repeats what the paragraph above says."},
        ]
    }


def _revised(prompt: str, body: Any) -> Any:
    wanted = re.search(r"Write each of the paragraphs ([\d, ]+) anew", prompt)[1].split(", ")
    shown = dict(re.findall(r"^\[(\d+)\] (.*?)(?=\n\n\[\d+\] |\n`{3,}$)", prompt, re.DOTALL | re.MULTILINE))
    return {"paragraphs": [{"paragraph": int(n), "text": f"{shown[n]} It is therefore so."} for n in wanted]}


def _lesson(rule: str) -> dict[str, Any]:
    return {"kind": "works", "summary": rule, "rule": rule, "confidence": 0.6, "trials": [1]}


USUAL: Mapping[str, Says] = {
    "judge": _judged, "compare": _compared, "analysis": _analysis, "hypotheses": _hypotheses, "plan": _plan,
    "assessment": _assessed, "revision": _revised,
    "lessons": lambda prompt, body: {"lessons": [_lesson("Reasons after claims were kept.")]},
    "settings": lambda prompt, body: {"diagnosis": "the editor lets everything through"},
    "inserted": lambda prompt, body: {"answer": "A reader would ask for whom this is meant."},
}  # fmt: skip
