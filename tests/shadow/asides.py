"""A researcher that costs something, models with and without noise, and mechanisms that advise it."""

import hashlib
import json
import random
from dataclasses import dataclass, field, replace

from tiny import TinyTask, spec_of

from bilevel.call import Message, Reply, Request
from bilevel.errors import UnusableReply
from bilevel.lab import Lab
from bilevel.loop import Loop
from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal

NOISE = TinyTask(noise=0.02)


@dataclass
class Sampler:
    """A model that draws a change, and follows advice that begins with "listen"; other advice is nothing to it.

    `seeded`: the draw depends on the seed too. `sampled`: on the seed and every character that it reads, as with models
    that sample. `fails_at`: the number of the question at which it raises `failure`.
    """

    seeded: bool = False
    sampled: bool = False
    fails_at: int = 0
    failure: BaseException | None = None
    name: str = "test:sampler"
    asked: list = field(default_factory=list)

    def complete(self, request, seed, watch):
        self.asked.append((request, seed))
        if len(self.asked) == self.fails_at:
            raise self.failure
        question = json.loads(request.messages[0].text)
        told = [text for text in question["advice"] if text.startswith("listen")]
        if any("nothing" in text for text in told):
            return Reply("", self.name, tokens_in=10, money=0.25)
        parts = [question["trial"], question["attempt"], told, *([seed] if self.seeded else [])]
        parts = [request.messages[0].text, seed] if self.sampled else parts
        rng = random.Random(hashlib.sha256(json.dumps(parts).encode()).hexdigest())
        change = {"shift": round(rng.uniform(-2, 3), 4)}
        if told:
            change |= {"rate": round(rng.uniform(0.001, 1), 4)}
        return Reply(json.dumps(change), self.name, tokens_in=10, tokens_out=5, money=0.25)


@dataclass(frozen=True)
class Reads:
    """Asks its model what to change, and tells it the advice. It fails where its briefing lacks a word."""

    name: str = "reads"
    reads_advice: bool = True
    free: bool = False
    fails_without: str = ""

    def propose(self, view, parent, briefing):
        advice = [block.text for block in briefing.blocks]
        if self.fails_without and self.fails_without not in " ".join(advice):
            raise UnusableReply("propose: the model's answer could not be used")
        history = [trial.candidate.id for trial in view.trace]
        question = {"trial": view.number, "attempt": briefing.attempt, "advice": advice, "history": history}
        reply = view.call(Request((Message("user", json.dumps(question)),)), "propose")
        if not reply.text:
            return []
        return [Proposal(parent.with_params(**json.loads(reply.text)), "as I was told")]


@dataclass(frozen=True)
class Learns(Reads):
    """Draws lessons, and never can."""

    def learn(self, view):
        raise UnusableReply("lessons: the model's answer could not be used")


@dataclass(frozen=True)
class Gated(Reads):
    """Its pass ends, on the record, where it is advised; it fails without a record where `silent`."""

    silent: bool = False

    def propose(self, view, parent, briefing):
        if briefing.blocks:
            error = UnusableReply("analysis: the model's answer could not be used")
            error.notes = {} if self.silent else {"steps": {"analysis": [1, 3, 0, 0, 0, 1]}}
            raise error
        return super().propose(view, parent, briefing)


class Listen(Mechanism):
    """Advice that the model follows."""

    def advise(self, view, briefing):
        return briefing.with_block("listen", "listen: try another rate")


class Hello(Mechanism):
    """Advice that says nothing."""

    def advise(self, view, briefing):
        return briefing.with_block("hello", f"hello, this is trial {view.number}")


class Undone(Mechanism):
    """Advice that `Silence`, after it, takes away."""

    def advise(self, view, briefing):
        return briefing.with_block("undone", "gone before it is read")


class Silence(Mechanism):
    def advise(self, view, briefing):
        return replace(briefing, blocks=tuple(block for block in briefing.blocks if block.source != "undone"))


def searched(model, *mechanisms, researcher=None, trials=6, store=None, limits=None, **options):
    """A search with a model, and its lab."""
    given = {"store": store} if store is not None else {}
    lab = Lab(models={"inner": model}, **given, **({"limits": limits} if limits else {}))
    spec = spec_of(NOISE, researcher or Reads(), *mechanisms, trials=trials, **options)
    return Loop(spec, lab).run(), lab


def purposes(lab):
    return [call.purpose for call in lab.store.calls()]


def kinds(trial):
    return [(shadow.mechanism, shadow.kind) for shadow in trial.shadows]
