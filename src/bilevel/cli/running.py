"""`run`, `resume` and `demo`: a search with live progress, and its summary at the end."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bilevel import confirming
from bilevel.carrying import CODE
from bilevel.claiming import claimed
from bilevel.cli.live import Live
from bilevel.cli.printing import console, jsonable, print_comparison, print_json, print_summary
from bilevel.errors import BilevelError, InputError, Stopped
from bilevel.isolation import isolation
from bilevel.lab import limit_text
from bilevel.length import planned_now
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.models import Estimate, estimate, names_of
from bilevel.overriding import override
from bilevel.recipe import INNER_BY_RULES, Recipe, find
from bilevel.report import Summary, summarise
from bilevel.run import RunSession, free_folder, known_noise, resume, start, stopping


def run_recipe(recipe: Recipe, folder: Path | None, as_json: bool) -> None:
    """Run a recipe in a new folder and print what it came to."""
    with start(recipe, folder or free_folder(recipe)) as session:
        if recipe.warm and not as_json:
            config = session.folder.config
            console().print(said(config["warm"], config["unfit"], recipe), highlight=False, markup=False)
        summary = _execute(session, as_json)
    _print(summary, as_json)


def said(warm: Mapping[str, Any], unfit: Mapping[str, str], recipe: Recipe) -> str:
    """What a run starts with that starts warm, in a line; and what does not count here, in one each."""
    return "\n".join([_known(warm, recipe), *(f"warm: {name} does not count: {why}" for name, why in unfit.items())])


def _known(warm: Mapping[str, Any], recipe: Recipe) -> str:
    if not warm:
        return f"warm: the library has no evidence for tasks like {recipe.task!r}, so this run starts cold"
    known = ", ".join(f"{name} ({known['probability']:.0%} likely to help)" for name, known in warm.items())
    return f"warm: level 2 begins with what the library says of {known}"


def of_texts(recipe: Recipe, task: str | None, models: Sequence[str]) -> str | None:
    """Who proposes in a task over texts where nobody is named: neither by option nor, as an arm, by the recipe."""
    from bilevel.tasks.catalog import BY_MODEL, BY_RULES

    named = "researcher" in recipe.inner.model_fields_set and recipe.inner.researcher not in INNER_BY_RULES
    asked = any(not model.startswith("judge=") for model in models)
    return None if named else (BY_MODEL if asked else BY_RULES).get((task or recipe.task).partition(":")[0])


def of_files(recipe: Recipe, task: str | None, articles: Sequence[Path]) -> str | None:
    """The task over the articles that options name. Raises InputError where the task is another one, or a path holds
    what parts them."""
    if not articles:
        return task
    name = task or recipe.task
    if name != "article":
        raise InputError(f"--article is for the task 'article', and this run's task is {name!r}; use recipe article")
    paths = [str(path.resolve()) for path in articles]
    comma = next((path for path in paths if "," in path), None)
    if comma is not None:
        raise InputError(f"--article {comma!r}: the path of an article may hold no comma")
    return f"article:{','.join(paths)}"


def once(recipe: Recipe) -> Recipe:
    """The recipe as a single pass: one trial beside the baseline, each measured once; nothing is claimed or learned."""
    if recipe.nested:
        raise InputError(f"recipe {recipe.name!r} has outer levels, which a single pass cannot have")
    inner = recipe.inner.model_copy(update={"trials": 1, "calibration": 1, "keep": "greedy", "lessons": False})
    return recipe.model_copy(update={"inner": inner, "claim": recipe.claim.model_copy(update={"on": False})})


def resume_run(
    folder: Path,
    limits: Mapping[str, float | None],
    as_json: bool,
    other_machine: bool = False,
    on: Sequence[str] = (),
) -> None:
    """Go on with a run, with other limits and commands where they are given, and print what it came to."""
    with resume(folder, limits, other_machine=other_machine, on=on) as session:
        summary = _execute(session, as_json)
    _print(summary, as_json)


def run_demo(quick: bool, folder: Path | None, seed: int, workers: int) -> None:
    """Recipe c on the real task (2-second rung), or on its table with the stuck researcher beside itself alone."""
    out = console()
    base = find("c")
    if not quick:
        recipe = override(base, task="gpt", rung="2s", inner_budget=5, outer_cycles=3, seed=seed, workers=workers)
        run_recipe(recipe, folder, as_json=False)
        return
    recipe = override(base, task="gpt-table", researcher="stuck", inner_budget=10, outer_cycles=4, seed=seed)
    with start(recipe, folder or free_folder(recipe)) as session:
        unstuck = _execute(session, as_json=False)
    alone = override(find("a"), task="gpt-table", researcher="stuck", trials=unstuck.repetition.trials, seed=seed)
    with start(alone, free_folder(alone)) as session:
        stuck = _execute(session, as_json=False)
    print_summary(out, unstuck)
    print_comparison(out, stuck, unstuck)


def confirm_run(folder: Path, pairs: int | None, limits: Mapping[str, float | None], as_json: bool) -> None:
    """Go on with a run's claim stage for some more rounds, and print what the run came to."""
    if pairs is not None and pairs < 1:
        raise InputError(f"--pairs {pairs}: at least one pair is needed")
    with resume(folder, limits) as session:
        state = check_ended(session)
        with stopping(session.lab):
            session.claim(pairs or session.recipe.claim.most)
        if session.ended:
            said = f"Ended early: {session.ended}".replace("bilevel resume", "bilevel confirm")
            console(stderr=as_json).print(said, markup=False, highlight=False, soft_wrap=True)
        session.state_claims()
        summary = _summary(session, state)
    _print(summary, as_json)


