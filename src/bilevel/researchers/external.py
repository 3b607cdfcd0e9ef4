"""A researcher that is whoever drives the loop from outside: a program, an agent, a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from bilevel.call import Message, Request
from bilevel.codec import build, canonical, content_hash
from bilevel.errors import InputError
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import Briefing, View


@dataclass(frozen=True)
class External:
    """Asks the caller, through `view.call`: so each answer is recorded, and both arms of a fork share it.

    The question names what the answer depends on; the caller is told all of it by `bilevel suggest`. The answer is JSON
    with `params`, `files`, `why` and `author`. Raises InputError where nobody is there to ask.
    """

    name: str = field(default="external", init=False)
    reads_advice: bool = field(default=True, init=False)
    free: bool = field(default=False, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        if view.asks is None:
            raise InputError(
                "the proposals of this run come from outside: `bilevel suggest RUN` gives the briefing, `bilevel "
                "propose RUN` takes the proposal"
            )
        reply = view.call(Request((Message("user", question(view, parent, briefing)),)), "proposal", briefing.attempt)
        answer = json.loads(reply.text)
        candidate = build(Candidate, {"params": answer["params"], "files": answer["files"]})
        return [Proposal(candidate, answer["why"], answer["author"] or self.name)]


def question(view: View, parent: Candidate, briefing: Briefing) -> str:
    """What is asked, as text: equal for equal situations, and for no others."""
    space = view.space
    facts = {
        "trial": view.number,
        "after": view.trace.fingerprint(),
        "parent": parent.id,
        "space": content_hash([dict(space.domains), dict(space.frozen), dict(space.caps), dict(space.weights)]),
        "briefing": content_hash(briefing),
    }
    return canonical(facts)
