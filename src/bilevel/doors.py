"""The door of a run: mechanisms are tried behind the same walls that they will live behind.

sandboxed_door(sandbox)        a Door whose suite runs in a sandboxed process, and which looks across the wall
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from bilevel.admission import Admission, Door, problems_of
from bilevel.mechanism import Guest
from bilevel.rollout import judged_across
from bilevel.sandbox.cell import Cell, CellFault, CellLimits
from bilevel.sandbox.proxy import Sandbox, preloaded
from bilevel.step_suite import step_seen_across
from bilevel.workflow_step import is_step

ENTRY = "bilevel.admission:handle"
LIMITS = CellLimits(call_cpu_seconds=40.0, call_wall_seconds=240.0, purse_seconds=40.0, wait_seconds=200.0)
"""The last resort for the whole suite, which ends a hook long before by a limit that knows the machine's pace."""


_ADMITTED: dict[tuple[str, CellLimits], dict[str, Admission]] = {}


def sandboxed_door(
    sandbox: Sandbox,
    known: Mapping[str, Admission] = MappingProxyType({}),
    keep: Callable[[str, Admission], object] = lambda key, admission: None,
) -> Door:
    """A door at the sandbox's level: each source is tried in a process of its own, and then seen from here.

    `known` are verdicts given earlier, by `admission.source_key`, and `keep` is told of each new one: a run that stores
    them decides the same when it goes on. What a door at the same level, with the same limits, admitted in this process
    is admitted. Raises InputError, when a guest comes, where the machine has not that level.
    """
    return Door(partial(_tried, sandbox), partial(_seen, sandbox), known, keep, partial(_shared, sandbox))


def _shared(sandbox: Sandbox) -> dict[str, Admission]:
    return _ADMITTED.setdefault((sandbox.in_force, sandbox.limits), {})


def _seen(sandbox: Sandbox, guest: Guest) -> list[str]:
    across = step_seen_across if is_step(guest.source) else judged_across
    return across(lambda: Sandbox(sandbox.in_force, sandbox.limits), guest)


def _tried(sandbox: Sandbox, source: str) -> list[str]:
    """What the suite says in a sandboxed process, or how that ended and what was tried then."""
    trying = ["the text itself"]

    def told(what: object) -> None:
        if isinstance(what, dict):
            trying.append(str(what.get("trying"))[:200])

    with Cell(ENTRY, sandbox.in_force, LIMITS, preloaded(source)) as cell:
        try:
            reply = cell.call({"source": source}, told)
        except CellFault as fault:
            return [f"{trying[-1]}: {fault}; {_way_out(fault)}"]
    match reply:
        case {"problems": [*problems]}:
            return problems_of({"problems": problems})
        case {"failed": str(text)}:
            return problems_of({"failed": text})
    return ["the text itself: " + _way_out(CellFault("protocol", ""))]


def _way_out(fault: CellFault) -> str:
    match fault.cause:
        case "cpu" | "purse" | "wall" | "wait":
            return "a hook never ends, waits, or is far too slow"
        case "reply" | "protocol" | "talk":
            return "a mechanism speaks to the host by what its hooks return, and in no other way"
    return "a hook returns, whatever happens, and takes no more memory than a process may have"