def check_ended(session: RunSession) -> str:
    """The state of a run whose search has ended. Raises InputError where it has not."""
    state, path = str(session.folder.meta("state")), session.folder.path
    if state not in ("finished", "limit"):
        raise InputError(
            f"the search of {str(path)!r} has not ended ({state}); `bilevel resume {path}` goes on with it"
        )
    return state


def _summary(session: RunSession, state: str) -> Summary:
    return summarise(
        session.folder.store, session.spec, folder=str(session.folder.path), state=state, recipe=session.recipe.name,
        claim=claimed(session.folder, session.spec)[0],
        confirmed=confirming.confirmed(session.folder.path, session.spec),
    )  # fmt: skip


def _execute(session: RunSession, as_json: bool) -> Summary:
    out = console(stderr=as_json)
    _announce(out, session)
    began = time.monotonic()
    with (
        stopping(session.lab),
        Live(out, session.folder.path, session.spec, planned_now(session.folder.store, session.spec), _titled(session)),
    ):
        try:
            session.execute()
        except Stopped:
            command = f"bilevel resume {shlex.quote(str(session.folder.path))}"
            out.print(f"Stopped. Everything finished is stored; go on with: {command}", markup=False, soft_wrap=True)
            raise
        except BilevelError:
            out.print(f"What was finished is stored in {session.folder.path}.", markup=False, soft_wrap=True)
            raise
    spent = session.lab.meter.spent.evaluations
    out.print(f"Finished in {time.monotonic() - began:.1f} s; {spent} measurements are charged.")
    if session.ended:
        out.print(f"Ended early: {session.ended}", markup=False, highlight=False, soft_wrap=True)
    if session.learnt:
        out.print(session.learnt, markup=False, highlight=False, soft_wrap=True)
    return _summary(session, "limit" if session.ended else "finished")


def _titled(session: RunSession) -> str:
    return f"{session.recipe.name} on {leaf(session.spec).task.name}, {session.folder.path}"


def _announce(out: Console, session: RunSession) -> None:
    inner = leaf(session.spec)
    planned = planned_now(session.folder.store, session.spec)
    out.print(
        f"{session.recipe.name}: {session.recipe.title}\n"
        f"task {inner.task.name} · {inner.task.objective.name}"
        f"{' (self-reported)' if inner.task.self_reported else ''} · researcher {inner.researcher.name} · "
        f"seed {session.spec.seed} · at most {planned if planned is not None else '?'} measurements"
        f"{_beside(session.spec)} · "
        f"{session.lab.workers} at once\n"
        f"isolation: {isolation(inner.task, session.recipe, session.hosting)}\n"
        f"{_carriers_line(session)}"
        f"{_models_line(session, planned)}"
        f"{_noise_line(session)}"
        f"run folder: {session.folder.path}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _noise_line(session: RunSession) -> str:
    said = known_noise(session.folder.config).sentence
    return f"{said}\n" if said else ""


def _beside(spec: LoopSpec) -> str:
    """What the number of measurements leaves out: repeats of what leads, where the budget is one of trials."""
    rule = leaf(spec).rule
    if rule is None or rule.name in ("greedy", "margin") or spec.budget.evaluations is not None:
        return ""
    return f" and repeats (keep rule {rule.name})"


def _carriers_line(session: RunSession) -> str:
    """What level 2 may change, where that is more than code."""
    found = [level.carriers for level in session.recipe.outer if level.carriers != (CODE,)]
    return "".join(f"level 2 changes: {', '.join(carriers)}\n" for carriers in found)


def _models_line(session: RunSession, planned: int | None) -> str:
    """Which models answer, about what their calls will come to, and the limits in force."""
    names = names_of(session.recipe)
    if not names:
        return ""
    levels = ", ".join(f"{level} {name}" for level, name in names.items() if level in session.asked)
    expected = estimate(session.recipe, session.spec, planned)
    bound = _expected(expected) if expected else ""
    limits = {name: value for name, value in vars(session.lab.limits).items() if value is not None}
    if session.recipe.inner.researcher == "agent":
        bound += " · a coding agent runs as you do: in no sandbox, with the network"
    said = ", ".join(limit_text(name, value) for name, value in limits.items()) or "none"
    return f"models: {levels}{bound}\nlimits: {said}\n"


def _expected(expected: Estimate) -> str:
    cost = "price unknown" if expected.money is None else f"{expected.money:.2f} US dollars"
    return f" · about {expected.calls} calls, at their bounds {expected.tokens:,} tokens, {cost}"


def _print(summary: Summary, as_json: bool) -> None:
    if as_json:
        print_json(jsonable(summary))
    else:
        print_summary(console(), summary)
