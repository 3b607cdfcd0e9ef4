"""All that a researcher or a mechanism may know. The same at every level of the hierarchy."""

import random
from dataclasses import dataclass, replace
from typing import Any

from bilevel.call import Ask, Message, Reply, Request
from bilevel.codec import derive_seed
from bilevel.errors import GuestError
from bilevel.objective import Objective
from bilevel.settings import Settings
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.trial import Lesson, Pending, TurnedBack


@dataclass(frozen=True)
class Block:
    """A piece of advice: who says it, the text, and how important it is (higher comes first)."""

    source: str
    text: str
    priority: int = 0


@dataclass(frozen=True)
class Briefing:
    """What a researcher is told beyond the view: advice, how much history, guidance, and what was turned back so far.

    `attempt` counts how often it was asked for this trial already; `register` names a manner of speaking.
    """

    blocks: tuple[Block, ...] = ()
    history_window: int = 0
    guidance: str = ""
    register: str = "plain"
    attempt: int = 0
    turned_back: tuple[TurnedBack, ...] = ()

    def with_block(self, source: str, text: str, priority: int = 0) -> "Briefing":
        return replace(self, blocks=(*self.blocks, Block(source, text, priority)))


@dataclass(frozen=True)
class Below:
    """The innermost loop as an outer level sees it. What is in force there is the outer loop's current candidate.

    `trials`: how many of its trials one run of the outer task takes, per arm: what is tried must show within them.
    """

    trace: Trace
    space: Space
    reads_advice: bool
    objective: Objective
    brief: str
    trials: int


@dataclass(frozen=True)
class View:
    """A pinned look at a search. `number` is the trial that is being asked for; `trials_left` counts it.

    `brief` is the task's, `told` what a person wrote meanwhile (guidance.md). `lessons` are those of the trials before.
    `turned_back`: the drafts of this trial that were not let through so far, and why, where it is asked for again.
    `rungs` are the names of the task's rungs, the cheapest first, up to the one that scores.
    `below` is set where the task is itself a loop. `memory` is what the guest's own `remember` made of the trace.
    Nothing here depends on time, and a model's answers are recorded, so a guest that is a function of its view replays
    exactly.
    """

    number: int
    seed: int
    brief: str
    objective: Objective
    space: Space
    settings: Settings
    trace: Trace
    pending: tuple[Pending, ...] = ()
    trials_left: int | None = None
    memory: Any = None
    below: Below | None = None
    told: str = ""
    lessons: tuple[Lesson, ...] = ()
    turned_back: tuple[TurnedBack, ...] = ()
    asks: Ask | None = None
    rungs: tuple[str, ...] = ()

    def rng(self, name: str) -> random.Random:
        """A generator of random numbers that depends on (seed, trial number, name) only."""
        return random.Random(derive_seed(self.seed, self.number, name))

    def ask(self, prompt: str, key: str) -> str:
        """A language model's answer. Raises GuestError where the run has no model."""
        return self.call(Request((Message("user", prompt),)), key).text

    def call(self, request: Request, purpose: str, repeat: int = 0) -> Reply:
        """A language model's reply; metered, recorded, and asked once for the same request, purpose and `repeat`.

        Raises GuestError where the run has no model for this level.
        """
        if self.asks is None:
            raise GuestError("view.ask: this run has no language model; write the mechanism without view.ask")
        return self.asks(request, purpose, derive_seed(self.seed, self.number, purpose, repeat), repeat)
