"""Structured answers: parsed, validated, and asked for again with the exact error."""

import json
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bilevel.call import Finish, Reply, Request
from bilevel.errors import UnusableReply
from bilevel.view import View

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
CUT_OFF = 2000  # characters
MOST_OBJECTS = 50  # places in a text at which an object is looked for
_BEGUN = re.compile(r'\{\s*"')
_DECODER = json.JSONDecoder()
_FENCED = re.compile(
    r"^ {0,3}(`{3,}|~{3,})[ \t]*(?:json|JSON)?[ \t]*\n(.*?)\n {0,3}\1[ \t]*$", re.DOTALL | re.MULTILINE
)


def ask_until(
    view: View, request: Request, purpose: str, read: Callable[[str], T], reasks: int = 2, cut: bool = False
) -> T:
    """What `read` makes of the model's answer. Where it raises ValueError, the model is told the error and asked again.

    Raises UnusableReply with the last error after `reasks` re-asks; so do a refusal and an answer that stays empty or
    cut off, unless it is JSON that is complete. `cut`: the beginning of an answer that was cut off is an answer.
    """
    problem = ""
    for attempt in range(reasks + 1):
        reply = view.call(request, f"{purpose}/re-ask {attempt}" if attempt else purpose)
        try:
            return read(_usable(reply, cut or (request.schema is not None and _complete(reply.text))))
        except ValueError as error:
            problem = str(error)
        if reply.finish is Finish.REFUSED:
            break
        request = request.then(_remembered(reply), _objection(problem))
    raise UnusableReply(f"{purpose}: the model's answer could not be used: {problem[:400]}")


def ask_for(view: View, request: Request, purpose: str, model: type[M], reasks: int = 2) -> M:
    """The model's answer as an instance of `model`, whose JSON schema is sent along."""
    asked = Request(request.messages, model.model_json_schema(), request.most_tokens, request.temperature)
    return ask_until(view, asked, purpose, lambda text: parse(text, model), reasks)


def parse(text: str, model: type[M]) -> M:
    """The JSON object in a text, alone, in a fence or within prose: the first that fits `model`.

    Raises ValueError with all that is wrong: with an object that does not fit, rather than with text that is no JSON.
    """
    unread, unfit = "", ""
    for piece in dict.fromkeys(_pieces(text)):
        try:
            return model.model_validate(_loaded(piece))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()[:8]]
            unfit = unfit or "; ".join(lines)
        except RecursionError:
            unread = unread or "the answer is nested too deeply"
        except ValueError as error:
            unread = unread or f"the answer is not valid JSON: {error}"
    raise ValueError(unfit or (unread if "{" in text else "the answer holds no JSON object"))


def _loaded(piece: str) -> object:
    """A text as JSON. Raises ValueError, also for NaN and Infinity, which JSON does not have."""

    def refuse(name: str) -> object:
        raise ValueError(f"{name} is no JSON; write a number, or null")

    return json.loads(piece, parse_constant=refuse)


def _complete(text: str) -> bool:
    """Whether a text is JSON to its end: some models go on with white space after it."""
    try:
        _loaded(text.strip())
    except (ValueError, RecursionError):
        return False
    return True


def _usable(reply: Reply, cut: bool) -> str:
    if reply.finish is Finish.REFUSED:
        raise ValueError(f"the model refused to answer: {reply.text[:200]}")
    if reply.finish is Finish.LENGTH and not (cut and reply.text.strip()):
        raise ValueError("the answer was cut off at its limit of tokens; answer more briefly")
    if not reply.text.strip():
        raise ValueError("the answer was empty")
    return reply.text


def _objection(problem: str) -> str:
    return f"That answer cannot be used: {problem}\nAnswer again, in full, in the format that was asked for."


def _remembered(reply: Reply) -> str:
    """What of an answer the model is shown again; of one that was cut off only the beginning, for it may be long."""
    if reply.finish is Finish.LENGTH and len(reply.text) > CUT_OFF:
        return f"{reply.text[:CUT_OFF]}\n[...]"
    return reply.text if reply.text.strip() else "(an empty answer)"


def _pieces(text: str) -> Iterator[str]:
    """Where the JSON may be: the whole text, each fenced block, the outermost braces, each object that parses."""
    yield text.strip()
    yield from (found.group(2) for found in _FENCED.finditer(text))
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield text[start : end + 1]
    for _ in range(MOST_OBJECTS):
        if start < 0:
            return
        try:
            _, end = _DECODER.raw_decode(text, start)
            yield text[start:end]
        except (ValueError, RecursionError):
            if _BEGUN.match(text, start):
                return  # an object that is broken: what stands inside it is only a part of the answer
            end = start + 1
        start = text.find("{", end)
