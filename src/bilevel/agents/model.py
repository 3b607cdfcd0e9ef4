"""A coding agent behind the port of a language model: so it is recorded, metered, resumed and replayed like one.

The request's first message is the briefing. The second is JSON, what to start from:

    {"params": {...}, "files": {path: text}, "edited": {path: text}}

`files` are those of the candidate that differ from the task's start; `edited` (may be left out) lie in the working copy
as changes that are not committed yet. The reply's text is JSON too, what came back:

    {"files": {path: text}, "proposal": {...}, "refused": [{"kind", "path", "why"}], "ended": "...", "said": "..."}

`files` are those that differ from what the agent was given, and may; `proposal` is what it wrote of its change into
PROPOSAL.json; `refused` what was not taken; `ended` how it ended, `said` the last of what it printed: untrusted text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bilevel.agents.allowance import Allowance
from bilevel.agents.presets import Agent, find_program
from bilevel.agents.taking import Kind, Refused, Rules, Taken, told
from bilevel.agents.usage import Usage, usage_in
from bilevel.agents.workcopy import BRIEFING, IDENTITY, PROPOSAL, Export, Start, WorkCopy, working_copy
from bilevel.call import Finish, Reply, Request, Watch
from bilevel.codec import build, canonical
from bilevel.errors import InputError, Stopped
from bilevel.execution import process
from bilevel.execution.environment import allowed
from bilevel.execution.outcome import Ending, Limits, Outcome

SAID = 4000  # characters of what an agent printed that are kept
PROMPT = (
    f"Read the file {BRIEFING} in this folder and do what it asks, by editing files in this folder. "
    "Nobody can answer questions: decide yourself, and end when you are done."
)


@dataclass(frozen=True)
class AgentLimits:
    """What one call of an agent may use: seconds of wall time, bytes of memory of all its processes together, bytes
    that it prints, and what it may hold on disk in its folders."""

    seconds: float = 1800.0
    memory_bytes: int = 8 << 30
    output_bytes: int = 32 << 20
    disk_bytes: int = 2 << 30
    disk_files: int = 100_000

    def __post_init__(self) -> None:
        Limits(self.seconds, self.seconds, self.memory_bytes, self.output_bytes, self.disk_bytes)

    @property
    def of_processes(self) -> Limits:
        cores = 1024  # wall time is what bounds an agent
        return Limits(self.seconds, self.seconds * cores, self.memory_bytes, self.output_bytes, self.disk_bytes)


@dataclass(frozen=True)
class AgentModel:
    """A coding agent as a model; see this module's docstring for its requests and replies.

    `export` writes a candidate's whole tree into an empty folder. `variables` is all that the agent's environment has
    beside PATH, a HOME of its own and the like. `root` is where its folders are made (the system's place for temporary
    files if not given). What an agent does wrong is in the reply; `complete` raises InputError where its program is not
    there, Stopped where it was cancelled, HarnessError where our own machinery fails.

    Not covered: an agent is a program of the same user, in no sandbox: it has the network, and reads what the user can.
    """

    agent: Agent
    export: Export
    rules: Rules = Rules()
    limits: AgentLimits = AgentLimits()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    root: Path | None = None

    @property
    def name(self) -> str:
        return self.agent.name

    def check(self) -> None:
        """Raises InputError where the agent could not be run."""
        find_program(self.agent)

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        """Run the agent on a briefing. `seed` is not passed on: no agent takes one."""
        try:
            briefing, start = _errand(request)
        except ValueError as error:
            return Reply(f"a coding agent answers briefings only: {error}", self.name, finish=Finish.REFUSED)
        with working_copy(self.export, start, briefing, self.root) as copy:
            allowance = Allowance(copy.folder, watch.cancel, self.limits.disk_bytes, self.limits.disk_files)
            outcome = process.run(
                self.agent.command(PROMPT, BRIEFING),
                cwd=copy.work,
                env=self._environment(copy),
                limits=self.limits.of_processes,
                cancel=allowance,
            )
            if outcome.ending is Ending.CANCELLED and not allowance.spent:
                raise Stopped(f"{self.name} was ended with the run; a resume asks it again")
            if outcome.ending is Ending.NOT_STARTED:
                raise InputError(f"{self.name}: {outcome.stderr[:300]}; install it, or give another --agent")
            allowance.look()
            ended = self._ended(outcome, allowance.spent)
            taken = copy.take_back(self.rules)
            proposal = _proposal(copy, taken)
            if ended:
                taken.refuse(Kind.LIMIT, "", f"{ended}; what it had changed by then is taken")
        return self._reply(taken, proposal, ended or f"exit code {outcome.exit_code}", outcome)

    def _environment(self, copy: WorkCopy) -> dict[str, str]:
        return {**allowed(scratch=copy.scratch), **IDENTITY, **self.variables}

    def _ended(self, outcome: Outcome, spent: str) -> str:
        """Why it was ended by us, or by something else; empty where it ended by itself."""
        limits = self.limits
        reasons = {
            Ending.WALL_LIMIT: f"it was ended at its limit of {limits.seconds:g} seconds",
            Ending.CPU_LIMIT: "it was ended at its limit of CPU time",
            Ending.MEMORY_LIMIT: f"it was ended at its limit of {limits.memory_bytes / 2**20:.0f} MiB of memory",
            Ending.OUTPUT_LIMIT: f"it was ended after printing more than {limits.output_bytes} bytes",
            Ending.FILE_LIMIT: f"it was ended after writing a file of more than {limits.disk_bytes} bytes",
            Ending.CRASHED: f"it crashed with signal {outcome.signal}",
            Ending.KILLED: "it was killed, not by us",
            Ending.DISK_FULL: "it failed, and the disk is full",
        }
        return spent or reasons.get(outcome.ending, "")

    def _reply(self, taken: Taken, proposal: Mapping[str, Any], ended: str, outcome: Outcome) -> Reply:
        used = usage_in(outcome.stdout)
        refused = [{"kind": item.kind.value, "path": item.path, "why": item.why} for item in told(taken.refused)]
        answer = {
            "files": taken.files,
            "proposal": proposal,
            "refused": refused,
            "ended": ended,
            "said": _last_words(used, outcome),
        }
        finish = Finish.LENGTH if outcome.ending is Ending.WALL_LIMIT else Finish.STOP
        if not taken.files and not proposal:
            finish = Finish.REFUSED
        return Reply(canonical(answer), self.name, "", finish, used.tokens_in, used.tokens_out, used.money)


def _errand(request: Request) -> tuple[str, Start]:
    """The briefing, and what to start from. Raises ValueError for a request that is something else."""
    if len(request.messages) != 2:
        raise ValueError(f"two messages are needed, a briefing and what to start from, not {len(request.messages)}")
    try:
        data = json.loads(request.messages[1].text)
    except (ValueError, RecursionError):
        raise ValueError("the second message is no JSON") from None
    if not isinstance(data, dict) or not {"params", "files"} <= data.keys() <= {"params", "files", "edited"}:
        raise ValueError("the second message must have `params` and `files`, and may have `edited`")
    texts = (data["files"], data.get("edited", {}))
    if not isinstance(data["params"], dict) or not all(isinstance(text, dict) for text in texts):
        raise ValueError("`params`, `files` and `edited` must be JSON objects")
    return request.messages[0].text, Start(build(Mapping[str, Any], data["params"]), *texts)


def _proposal(copy: WorkCopy, taken: Taken) -> dict[str, Any]:
    """What the agent says of its change, as JSON that can be stored; what cannot be read is refused."""
    try:
        proposal = copy.proposal()
        canonical(proposal).encode("utf-8")
    except (ValueError, TypeError, OSError, RecursionError) as error:
        taken.refused.append(Refused(Kind.PROPOSAL, PROPOSAL, f"it cannot be used: {error}"))
        return {}
    return proposal


def _last_words(used: Usage, outcome: Outcome) -> str:
    """The agent's own last message where its output marks one, else the end of what it printed."""
    text = used.said.strip() or outcome.tail(60)
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)[-SAID:]
