"""`bilevel.optimize`: search the arguments of a Python function, each call in a process of its own."""

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bilevel.budget import Limits
from bilevel.codec import plain
from bilevel.errors import HarnessError, InputError
from bilevel.guardrails import Guardrail
from bilevel.lab import Lab
from bilevel.levels import leaf
from bilevel.loop import Loop, LoopSpec
from bilevel.models import connected
from bilevel.objective import Further, Objective
from bilevel.overriding import override
from bilevel.recipe import ClaimTable, Recipe, find
from bilevel.report import Summary, own_trials, summarise
from bilevel.run import resume
from bilevel.run import start as begin
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.store.reader import FILE
from bilevel.tasks.pool import Target
from bilevel.tasks.served import Reached, importing
from bilevel.tasks.worker import MEMORY_BYTES, SECONDS, WorkerTask
from bilevel.trial import Trial
from bilevel.wiring import build

Given: TypeAlias = Domain | tuple[Any, ...] | range | Sequence[Any] | type[bool]
SCALES = ("log", "power_of_two")


@dataclass(frozen=True)
class Result:
    """What a search came to.

    `params` and `score` are the best measured ones; the score is a best-seen value, not a re-measured one. `baseline`
    is the score of the start. `trials` are all trials of the innermost loop with typed changes, failures and decisions;
    `summary` is what `bilevel status` prints. `folder` is the run folder, if one was asked for.
    """

    params: Mapping[str, Value]
    score: float
    baseline: float
    trials: tuple[Trial, ...] = field(repr=False)
    summary: Summary = field(repr=False)
    folder: Path | None = None


def optimize(
    function: Callable[..., Any] | str,
    space: Mapping[str, Given],
    *,
    trials: int = 50,
    minimize: bool = True,
    start: Mapping[str, Value] | None = None,
    recipe: str = "default",
    researcher: str | None = None,
    model: str | None = None,
    workers: int = 1,
    seconds: float | None = None,
    memory: int | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    metric: str = "score",
    brief: str = "",
    guardrails: Sequence[Guardrail] = (),
    also: Sequence[Further] = (),
) -> Result:
    """Search for the arguments with the best score, with `trials` measurements (the baseline's repeats not counted).

    `function(params)` or `function(params, seed)` returns a number, or a mapping of numbers with one called `metric`; a
    callable that another process can import, or "FILE.py:NAME", or "package.module:NAME". `space`: by name
    `(low, high)`, `(low, high, "log")`, `(low, high, "power_of_two")`, a `range`, a list of choices, `bool`, or a
    domain of `bilevel.space`. `start` is the middle of the space unless given. `seconds` (of wall and of CPU time) and
    `memory` (bytes) bound each call: 600 s and 4 GiB unless given. A call that fails, hangs, crashes or returns no
    finite number is a failed trial. `recipe`, `researcher`, `model` and `seed` are those of `bilevel run`; `brief` is
    what a language model is told of the task.

    `guardrails` bound further metrics: a call beyond one is never kept and never the best. `also` are further
    objectives; `bilevel show FOLDER --front` weighs them (`docs/python.md`).

    With `folder` the run is stored there and can be looked at with `bilevel status`; the same call goes on with a run
    that was interrupted. Raises InputError for arguments that cannot be used, and where the start itself fails.

    In a script without `if __name__ == "__main__"`, worker processes run the script again up to this call.
    """
    if importing():
        raise Reached  # a worker imports the script that called us: what stands above is all that the function needs
    objective = Objective(metric, minimize=minimize, guardrails=tuple(guardrails), also=tuple(also))
    task = _task(function, space, objective, start, seconds, memory, brief)
    models = () if model is None else (model,)
    chosen = override(
        find(recipe), task=f"worker:{task.text}", trials=trials, seed=seed, workers=workers, researcher=researcher,
        models=models,
    )  # fmt: skip
    chosen = chosen.model_copy(update={"claim": ClaimTable(on=False)})  # exactly the measurements that were asked for
    return _stored(chosen, Path(folder)) if folder is not None else _in_memory(chosen)


def _stored(recipe: Recipe, path: Path) -> Result:
    fresh = not (path / FILE).exists()
    with begin(recipe, path) if fresh else resume(path) as session:
        if not fresh and session.recipe != recipe:
            raise InputError(
                f"run folder {str(path)!r} holds another search (different: {_differences(session.recipe, recipe)}); "
                "use another folder, or the same arguments to go on with it"
            )
        try:
            session.execute()
        finally:
            _close(session.spec)
        store, spec = session.folder.store, session.spec
        state = "limit" if session.ended else "finished"
        summary = summarise(store, spec, folder=str(path), state=state, recipe=recipe.name)
        return _result(summary, tuple(trial for _, trial in own_trials(store, "inner")), path)


