"""Task: make articles better. A language model judges each by a rubric of five dimensions, through `bench.judge`.

The judge is sent the rubric and one article, nothing of the search. An article's reply belongs to its text and the
evaluation seed, so an article that a candidate left alone is judged once for each seed.
"""

import functools
import importlib.resources
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bilevel.budget import Cost
from bilevel.call import Event, Finish, Message, Request
from bilevel.codec import content_hash
from bilevel.errors import ContextOverflow, GuestError, InputError
from bilevel.lab import Bench
from bilevel.objective import Objective
from bilevel.space import Candidate
from bilevel.task import Judging
from bilevel.tasks import texts
from bilevel.tasks.texts import TextTask, kept
from bilevel.trial import Run, Status

T = TypeVar("T")
DIMENSIONS = ("rigour", "clarity", "consistency", "insight", "actionability")
RUBRIC, PAIRWISE = "rubric.md", "pairwise.md"
FOLDER = "article"
REASKS = 2  # how often an answer of the judge that cannot be used is asked for again
LONGER = 1.6  # times as long as it was: what a guardrail lets an article become
VERSION = 2  # of how replies become scores, and of what guardrails count
BRIEF = """Make these articles better: more rigorous, clearer in their notions, more consistent, with more insight,
and easier to act on. Each article is judged for itself; the score is the mean. Keep every fact: numbers, code and links
stay as they are, nothing is invented, the length stays between 0.7 and 1.6 of what it was.

Guidance that is meant for one step begins its line with the step's name and a colon: analysis, hypotheses, plan,
assessment, revision. Change it for one step at a time: each is measured alone."""


