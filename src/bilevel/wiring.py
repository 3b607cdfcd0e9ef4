"""From a recipe to loops: the task, the researchers, the mechanisms and the models that it names, put together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from bilevel.aiming import aim, lifting
from bilevel.arms import Control
from bilevel.budget import Budget
from bilevel.carrying import STEP
from bilevel.errors import GuestError, InputError
from bilevel.guards import Guards
from bilevel.hosting import Hosting
from bilevel.levels import LoopTask, leaf, levels_of
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.named import PREFIX
from bilevel.nesting import lift, nest
from bilevel.noise import UNKNOWN, Noise
from bilevel.offering import ONLY, guest_of, offers
from bilevel.probation import AddendaOnProbation, OnProbation
from bilevel.recipe import Outer, Recipe
from bilevel.researcher import Researcher
from bilevel.researchers.library import Known
from bilevel.rules import Rule
from bilevel.settings import Settings
from bilevel.steps import STEPS
from bilevel.surfaces import SettingsSurface, mechanism_set
from bilevel.task import Task
from bilevel.warming import gathered

LEVELS = {"settings": "1.5", "mechanisms": "2"}  # the numbers by which the levels are known


LOOP_SOURCES = {  # what a mechanism session reads: the functions that decide, by module
    "draft": ("Drafting.draft", "Drafting._run", "Drafting._problem"),
    "loop": ("Loop._ask_researcher", "Loop.measure", "Loop._plan", "Loop.tell", "Loop._decide"),
    "fold": ("Fold.propose", "Fold.count_decisive"),
    "keep": ("keep_by_default", "_keep_by_rule", "_verdict"),
    "rules": ("Rule.goes_on", "Rule.keeps"),
}
READERS = ("llm", "agent")  # researchers that can be told of earlier trials in prose
LOOP, IMPORTS = "loop-source", "imports"  # the names, under the prompts, of these and of what an author may import


@dataclass(frozen=True)
class Texts:
    """The texts behind a recipe, as a run folder keeps them: a resume and a replay use those that the run began with.

    `mechanisms`: sources by the name in the recipe. `prompts`: templates by name; empty where no model is asked.
    `noise`: what was known of the task's noise before the run. `warm`: what the library knew of mechanisms.
    """

    mechanisms: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    noise: Noise = UNKNOWN
    warm: Mapping[str, Known] = field(default_factory=dict)


def prompts_for(recipe: Recipe) -> dict[str, str]:
    """The templates, the loop's own source and the list of imports that models are shown; none where none is asked."""
    if not uses_models(recipe):
        return {}
    from bilevel.admission import allowed
    from bilevel.researchers.authoring import excerpt, versions
    from bilevel.researchers.prompt import shipped_prompts

    folder = resources.files("bilevel")
    parts = [
        f"# ---- from bilevel/{module}.py\n{excerpt((folder / f'{module}.py').read_text('utf-8'), names)}"
        for module, names in LOOP_SOURCES.items()
    ]
    return {**shipped_prompts(), LOOP: "\n\n".join(parts), IMPORTS: f"{allowed()} ({versions()})"}


def uses_models(recipe: Recipe) -> bool:
    """Whether a level's researcher is a language model, or a coding agent."""
    names = {recipe.inner.researcher, *(level.researcher for level in recipe.outer)}
    return not names.isdisjoint(("llm", "agent", "workflow"))


def sources(recipe: Recipe, spec: LoopSpec) -> dict[str, str]:
    """The texts of the mechanisms that a recipe names, as they were when `spec` was built from it."""
    from bilevel.shelf import plain

    named = [recipe.inner.mechanisms, *(level.mechanisms for level in recipe.outer)]
    pairs = [
        pair
        for names, loop in zip(named, levels_of(spec), strict=True)
        for pair in zip(names, loop.mechanisms, strict=True)
    ]
    found = {name: guest.source for name, guest in pairs}
    for level, loop in zip(recipe.outer, levels_of(spec)[1:], strict=True):
        if level.researcher.startswith(ONLY):
            name = level.researcher.removeprefix(ONLY)
            found[name] = _inmost(loop.researcher).sources(plain(name))
        for name in level.offers if level.researcher.partition(":")[0] == "library" else ():
            found[name] = _inmost(loop.researcher).sources(plain(name))
        for name in level.offers if level.researcher == "lift" else ():
            found[name] = _inmost(loop.researcher).offered[plain(name)]
    return found


