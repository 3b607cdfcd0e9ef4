"""A researcher behind HTTP: it reads a prompt as a model would, and answers each level in the form that it asks for.

Its answers depend on the prompt's text only, so two runs that ask the same are told the same.
"""

import hashlib
import json
import random
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from servers import ScriptedServer
from wires import ERRORS, answer

Fault = str | Mapping[str, Any] | Callable[[str], Any]  # a text, a reply as a server sends it, or made of the prompt
ROLES = {
    "explore": "You improve a search loop from outside",
    "critique": "A search loop is to be given one new rule",
    "specify": "Specify one mechanism",
    "generate": "Write one mechanism",
    "repair": "This mechanism was refused",
    "inert": "This mechanism ran for",
    "text": "Write one text for the researcher",
    "settings": "You steer a search from outside",
    "lessons": "Draw 2 to 4 lessons",
    "pick": "drafts are listed above; only one",
    "draft": "You are the researcher of an automated search",
}
SESSION = ("explore", "critique", "specify", "generate", "repair", "inert", "text")
WANDER = '''"""Start from the baseline in every other trial."""

from bilevel.mechanism import Mechanism


class Wander(Mechanism):
    domain = "walks"

    def select(self, view, parent):
        first = view.trace.baseline
        return first.candidate if first is not None and first.score is not None and view.number % 2 else parent
'''
CRITIQUE = {
    "ideas": [
        {"name": "Wander", "idea": "start elsewhere", "failure_modes": "it waits", "evidence": [0], "impact": 4,
         "feasibility": 4, "complexity": 1},
    ],
    "selected": "Wander", "reason": "it is simple",
}  # fmt: skip
PLAN = {
    "name": "wander", "domain": "walks", "kind": "add", "target": "", "hooks": ["select"], "needs": [],
    "data": "the baseline", "changes": "the parent of every other trial", "shows": "select is decisive",
    "parameters": [],
}  # fmt: skip


class ResearcherServer(ScriptedServer):
    """Researches all levels. `faults`: what the request of that number (from 1) gets in place of its answer.

    `says`: by role, a text or object, or a function of the prompt that gives one, in place of the usual answer.
    """

    def __init__(
        self,
        style: str = "compatible",
        faults: Mapping[int, Fault] | None = None,
        says: Mapping[str, Any] | None = None,
        gone_from: int | None = None,
    ) -> None:
        self.faults, self.says, self.gone_from = dict(faults or {}), dict(says or {}), gone_from
        self.bodies: list[str] = []
        self.roles: list[str] = []
        self.waiting = threading.Event()  # a request hangs
        self._number = threading.Lock()
        super().__init__(style, self._reply)

    def prompts(self, *roles: str) -> list[str]:
        """The prompts that arrived, of these roles, or all."""
        pairs = zip(self.roles, self.requests, strict=True)
        return [asked.prompt for role, asked in pairs if not roles or role in roles]

    def _reply(self, prompt: str, body: Mapping[str, Any]) -> Any:
        with self._number:
            self.bodies.append(json.dumps(body, sort_keys=True))
            self.roles.append(role_of(prompt))
            number = len(self.bodies)
        if self.gone_from is not None and number >= self.gone_from:
            return {"status": 503, "body": "gone"}
        fault = self.faults.get(number)
        if callable(fault):
            fault = fault(prompt)
        if isinstance(fault, Mapping) and fault.get("hang"):
            self.waiting.set()
        return self.answer(prompt) if fault is None else fault

    def answer(self, prompt: str) -> Any:
        """What is said to a prompt where nothing is at fault; a reply as a server sends it stays one."""
        role = role_of(prompt)
        said = self.says.get(role, _usual)
        made = said(prompt) if callable(said) else said
        made = _usual(prompt) if made is None else made
        return made if isinstance(made, str) or "body" in made else json.dumps(made)


def role_of(prompt: str) -> str:
    """Which question a prompt asks."""
    return next((role for role, start in ROLES.items() if start in prompt), "other")


def error(style: str, kind: str, **headers: str) -> dict[str, Any]:
    """A provider's documented error reply."""
    return {**ERRORS[style][kind], "headers": headers}


def cut(style: str, text: str = '{"drafts": [{"why"') -> dict[str, Any]:
    return {"body": answer(style, text, finish="length")}


def refused(style: str) -> dict[str, Any]:
    return {"body": answer(style, "I would rather not.", finish="refused")}


def values(*changes: Mapping[str, Any], why: str = "because") -> str:
    return json.dumps({"drafts": [{"why": why, "predicted_gain": 0.1, "changes": dict(c)} for c in changes]})


def edit(path: str, search: str, replacement: str, why: str = "because", **changes: Any) -> str:
    head = json.dumps({"why": why, "predicted_gain": 0.1, "changes": changes})
    return f"{head}\n\n{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n"


def number_in(prompt: str) -> int:
    """The number of the trial that a level-1 prompt asks for."""
    return int(re.search(r"It is trial #(\d+)", prompt)[1])


def _usual(prompt: str) -> Any:
    role, rng = role_of(prompt), _rng(prompt)
    if role == "draft":
        return values(_change(prompt, rng), why=f"try {rng.randrange(10**6)}")
    if role == "pick":
        return {"index": 1, "reason": "the first"}
    if role == "lessons":
        summary = f"Steps of {rng.randrange(10**6)} change little."
        return {
            "lessons": [{"kind": "method", "summary": summary, "rule": "Step wide.", "confidence": 0.5, "trials": [1]}]
        }
    if role == "settings":
        return {
            "diagnosis": f"it is slow, {rng.randrange(10**6)}",
            "strategy": "explore",
            "guidance": "Look elsewhere.",
        }
    if role == "critique":
        return CRITIQUE
    if role == "specify":
        return {**PLAN, "name": f"wander_{'abcdefghijklmnop'[rng.randrange(16)]}{rng.randrange(1000)}"}
    if role in ("generate", "repair", "inert"):
        return f"```python\n{WANDER}```"
    return "1. Wander: start from the baseline now and then.\n2. Cool off: leave alone what failed."


def _rng(prompt: str) -> random.Random:
    return random.Random(hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest())


def _change(prompt: str, rng: random.Random) -> dict[str, Any]:
    """Another value for one of the parameters that a level-1 prompt lists."""
    listed = re.findall(r"^- (\w+) = (.*?): (number|whole number|power of two|one of|true)(.*)$", prompt, re.MULTILINE)
    name, now, kind, rest = listed[rng.randrange(len(listed))]
    while True:
        value = _value(kind, rest, rng)
        if json.dumps(value) != now:
            return {name: value}


def _value(kind: str, rest: str, rng: random.Random) -> Any:
    """A value of a domain as it is written in a prompt."""
    bounds = re.match(r" from (\S+) to ([\d.e+-]+)", rest)
    if kind == "true":
        return rng.random() < 0.5
    if kind == "one of":
        return rng.choice(json.loads(f"[{rest.strip()}]"))
    low, high = float(bounds[1]), float(bounds[2].rstrip("."))
    if kind == "number":
        return max(low, round(rng.uniform(low, high), 4))
    if kind == "whole number":
        return rng.randint(int(low), int(high))
    return rng.choice([2**n for n in range(64) if low <= 2**n <= high])