@dataclass(frozen=True)
class ArticleTask(TextTask):
    """The task over articles; `article` makes it. `rubric` and `pairwise` are what the judge is told."""

    rubric: str = field(default="")
    pairwise: str = field(default="")

    @functools.cached_property
    def harness(self) -> str:
        """Changes with the articles, the objective, the rubric, and how replies become scores."""
        told = [self.rubric, self.pairwise, _schema(), VERSION]
        return content_hash([self.name, dict(self.texts), self.objective, told])[:16]

    @property
    def judging(self) -> Judging:
        """Each article for itself; later the one that was revised, and in a comparison both orders of it."""
        longest = max(len(fenced(text)) for text in self.texts.values())
        shown = max(len(self.rubric) + LONGER * longest, len(self.pairwise) + (1 + LONGER) * longest)
        return Judging(len(self.texts), 1, 2, int(shown), Request(()).most_tokens)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Have each article judged once; the score is the mean over the articles, of the mean over the dimensions.

        A judge whose answers cannot be used is the harness's failure and never the candidate's; an article that is too
        long for it is the candidate's.
        """
        if wrong := self.problems(candidate, candidate):
            return Run(bench.rung, bench.seed, Status.REFUSED, log="; ".join(wrong))
        judged: dict[str, Mapping[str, float]] = {}
        for name in self.texts:
            try:
                judged[name] = self._judged(candidate.files[name], bench, name)
            except ContextOverflow as error:  # a GuestError too
                return Run(
                    bench.rung, bench.seed, Status.INVALID_METRIC, log=f"{name}: too long for the judge: {error}"
                )
            except GuestError as error:
                raise InputError(
                    f"task {self.name!r} is judged by a language model, and none is named: give --model "
                    "judge=PROVIDER:MODEL, or --model PROVIDER:MODEL for all levels"
                ) from error
            except ValueError as error:
                log = f"{name}: the judge's answer could not be used: {error}"
                return Run(bench.rung, bench.seed, Status.INFRASTRUCTURE, cost=Cost(1), log=log)
        metrics = {key: sum(one[key] for one in judged.values()) / len(judged) for key in DIMENSIONS}
        score = sum(metrics.values()) / len(metrics)
        each = {f"of {name}": sum(one.values()) / len(one) for name, one in judged.items()}
        return Run(
            bench.rung, bench.seed, Status.OK, {"score": score, **metrics, **each, **self.losses(candidate)}, Cost(1)
        )

    def check(self, run_baseline: bool = False) -> list[str]:
        """What is wrong with the articles; nothing is judged here."""
        return self.problems(self.baseline(), self.baseline())

    def _judged(self, text: str, bench: Bench, name: str) -> dict[str, float]:
        """The five scores of an article. Raises ValueError where no answer can be used, ContextOverflow."""
        request = Request((Message("system", self.rubric), Message("user", fenced(text))), _schema())
        return _asked(bench, request, f"judge {name}", _scores)

    def worse(self, candidate: Candidate, other: Candidate, bench: Bench) -> str:
        """Why a candidate may not take another's place: the judge, shown both texts of each article that differs, in
        both orders, prefers the other's in more articles than the candidate's. Empty where it does not.

        A preference that turns with the order is none. Where the judge gives no answer that can be used, an event says
        so, and the scores alone decide.
        """
        balance, said = 0, list[str]()
        for name in candidate.files_changed_from(other):
            mine, theirs = candidate.files.get(name, ""), other.files.get(name, "")
            try:
                votes = [self._preferred(mine, theirs, bench, name), -self._preferred(theirs, mine, bench, name)]
            except (ValueError, ContextOverflow) as error:
                text = (
                    f"trial {bench.number}, {name}: not held beside what it would replace, by its score alone: {error}"
                )
                bench.lab.store.add_event(Event(time.time(), "comparison", "judge", text[:500]))
                continue
            if sum(votes) == 2 or sum(votes) == -2:
                balance += sum(votes) // 2
                said.append(f"{name}: {'the new one' if votes[0] > 0 else 'the old one'} in both orders")
        return f"the judge prefers the old text ({'; '.join(said)})" if balance < 0 else ""

    def _preferred(self, first: str, second: str, bench: Bench, name: str) -> int:
        """1 where the judge prefers the first of two texts, -1 the second, 0 neither. Raises ValueError where no answer
        can be used, ContextOverflow."""
        schema = {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "maxLength": 600},
                "better": {"type": "string", "enum": ["first", "second", "tie"]},
            },
            "required": ["reason", "better"],
            "additionalProperties": False,
        }
        marked = content_hash([first, second])  # of both: neither can hold it
        shown = f"The first:\n{fenced(first, marked)}\n\nThe second:\n{fenced(second, marked)}"
        request = Request((Message("system", self.pairwise), Message("user", shown)), schema)

        def read(data: Mapping[str, Any]) -> int:
            found = {"first": 1, "second": -1, "tie": 0}.get(str(data.get("better")))
            if found is None:
                raise ValueError('"better" must be "first", "second" or "tie"')
            return found

        return _asked(bench, request, f"compare {name}", read)


def article(files: str = "") -> ArticleTask:
    """The task over text files, by paths with commas between, or over the three that are shipped.

    Raises InputError for one that cannot be read.
    """
    folder = importlib.resources.files("bilevel.catalog") / "tasks" / FOLDER
    told = {name: folder.joinpath(name).read_text("utf-8") for name in (RUBRIC, PAIRWISE)}
    if files:
        found = texts.read([Path(part.strip()) for part in files.split(",") if part.strip()], "article")
        if not found:
            raise InputError("task 'article' is given no file; write article:FILE,FILE, or article alone")
    else:
        shipped = [entry for entry in folder.iterdir() if entry.name.endswith(".md") and entry.name not in told]
        found = {entry.name: entry.read_text("utf-8") for entry in sorted(shipped, key=lambda entry: entry.name)}
    objective = Objective("score", "points of 10", minimize=False, guardrails=kept(longer=LONGER - 1.0, words=0.35))
    return ArticleTask("article", found, objective, BRIEF, rubric=told[RUBRIC], pairwise=told[PAIRWISE])


def fenced(text: str, number: str = "") -> str:
    """A text between two lines that it cannot hold: their number is its own hash, or one of more than it."""
    mark = f"===== {(number or content_hash(text))[:16]}"
    return f"{mark} begins\n{text.rstrip()}\n{mark} ends"


def _asked(bench: Bench, request: Request, purpose: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    """What `read` makes of the judge's answer, which is asked for again where it cannot be used. Raises ValueError."""
    problem = ""
    for attempt in range(REASKS + 1):
        reply = bench.judge(request, f"{purpose}/re-ask {attempt}" if attempt else purpose)
        try:
            if reply.finish is Finish.REFUSED:
                raise ValueError("the judge refused")
            start, end = reply.text.find("{"), reply.text.rfind("}")
            data = json.loads(reply.text[start : end + 1])
            if not isinstance(data, dict):
                raise ValueError("the answer is no JSON object")
            return read(data)
        except (ValueError, RecursionError) as error:
            problem = str(error)
        request = request.then(reply.text or "(empty)", f"That cannot be used: {problem}. Answer again with the JSON.")
    raise ValueError(problem)


def _scores(data: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in DIMENSIONS:
        entry = data.get(name)
        value = entry.get("score") if isinstance(entry, dict) else None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10:
            raise ValueError(f"{name}.score must be a whole number from 1 to 10")
        found[name] = float(value)
    return found


def _schema() -> dict[str, Any]:
    """The judge's answer: for each dimension a reason, then the score."""
    entry = {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": 600},
            "score": {"type": "integer", "minimum": 1, "maximum": 10},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(DIMENSIONS, entry),
        "required": list(DIMENSIONS),
        "additionalProperties": False,
    }