def _inmost(researcher: Any) -> Any:
    """A researcher without those that stand around it."""
    while hasattr(researcher, "researcher"):
        researcher = researcher.researcher
    return researcher


def build(
    recipe: Recipe, stored: Texts | None = None, hosting: Hosting | None = None, task: Task | None = None
) -> LoopSpec:
    """The loops of a recipe, wired to the task, the researchers and the mechanisms that it names.

    `stored` holds the texts that a run folder keeps; without it they are read. `hosting` is where mechanisms run, by
    default one of its own. `task` stands for the one that the recipe names. Raises InputError for names that do not
    exist and for extras that are not installed.
    """
    from bilevel.tasks.catalog import find_seeded

    if sum(level.level == "settings" for level in recipe.outer) > 1:
        raise InputError(
            f"recipe {recipe.name!r} has two levels 'settings'; the upper one would undo the lower one's work"
        )
    texts = stored or Texts(prompts=prompts_for(recipe), warm=gathered(recipe).known)
    hosting = hosting or Hosting(recipe.sandbox)
    spec = _inner(recipe, task or find_seeded(recipe.task, recipe.seed), texts, hosting)
    for depth, level in enumerate(recipe.outer):
        spec = _outer(recipe, spec, level, depth, texts, hosting)
    limit = recipe.evaluations
    if limit is None and isinstance(spec.task, LoopTask) and spec.task.stuck_after:
        limit = measurements_of(
            spec.task, recipe.outer[-1].cycles
        )  # the first cycle is as long as those after it allow
    if limit is not None:
        spec = replace(spec, budget=Budget(spec.budget.trials, limit + leaf(spec).calibration))
    return spec


def measurements_of(task: LoopTask, cycles: int) -> int:
    """How many measurements so many cycles of a level take, all arms counted: the first has no control."""
    return task.trials * task.inner.task.evaluations + (cycles - 1) * task.evaluations


def with_noise(spec: LoopSpec, noise: Noise) -> LoopSpec:
    """The loops with something known of the innermost task's noise."""
    if isinstance(spec.task, LoopTask):
        return replace(spec, task=replace(spec.task, inner=with_noise(spec.task.inner, noise)))
    return replace(spec, noise=noise)


def _inner(recipe: Recipe, task: Task, texts: Texts, hosting: Hosting) -> LoopSpec:
    inner = recipe.inner
    names = [rung.name for rung in task.rungs]
    if inner.rung and inner.rung not in names:
        raise InputError(f"task {task.name!r} has no rung {inner.rung!r}; its rungs are: {', '.join(names)}")
    if inner.target is not None and recipe.outer:
        raise InputError(f"inner.target: recipe {recipe.name!r} has outer levels, which say when its search ends")
    values = inner.settings.model_dump()
    unknown = [name for name in values["frozen"] if name not in task.space.domains]
    if unknown:
        raise InputError(f"inner.settings.frozen: task {task.name!r} has no parameter {unknown[0]!r}")
    values["frozen"] = dict.fromkeys(values["frozen"], "recipe")
    alone = not recipe.outer or recipe.outer[0].wipe  # what a cycle ends with, none after a wipe begins with
    cycle = inner.lessons_every if alone else recipe.outer[0].trials
    spec = LoopSpec(
        name="inner",
        task=task,
        researcher=_inner_researcher(recipe, task, texts, hosting),
        settings=Settings(**values),
        budget=Budget(trials=inner.trials),
        seed=recipe.seed,
        rung=inner.rung,
        calibration=inner.calibration,
        noise=None if inner.noise == "baseline" else texts.noise,
        target=inner.target,
        keep=None if inner.keep == "unpooled" else Rule(inner.keep, inner.depth, inner.rules),
        lessons_every=cycle if inner.lessons else 0,
        shadow=inner.shadow,
        guards=Guards(
            duplicate_check=inner.duplicate_check,
            history=inner.history == "typed" or (inner.history == "prose" and inner.researcher in READERS),
            reasons=inner.reasons,
            mechanisms=inner.call_mechanisms,
        ),
        load=hosting.load,
    )
    return _with_mechanisms(spec, inner.mechanisms, texts, hosting)


