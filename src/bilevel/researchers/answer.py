"""Structured answers: parsed, validated, and asked for again with the exact error."""

import json
import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bilevel.call import Finish, Reply, Request
from bilevel.errors import UnusableReply
from bilevel.view import View

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
_FENCED = re.compile(
    r"^ {0,3}(`{3,}|~{3,})[ \t]*(?:json|JSON)?[ \t]*\n(.*?)\n {0,3}\1[ \t]*$", re.DOTALL | re.MULTILINE
)


def ask_until(view: View, request: Request, purpose: str, read: Callable[[str], T], reasks: int = 2) -> T:
    """What `read` makes of the model's answer. Where it raises ValueError, the model is told the error and asked again.

    Raises UnusableReply with the last error after `reasks` re-asks; so do a refusal and an answer that stays empty or
    cut off.
    """
    problem = ""
    for attempt in range(reasks + 1):
        reply = view.call(request, f"{purpose}/re-ask {attempt}" if attempt else purpose)
        try:
            return read(_usable(reply))
        except ValueError as error:
            problem = str(error)
        if reply.finish is Finish.REFUSED:
            break
        request = request.then(reply.text or "(an empty answer)", _objection(problem))
    raise UnusableReply(f"{purpose}: the model's answer could not be used: {problem[:400]}")


def ask_for(view: View, request: Request, purpose: str, model: type[M], reasks: int = 2) -> M:
    """The model's answer as an instance of `model`, whose JSON schema is sent along."""
    asked = Request(request.messages, model.model_json_schema(), request.most_tokens, request.temperature)
    return ask_until(view, asked, purpose, lambda text: parse(text, model), reasks)


def parse(text: str, model: type[M]) -> M:
    """The JSON object in a text, alone or in a fence, validated. Raises ValueError with all that is wrong."""
    last = ValueError("the answer holds no JSON object")
    for piece in _pieces(text):
        try:
            return model.model_validate(json.loads(piece))
        except json.JSONDecodeError as error:
            last = ValueError(f"the answer is not valid JSON: {error}")
        except RecursionError:
            last = ValueError("the answer is nested too deeply")
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()[:8]]
            raise ValueError("; ".join(lines)) from None
    raise last


def _usable(reply: Reply) -> str:
    if reply.finish is Finish.REFUSED:
        raise ValueError(f"the model refused to answer: {reply.text[:200]}")
    if reply.finish is Finish.LENGTH:
        raise ValueError("the answer was cut off at its limit of tokens; answer more briefly")
    if not reply.text.strip():
        raise ValueError("the answer was empty")
    return reply.text


def _objection(problem: str) -> str:
    return f"That answer cannot be used: {problem}\nAnswer again, in full, in the format that was asked for."


def _pieces(text: str) -> list[str]:
    """Where the JSON may be: the whole text, each fenced block, the outermost braces."""
    pieces = [text.strip(), *(found.group(2) for found in _FENCED.finditer(text))]
    start, end = text.find("{"), text.rfind("}")
    return [*pieces, *([text[start : end + 1]] if 0 <= start < end else [])]
