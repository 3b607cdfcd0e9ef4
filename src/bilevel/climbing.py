"""An ask of an outer loop: what it wants to try climbs the ladder first, and what it climbed is kept for the record."""

from dataclasses import dataclass, field

from bilevel.acts import UNSTEERED, Steering
from bilevel.lab import Traces
from bilevel.space import Candidate
from bilevel.task import Climbing, Rules, Steerable, Task
from bilevel.trace import Trace
from bilevel.trial import Climb

FAILED = frozenset(("refused", "inert"))
WHERE = {"door": "at the door", "replay": "when the search so far was replayed", "rehearsal": "in rehearsal"}


@dataclass
class Climber:
    """A task's rules as one ask sees them, with the ladder behind them. Each candidate climbs once."""

    task: Task
    traces: Traces
    state: str | None
    steering: Steering = UNSTEERED
    climbs: list[Climb] = field(default_factory=list)
    _problems: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def remembers(self) -> bool:
        return self.task.remembers

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """What the task's rules say against a candidate; where they say nothing, on which rung it failed, and why."""
        key = (candidate.id, parent.id)
        if key not in self._problems:
            barred = self.task.barred(candidate, parent, self.steering) if isinstance(self.task, Steerable) else []
            problems = self.task.problems(candidate, parent) or barred
            self._problems[key] = problems or self._climb(candidate, parent)
        return self._problems[key]

    def _climb(self, candidate: Candidate, parent: Candidate) -> list[str]:
        assert isinstance(self.task, Climbing)
        climbs = self.task.climb(candidate, parent, self.traces, self.state)
        self.climbs += climbs
        return [
            f"mechanism {climb.mechanism!r} was {_failed(climb.outcome)} {WHERE[climb.rung]}: {climb.reason}"
            for climb in climbs
            if climb.outcome in FAILED
        ]


def rules_for(task: Task, traces: Traces, trace: Trace) -> Rules:
    """The task itself, or a Climber in front of it where its candidates hold mechanisms."""
    return Climber(task, traces, trace.state, trace.steering) if isinstance(task, Climbing) else task


def _failed(outcome: str) -> str:
    return "refused" if outcome == "refused" else "found inert"