def _outer(
    recipe: Recipe, inner: LoopSpec, level: Outer, depth: int, texts: Texts, hosting: Hosting
) -> LoopSpec:  # fmt: skip
    surface, name = aim(recipe, inner, level, depth, hosting)
    if name != level.level:
        texts = replace(texts, warm={})  # it was measured one level below
    if level.researcher == "lift":
        researcher = lifting(recipe, inner, level, surface, texts.mechanisms)
    else:
        researcher = _outer_researcher(recipe, level, texts, hosting)
    if level.level == "mechanisms" and level.start == "fork" and level.proof_share > 0:
        researcher = OnProbation(researcher, level.proof_share)
    if isinstance(surface, SettingsSurface) and surface.steps and level.proof_share > 0:
        researcher = AddendaOnProbation(researcher, level.proof_share, steps=surface.steps)
    spec = nest(
        inner,
        surface,
        researcher,
        name=name,
        trials=level.trials,
        cycles=level.cycles,
        start=level.start,
        ladder=level.ladder,
        controls=_controls(level) if level.start == "fork" else (),
        wipe=level.wipe,
        stuck_after=level.stuck_after,
        stuck_share=level.stuck_share,
    )
    spec = replace(
        spec, settings=Settings(drafts=level.drafts, redrafts=level.redrafts, repairs=level.repairs), load=hosting.load
    )
    return _with_mechanisms(spec, level.mechanisms, texts, hosting)


def _controls(level: Outer) -> list[Control]:
    """The further arms of a fork that a recipe asks for. The restart is one at the start of the cycle."""
    from bilevel import mechanisms

    guests = {
        "restart": Guest("restart", mechanisms.source("restart", every=level.trials, patience=0)),
        "placebo": Guest("placebo", mechanisms.source("placebo")),
    }
    return [Control(name, guests.get(name)) for name in dict.fromkeys(level.controls)]


def _inner_researcher(recipe: Recipe, task: Task, texts: Texts, hosting: Hosting) -> Researcher:
    from bilevel import researchers
    from bilevel.tasks.absent import Absent
    from bilevel.tasks.folder import FolderTask

    name = recipe.inner.researcher
    _check_level(name, "1")
    gone = isinstance(task, Absent)  # then nobody will be asked
    if name in ("workflow", "page_rules") and not gone and not task.baseline().files:
        raise InputError(
            f"researcher {name!r} revises texts, and task {task.name!r} has none: give --task article or "
            "--task page, or name another researcher"
        )
    if name == "agent":
        told = {"prose": recipe.inner.history == "prose"}
        return researchers.make(
            name, "1", prompts=texts.prompts, **told, **({} if gone else _agent_options(recipe, task))
        )
    if name == "workflow":
        return researchers.make(name, "1", prompts=texts.prompts, load=hosting.load, **_model_options(recipe, "inner"))
    if name != "llm":
        return researchers.make(name, "1")
    options = {**_model_options(recipe, "inner"), "prose": recipe.inner.history == "prose"}
    if isinstance(task, FolderTask):
        options |= {"files": task.editable_texts, "new_files": task.new_files}
    if recipe.outer and recipe.evaluations is None:
        options["planned"] = math.prod(level.trials for level in recipe.outer) * recipe.outer[-1].cycles
    return researchers.make(name, "1", prompts=texts.prompts, **options)


