"""What is wrong with what a task measures beside its objective: guardrails and further objectives."""

from collections.abc import Collection, Iterator

from bilevel.guardrails import BUILT_IN, DIFF, MEMORY
from bilevel.objective import Objective


def beside_problems(
    objective: Objective, metrics: Collection[str] | None, without: Collection[str] = ()
) -> Iterator[str]:
    """One sentence for each problem, with its key. `metrics` are those that the search may see; None if any may come.
    `without`: built-in metrics that such a task cannot have."""
    asked = [(f"guardrails.{one.metric}", one.metric) for one in objective.guardrails]
    asked += [(f"also.{one.name}", one.name) for one in objective.also]
    for guardrail in objective.guardrails:
        if guardrail.problem:
            yield f"guardrails.{guardrail.metric}: {guardrail.problem}"
    for key, name in asked:
        if name in without:
            yield f"{key}: {name} is not known of such a task"
        elif metrics is not None and name not in (*metrics, *BUILT_IN):
            yield (
                f"{key}: there is no table [metrics.{name}] that the search may see, and it is none of "
                f"{', '.join(BUILT_IN)}"
            )
    for name in metrics or ():
        if name in BUILT_IN:
            yield f"metrics.{name}: this name is kept for what the host measures itself; choose another"
    names = [objective.name, *(one.name for one in objective.also)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"also.{name}: is an objective twice"


NO_FILES = DIFF
IN_PROCESS = (*DIFF, MEMORY)
