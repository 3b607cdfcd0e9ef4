"""`check`: what is wrong before anything runs, and the way out."""

from pathlib import Path

from bilevel.cli.printing import print_json
from bilevel.errors import BilevelError
from bilevel.length import planned_evaluations
from bilevel.named import PREFIX
from bilevel.port_suites import check_task
from bilevel.recipe import Recipe, find, shipped, text_of, unread
from bilevel.shelf.shelves import plain
from bilevel.shelf.storing import refusals
from bilevel.wiring import build

PROBLEMS_FOUND = 4


def print_check(target: str, baseline: bool, as_json: bool) -> int:
    """Check a task, a recipe or a mechanism, or list what is shipped. Returns the exit code."""
    if not target:
        return _list(as_json)
    problems = check(target, baseline)
    if as_json:
        print_json({"target": target, "problems": problems})
    elif problems:
        for problem in problems:
            print(f"- {problem}")
    else:
        passed = "passes the door" if target.endswith(".py") else "nothing wrong was found"
        print(f"{target}: {passed}")
        for line in bounds(target):
            print(f"  {line}")
    return PROBLEMS_FOUND if problems else 0


def check(target: str, baseline: bool) -> list[str]:
    """What is wrong with a task or a recipe, or why a mechanism is refused at the door: one sentence each."""
    from bilevel.tasks.catalog import find as find_task

    try:
        if target.endswith(".py"):
            return list(refusals(text_of(Path(target), "mechanism"), plain(target)))
        if target.endswith(".toml") or target in shipped():
            recipe = find(target)
            spec = build(_with_a_model(recipe))
            return unread(recipe) + (
                [] if planned_evaluations(spec) is not None else ["no level says how long to search"]
            )
        task = find_task(target)
        if target.startswith(PREFIX):
            return check_task(task) if baseline else []
        checker = getattr(task, "check", None)
        return list(checker(run_baseline=baseline)) if checker is not None else _check_function(target)
    except BilevelError as error:
        lines = [line.strip().removeprefix("- ") for line in str(error).splitlines()]
        return lines[1:] if len(lines) > 1 else lines  # the first of several is their heading


def _with_a_model(recipe: Recipe) -> Recipe:
    """The recipe with some model for those levels that need one and get theirs from --model; none is asked here."""
    if recipe.models.default:
        return recipe
    return recipe.model_copy(update={"models": recipe.models.model_copy(update={"default": "compatible:any"})})


def bounds(target: str) -> list[str]:
    """What a task holds and weighs beside its objective, in lines; none for a recipe or a mechanism."""
    from bilevel.tasks.catalog import find as find_task

    if target.endswith((".py", ".toml")) or target in shipped():
        return []
    objective = find_task(target).objective
    further = (f"{one.name} ({'minimize' if one.minimize else 'maximize'})" for one in objective.also)
    return [f"guardrail: {one}" for one in objective.guardrails] + [f"further objective: {one}" for one in further]


def _check_function(target: str) -> list[str]:
    from bilevel.lab import Bench, Lab
    from bilevel.tasks.catalog import find as find_task

    task = find_task(target)
    start = task.baseline()
    problems = task.space.problems(start) + task.problems(start, start)
    run = task.run(start, Bench(Lab(), task.rungs[0].name, 0, 0, task.rungs[0].options))
    return problems + ([] if run.metrics else [f"the baseline run ended with {run.status.value}: {run.log[-300:]}"])


def _list(as_json: bool) -> int:
    from bilevel.researchers import catalog
    from bilevel.tasks.catalog import shipped as shipped_tasks

    recipes = {name: recipe.title for name, recipe in shipped().items()}
    tasks = {listed.name: listed.title for listed in shipped_tasks()}
    researchers = {listed.name: f"level {listed.level}: {listed.title}" for listed in catalog()}
    if as_json:
        print_json({"recipes": recipes, "tasks": tasks, "researchers": researchers})
        return 0
    for title, rows in (("recipes", recipes), ("tasks", tasks), ("researchers", researchers)):
        print(title)
        for name, text in rows.items():
            print(f"  {name:16} {text}")
    return 0