def _outer_researcher(recipe: Recipe, level: Outer, texts: Texts, hosting: Hosting) -> Researcher:
    """A researcher by name; `library:random` and `library:only:NAME` are modes of `library`."""
    from bilevel import researchers

    name, number = level.researcher, LEVELS[level.level]
    _check_level(name, number)
    if name == "llm" and level.level == "settings":
        bounds = {"least_active": level.least_active, "most_changed": level.most_changed}
        return researchers.make(name, number, prompts=texts.prompts, **bounds, **_model_options(recipe, "settings"))
    if name == "llm":
        return researchers.make(
            name,
            number,
            prompts=texts.prompts,
            compose=mechanism_set,
            source=texts.prompts[LOOP],
            allowed=texts.prompts[IMPORTS],
            most=level.most_mechanisms,
            domains=level.domains,
            carriers=level.carriers,
            shown=_shown(recipe, level, texts),
            **_model_options(recipe, "mechanisms"),
        )
    if name == "settings_rules":
        return researchers.make(name, number, least_active=level.least_active, most_changed=level.most_changed)
    base = name.partition(":")[0]
    if base != "library":
        return researchers.make(name, number)
    return researchers.make(
        base,
        number,
        compose=mechanism_set,
        most=level.most_mechanisms,
        **offers(level, texts.mechanisms, texts.warm, hosting),
    )


def _shown(recipe: Recipe, level: Outer, texts: Texts) -> dict[str, str]:
    """The templates of the inner researcher that the author of a text has to know."""
    steps = [f"article_{step}" for step in STEPS] if {"workflow", STEP} & set(level.carriers) else []
    system = [{"workflow": "article_system", "agent": "agent_system"}.get(recipe.inner.researcher, "inner_system")]
    names = [*(system if "prompt" in level.carriers else []), *steps]
    return {f"The researcher's own template {name}": texts.prompts[name] for name in names}


def _model_options(recipe: Recipe, level: str) -> dict[str, Any]:
    """What the recipe says of a level's prompts and answers; the researcher's own values stand for the rest."""
    models = recipe.models
    if not models.of(level):
        raise InputError(
            f"level {level!r} is researched by a language model, and none is named: give --model PROVIDER:MODEL, or "
            "models.default in the recipe (`bilevel models` lists the providers)"
        )
    bounds = {"prompt_tokens": models.prompt_tokens, "most_tokens": models.most_tokens}
    given = {name: value for name, value in bounds.items() if value is not None}
    return {**given, "temperature": models.temperature, "reasks": models.reasks}


def _agent_options(recipe: Recipe, task: Task) -> dict[str, Any]:
    """What a coding agent is told of the task's files. Raises InputError for a task without files, or no agent."""
    from bilevel.agents import agent
    from bilevel.tasks.folder import FolderTask

    if not isinstance(task, FolderTask):
        raise InputError(
            f"researcher 'agent' edits files, and task {task.name!r} has none: use a task that is a folder"
        )
    agent(recipe.agent.command)
    candidate, files = task.model.candidate, task.editable_texts
    given = {} if recipe.models.prompt_tokens is None else {"prompt_tokens": recipe.models.prompt_tokens}
    return given | {
        "files": files,
        "constants": {path: text for path, text in task.source.texts.items() if path not in files},
        "editable": candidate.editable,
        "protected": candidate.protected,
        "seconds": recipe.agent.seconds,
        "reasks": recipe.agent.reasks,
    }


def _check_level(name: str, level: str) -> None:
    """Raises InputError where a researcher works on another level. `scripted` is made by programs, with its replies."""
    from bilevel import researchers

    base = name.partition(":")[0]
    if name.startswith(PREFIX):
        return
    fit = [listed.name for listed in researchers.catalog() if listed.level == level and listed.name != "scripted"]
    if base not in fit:
        known = base in [listed.name for listed in researchers.catalog()]
        said = f"researcher {name!r} cannot work on level {level}" if known else f"there is no researcher {name!r}"
        raise InputError(f"{said}; level {level} has: {', '.join(fit)}; or python:MODULE:CLASS")


def _with_mechanisms(spec: LoopSpec, names: tuple[str, ...], texts: Texts, hosting: Hosting) -> LoopSpec:
    from bilevel.shelf import plain

    stored = texts.mechanisms
    for name in names:
        guest = Guest(plain(name), stored[name]) if name in stored else guest_of(name, hosting)
        try:
            spec = lift(guest, spec)
        except GuestError as error:
            raise InputError(
                f"mechanism {name!r} cannot be put in force on level {spec.name!r}: {error} (limits of the sandbox are "
                "set by [sandbox] in the recipe)"
            ) from error
    return spec
