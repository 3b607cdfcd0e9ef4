"""Options of the command line in place of single keys of a recipe."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bilevel.errors import InputError
from bilevel.recipe import BY_RULES, INNER_BY_RULES, LEVEL_NAMES, GateTable, Recipe, validated


def override(
    recipe: Recipe,
    *,
    task: str | None = None,
    researcher: str | None = None,
    agent: str | None = None,
    trials: int | None = None,
    inner_budget: int | None = None,
    outer_cycles: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    warm: bool | None = None,
    rung: str | None = None,
    noise: str | None = None,
    keep: str | None = None,
    models: Sequence[str] = (),
    limits: Mapping[str, float | None] = MappingProxyType({}),
    gate: Sequence[str] = (),
) -> Recipe:
    """The recipe with the options that were given.

    `trials` is the whole run's number of measurements; in a nested recipe the outermost level then goes on for as many
    cycles as it pays for, unless `outer_cycles` says how many. `inner_budget`: trials of the innermost loop per cycle.
    `models`: "provider:model" for all levels, "LEVEL=provider:model" for one. `limits`: keys of LimitsTable. `agent`: a
    coding agent's name or command line, which then is the innermost loop's researcher.
    """
    data = recipe.model_dump()
    if agent is not None:
        data["agent"]["command"] = agent
        researcher = researcher or "agent"
    if researcher is not None:
        data["inner"]["researcher"] = researcher
    _override_models(data, recipe, models, researcher)
    data["gate"] |= _gate(gate)
    data["limits"] |= {name: value for name, value in limits.items() if value is not None}
    for key, value in (("task", task), ("seed", seed), ("workers", workers), ("warm", warm)):
        if value is not None:
            data[key] = value
    for key, value in (("rung", rung), ("noise", noise), ("keep", keep)):
        if value is not None:
            data["inner"][key] = value
    if not recipe.nested:
        if inner_budget is not None or outer_cycles is not None:
            raise InputError(f"recipe {recipe.name!r} has one level: use --trials instead of an inner or outer budget")
        if trials is not None:
            data["inner"]["trials"] = trials
    else:
        data["outer"] = [dict(level) for level in data["outer"]]
        if inner_budget is not None:
            data["outer"][0]["trials"] = inner_budget
        if trials is not None:
            data["evaluations"] = trials
            data["outer"][-1]["cycles"] = trials
        if outer_cycles is not None:
            data["outer"][-1]["cycles"] = outer_cycles
    return validated(data, "the command line")


def _gate(named: Sequence[str]) -> dict[str, Any]:
    """The keys of the gate that options name: keep, mechanism, or NAME=AMOUNT."""
    found: dict[str, Any] = {}
    for text in named:
        name, equals, amount = text.partition("=")
        switch = name in ("keep", "mechanism") and text != "keep=outermost"
        if name not in GateTable.model_fields or switch == bool(equals):
            raise InputError(
                f"--gate {text!r} cannot be used; write keep, keep=outermost, mechanism, or one of evaluations=N, "
                "seconds=N, tokens=N, money=N, wait=SECONDS"
            )
        found[name] = amount if equals else True
    return found


def _override_models(data: dict[str, Any], recipe: Recipe, models: Sequence[str], researcher: str | None) -> None:
    """Put models in force, and the researchers that ask them: not in place of one that the recipe names as an arm."""
    chosen = set()
    for text in models:
        level, equals, name = text.partition("=")
        level, name = (level, name) if equals else ("default", text)
        if level not in ("default", *LEVEL_NAMES) or ":" not in name:
            raise InputError(
                f"--model {text!r} cannot be used; write PROVIDER:MODEL, or LEVEL=PROVIDER:MODEL with one of the "
                f"levels {', '.join(LEVEL_NAMES)} (`bilevel models` lists the providers)"
            )
        there = [*(table.level for table in recipe.outer), "inner", "judge", "default"]
        if level not in there:
            raise InputError(
                f"--model {text!r}: recipe {recipe.name!r} has no level {level!r}, so nothing would ask it"
            )
        data["models"][level] = name
        chosen.add(level)
    if not chosen:
        return
    named = "researcher" in recipe.inner.model_fields_set and recipe.inner.researcher not in INNER_BY_RULES
    if chosen & {"default", "inner"} and researcher is None and not named:
        data["inner"]["researcher"] = "llm"
    outer = [dict(table) for table in data["outer"]]
    for table in outer:
        if chosen & {"default", table["level"]} and table["researcher"] in BY_RULES and not table["offers"]:
            table["researcher"] = "llm"
    data["outer"] = outer
    asking = {data["inner"]["researcher"], *(table["researcher"] for table in outer)}
    if chosen != {"judge"} and asking.isdisjoint(("llm", "workflow")):
        raise InputError(
            f"recipe {recipe.name!r} names its researchers, so --model would change nothing; use another recipe, or "
            "--researcher llm"
        )