def _in_memory(recipe: Recipe) -> Result:
    spec = build(recipe)
    try:
        models, redact = connected(recipe, spec)
        lab = Lab(workers=recipe.workers, models=models, redact=redact, limits=Limits(**recipe.limits.model_dump()))
        Loop(spec, lab).run()
    finally:
        _close(spec)
    summary = summarise(lab.store, spec, state="finished", recipe=recipe.name)
    return _result(summary, tuple(trial for _, trial in own_trials(lab.store, "inner")), None)


def _result(summary: Summary, trials: tuple[Trial, ...], folder: Path | None) -> Result:
    scored = [trial for trial in trials if trial.score is not None and trial.score == summary.best]
    if not scored or summary.best is None or summary.baseline is None:
        raise HarnessError("the search ended before the start was measured; call it again to go on")
    return Result(dict(scored[0].candidate.params), summary.best, summary.baseline, trials, summary, folder)


def _close(spec: LoopSpec) -> None:
    task = leaf(spec).task
    if isinstance(task, WorkerTask):
        task.pool.close()


def _differences(old: Recipe, new: Recipe) -> str:
    was, now = old.model_dump(), new.model_dump()
    return ", ".join(name for name in was if was[name] != now[name])


def _task(
    function: Callable[..., Any] | str, space: Mapping[str, Given], objective: Objective,
    start: Mapping[str, Value] | None, seconds: float | None, memory: int | None, brief: str,
) -> WorkerTask:  # fmt: skip
    target = Target.of(function)
    if not space:
        raise InputError("the space is empty: give at least one parameter, as in {'rate': (1e-4, 1.0, 'log')}")
    domains = {name: domain_of(name, given) for name, given in space.items()}
    middle = {name: domain.at(0.5) for name, domain in domains.items()}
    if unknown := sorted(set(start or {}) - set(domains)):
        raise InputError(f"start: there is no parameter {unknown[0]!r}; the parameters are: {', '.join(domains)}")
    for name, value in (("seconds", seconds), ("memory", memory)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be more than 0, not {value!r}")
    name = target.name.rpartition(".")[2] or type(function).__name__
    better = "Lower" if objective.minimize else "Raise"
    wall = SECONDS if seconds is None else float(seconds)
    return WorkerTask(
        name=name,
        target=target,
        space=Space(domains),
        start=Candidate({**middle, **(start or {})}),
        objective=objective,
        brief=brief
        or f"{better} the {objective.name} that the Python function {name} returns.\n\n{target.source[:4000]}",
        seconds=wall,
        cpu_seconds=wall,
        memory_bytes=MEMORY_BYTES if memory is None else int(memory),
    )


def domain_of(name: str, given: Given) -> Domain:
    """The domain that stands behind a short form. Raises InputError with the forms there are."""
    match given:
        case Float() | Int() | Choice() | Bool():
            return given
        case range() if len(given) > 0:
            return Int(given[0], given[-1]) if given.step == 1 else Choice(tuple(given))
        case list() if given:
            return Bool() if set(map(type, given)) == {bool} and len(set(given)) == 2 else Choice(_choices(name, given))
        case (low, high, *rest) if _is_number(low) and _is_number(high) and len(rest) < 2 and set(rest) <= set(SCALES):
            scale = rest[0] if rest else ""
            if isinstance(low, numbers.Integral) and isinstance(high, numbers.Integral):
                return Int(int(low), int(high), scale == "log", scale == "power_of_two")
            if scale != "power_of_two":
                return Float(float(low), float(high), scale == "log")
    if given is bool:
        return Bool()
    raise InputError(
        f"space: {name!r} cannot be {given!r}; write (low, high), (low, high, 'log'), (low, high, 'power_of_two') for "
        "whole numbers, a range, a list of choices, bool, or a domain of bilevel.space"
    )


def _choices(name: str, given: list[Any]) -> tuple[Value, ...]:
    for option in given:
        if not isinstance(option, bool | int | float | str | tuple):
            raise InputError(f"space: an option of {name!r} must be a number, text, true or false, not {option!r}")
        plain(option)
    return tuple(given)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
