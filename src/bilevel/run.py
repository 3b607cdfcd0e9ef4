"""A run: a recipe, a run folder, and a lab, put together; started, stopped, resumed."""

import os
import re
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, MappingProxyType, TracebackType
from typing import Any

from bilevel import __version__, claiming, codec, machine, refining, statements
from bilevel.admission import Admission
from bilevel.budget import Limits
from bilevel.errors import InputError, LimitReached, Stopped, StoreError
from bilevel.events import Telling, with_commands
from bilevel.hosting import Hosting
from bilevel.isolation import environment, in_short, isolation
from bilevel.lab import Lab
from bilevel.levels import leaf, levels_of
from bilevel.loop import Loop, LoopSpec
from bilevel.models import check_prices, connected
from bilevel.named import PREFIX
from bilevel.noise import UNKNOWN
from bilevel.notices import variables_for
from bilevel.recipe import Recipe, resolve
from bilevel.researchers.library import Known
from bilevel.steering.hearing import Hearing
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import SqliteStore
from bilevel.task import Judged, Task
from bilevel.tasks.absent import Kept
from bilevel.tasks.external import External, ExternalFolder
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.karpathy import KarpathyTask
from bilevel.warming import gathered
from bilevel.wiring import Texts, build, prompts_for, sources, with_noise

FORMAT = 2  # of the records: 2 holds what a mechanism climbed, and which forks tested it
VERDICTS = "door"  # the fact of a run folder that keeps what the door said of each source
MACHINES = "machines"  # the one that lists further machines on which it went on, and after how many trials
ON = "on"  # the one that keeps the commands on events that a resume was given
TASK = "task"  # the one that keeps what is needed of the task to show the run without it
MISHAPS = "mishaps"  # the one that keeps what mechanisms could not answer, by question


@dataclass
class RunSession:
    """An open run folder that this process may write, and everything needed to go on with it."""

    folder: RunFolder[SqliteStore]
    recipe: Recipe
    spec: LoopSpec
    lab: Lab
    hosting: Hosting
    hearing: Hearing
    ended: str = ""  # which limit ended it, and the way out
    learnt: str = ""  # what it adds to the stored estimate of the noise

    @property
    def asked(self) -> tuple[str, ...]:
        """The levels that a language model or a coding agent researches, or judges."""
        loops = [loop.name for loop in levels_of(self.spec) if loop.researcher.name.startswith(("llm", "agent"))]
        judged = self.recipe.models.judge or isinstance(leaf(self.spec).task, Judged)
        return (*loops, "judge") if judged else tuple(loops)

    def execute(self) -> None:
        """Search until the budget is spent, or a limit is reached (`ended` says so); tell a person's commands.

        Where the search took its part of a limit of time, what was kept back is left for the claim stage.
        Raises Stopped after a stop; everything finished is stored by then.
        """
        with Telling(self.folder, self.spec, self.lab, self.recipe.events):
            self._search()

    def _search(self) -> None:
        self.folder.set_meta("state", "running")
        self.unsay_claims()
        loop = Loop(self.spec, self.lab)
        self.lab.kept_back = self._for_claims()
        try:
            loop.run()
        except LimitReached as reached:
            self.ended = self._way_out(str(reached))
            kept, self.lab.kept_back = self.lab.kept_back, 0.0
            if kept and not self.lab.spent_up:
                self.claim()
            self.folder.set_meta("state", "limit")
            self.state_claims()
            return
        except Stopped:
            self._stopped()
            raise
        except Exception:
            with suppress(StoreError):  # where it is the store that fails
                self.folder.set_meta("state", "interrupted")
            raise
        finally:
            self.lab.save_seconds()
        if self.lab.stop.is_set() and not spent(loop):
            self._stopped()
            raise Stopped("stopped; resume the run to go on")
        self.lab.kept_back = 0.0
        self.hearing.settle(loop.branch.id, len(loop.trace))
        self.claim()
        self.folder.set_meta("state", "finished")  # from now on nothing more is accepted
        self.hearing.settle(loop.branch.id, len(loop.trace), levels=False)
        self.state_claims()
        if self.recipe.inner.noise == "stored":
            self.learnt = refining.refine(self.folder, self.spec)

    def _way_out(self, said: str) -> str:
        """A message whose commands name this run; what else it quotes may be a person's."""
        return re.sub(
            r"`bilevel [^`]*`", lambda found: found[0].replace("RUN", shlex.quote(str(self.folder.path))), said
        )

    def _stopped(self) -> None:
        self.folder.set_meta("state", "stopped")  # from now on no stop is accepted
        self.hearing.stopped()

    def _for_claims(self) -> float:
        """Seconds of a limit of time that the search leaves to the claim stage."""
        table, seconds = self.recipe.claim, self.lab.limits.seconds
        return seconds * table.reserve if table.on and seconds and claiming.measures(self.spec) else 0.0

    def state_claims(self) -> None:
        """Write what the run claims into its folder, for other programs and for `bilevel verify`."""
        state = str(self.folder.meta("state") or "")
        self.folder.set_meta(statements.STATED, True)
        statements.write(self.folder.path, statements.statements_of(self.folder, self.spec, state))

    def unsay_claims(self) -> None:
        """Take the file of claims away: it says what a run came to that has ended."""
        self.folder.set_meta(statements.STATED, False)
        (self.folder.path / statements.FILE).unlink(missing_ok=True)

    def claim(self, more: int | None = None) -> None:
        """Do what is left of the claim stage, or go on with it for `more` rounds. Raises as `execute` does."""
        self.unsay_claims()
        try:
            claiming.claim(self.folder, self.spec, self.lab, self.recipe.claim, more)
        except LimitReached as reached:
            self.ended = self._way_out(str(reached))
        except Stopped:
            self._stopped()
            raise
        except Exception:
            with suppress(StoreError):
                self.folder.set_meta("state", "interrupted")
            raise
        finally:
            self.lab.save_seconds()

    def __enter__(self) -> "RunSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hosting.close()
        self.folder.close()


def start(recipe: Recipe, path: Path, as_planned: bool = False) -> RunSession:
    """A new run in a new folder. Everything that can be wrong with the recipe is found before the folder is made.

    `as_planned`: the task keeps the absolute name that a plan gave it, also where a link stands there by now."""
    prompts, verdicts = prompts_for(recipe), dict[str, Admission]()
    hosting = Hosting(recipe.sandbox, keep=verdicts.__setitem__)
    warm, unfit = gathered(recipe)
    spec = build(recipe, Texts(prompts=prompts, warm=warm), hosting)
    known = refining.known(spec) if recipe.inner.noise == "stored" else refining.Found()
    if known.noise is not None:
        spec = with_noise(spec, known.noise)
    task = leaf(spec).task
    if isinstance(task, FolderTask) and task.folder == Path(recipe.task).resolve() and not as_planned:
        recipe = recipe.model_copy(update={"task": str(task.folder)})  # a resume may start from another folder
    if isinstance(task, KarpathyTask):
        recipe = recipe.model_copy(update={"task": task.reference})  # its checkout may change while the run goes on
    recipe = _located(recipe)
    limits = Limits(**recipe.limits.model_dump())
    check_prices(recipe, _of_money(recipe, limits))
    models, redact = connected(recipe, spec)
    variables_for(recipe.events)
    facts = {
        "recipe": recipe.model_dump(mode="json"),
        "sources": sources(recipe, spec),
        "prompts": prompts,
        "bilevel": __version__,
        "format": FORMAT,
        "noise": codec.plain(known),
        **({"warm": codec.plain(dict(warm)), "unfit": dict(unfit)} if recipe.warm else {}),
    }
    folder = RunFolder.create(path, facts)
    walls = isolation(task, recipe, hosting)
    folder.set_meta("environment", environment(walls))
    folder.set_meta("harness", task.harness)
    folder.set_meta(TASK, Kept.of(task).data)
    _keep_verdicts(hosting, folder, verdicts)
    keep_mishaps(hosting, folder)
    hearing = Hearing(folder, recipe.gate)
    lab = hearing.lab = Lab(
        folder.store, workers=recipe.workers, models=models, redact=redact, limits=limits, isolation=in_short(walls),
        persons=hearing, clock=folder.store,
    )  # fmt: skip
    lab.calls.priced = _of_money(recipe, lab.limits).money is not None
    return RunSession(folder, recipe, spec, lab, hosting, hearing)


def resume(
    path: Path,
    limits: Mapping[str, float | None] = MappingProxyType({}),
    *,
    other_machine: bool = False,
    on: Sequence[str] = (),
) -> RunSession:
    """A run that was stopped or killed, ready to go on as if nothing had happened; `limits` replace those it had, and
    `on` the commands on events (EVENT=COMMAND).

    Raises Diverged where the task's harness is no longer the one that measured the run so far, and where the machine is
    another one; with `other_machine` the run goes on there, and its folder says so from then on.
    """
    folder = RunFolder.open(path)
    try:
        recipe = resolve(folder.config["recipe"])
        commands = [*(folder.meta(ON) or ()), *on]
        recipe = with_commands(recipe, commands)
        variables_for(recipe.events)
        verdicts = verdicts_of(folder)
        hosting = Hosting(recipe.sandbox, verdicts)
        _, spec = recorded(folder.config, hosting)
        _check_harness(folder, spec)
        _check_machine(folder, spec, other_machine)
        if folder.meta(TASK) is None:  # begun by an older version
            folder.set_meta(TASK, Kept.of(leaf(spec).task).data)
        walls = isolation(leaf(spec).task, recipe, hosting)
        _keep_verdicts(hosting, folder, verdicts)
        keep_mishaps(hosting, folder)
        models, redact = connected(recipe, spec)
        given = {name: value for name, value in limits.items() if value is not None}
        in_force = {**recipe.limits.model_dump(), **(folder.meta("limits") or {}), **given}
        check_prices(recipe, _of_money(recipe, Limits(**in_force)))
        if given:
            folder.set_meta("limits", in_force)
        if on:
            folder.set_meta(ON, commands)
    except BaseException:
        folder.close()
        raise
    elapsed = float(folder.store.get_meta("elapsed") or 0.0)
    hearing = Hearing(folder, recipe.gate)
    lab = hearing.lab = Lab(
        folder.store, workers=recipe.workers, models=models, redact=redact, limits=Limits(**in_force), elapsed=elapsed,
        isolation=in_short(walls), persons=hearing, clock=folder.store,
    )  # fmt: skip
    for branch in folder.store.branches():
        if branch.level == leaf(spec).name:
            for trial in folder.store.trials(branch.id):
                lab.meter.charge(trial.cost)
    lab.calls.priced = _of_money(recipe, lab.limits).money is not None
    return RunSession(folder, recipe, spec, lab, hosting, hearing)


def recorded(
    config: Mapping[str, Any], hosting: Hosting | None = None, task: Task | None = None
) -> tuple[Recipe, LoopSpec]:
    """The recipe that a run folder keeps, and its loops with the mechanisms as they were at the start; `task` is put in
    where it is given, and else found by its name.

    Raises InputError where the task's folder is no longer there.
    """
    recipe = resolve(config["recipe"])
    if task is None and Path(recipe.task).is_absolute() and not Path(recipe.task).exists():
        raise InputError(
            f"the task of this run is no longer in {recipe.task!r}; put its folder, or a link to it, back there: a run "
            "is gone on with, steered, replayed and verified with its task (`bilevel status`, `show`, `report`, "
            "`export` and `serve` show what its records hold without)"
        )
    warm = {name: codec.build(Known, data) for name, data in config.get("warm", {}).items()}
    texts = Texts(config.get("sources", {}), config.get("prompts", {}), known_noise(config).noise or UNKNOWN, warm)
    return recipe, build(recipe, texts, hosting, task)


def known_noise(config: Mapping[str, Any]) -> refining.Found:
    """What a run knew of the noise when it began: the same wherever and whenever it goes on."""
    found: refining.Found = codec.build(refining.Found, config.get("noise") or {})
    return found


def verdicts_of(folder: RunFolder[Any]) -> dict[str, Admission]:
    """What the door said in this run so far, by source: it says the same again, however slow the machine is now."""
    return {key: codec.build(Admission, data) for key, data in (folder.meta(VERDICTS) or {}).items()}


def _keep_verdicts(hosting: Hosting, folder: RunFolder[SqliteStore], verdicts: dict[str, Admission]) -> None:
    """Store what the door has said, and from now on whatever it says."""

    def keep(key: str, admission: Admission) -> None:
        verdicts[key] = admission
        folder.set_meta(VERDICTS, {known: codec.plain(verdict) for known, verdict in verdicts.items()})

    hosting.keep = keep
    for key, admission in list(verdicts.items()):
        keep(key, admission)


def keep_mishaps(hosting: Hosting, folder: RunFolder[Any]) -> None:
    """What mechanisms could not answer in this run so far they cannot now; what else they cannot is stored.

    To be called once the loops are built: a mechanism of the recipe that cannot be loaded then is an error, no fault.
    """
    mishaps = hosting.mishaps
    mishaps.known.update(folder.meta(MISHAPS) or {})
    mishaps.keep = lambda key, message: folder.set_meta(MISHAPS, dict(mishaps.known))


def _located(recipe: Recipe) -> Recipe:
    """The recipe with the paths in its agent's command line made absolute: a resume may start from another folder."""
    if recipe.inner.researcher != "agent":
        return recipe
    from bilevel.agents import located

    command = located(recipe.agent.command, Path.cwd())
    return recipe.model_copy(update={"agent": recipe.agent.model_copy(update={"command": command})})


def _of_money(recipe: Recipe, limits: Limits) -> Limits:
    """The limits; where there is none on money, the sum at which the gate asks, for which prices must be known too."""
    return limits if limits.money is not None else replace(limits, money=recipe.gate.money)


def _check_harness(folder: RunFolder[SqliteStore], spec: LoopSpec) -> None:
    from bilevel.errors import Diverged

    before, now = folder.meta("harness"), leaf(spec).task.harness
    if before is not None and before != now:
        raise Diverged(
            f"what measures task {leaf(spec).task.name!r} has changed since {folder.path} was started (its harness, "
            "source tree, command or interpreter), so old and new scores cannot be compared; start a new run, or put "
            "it back as it was"
        )


def _check_machine(folder: RunFolder[SqliteStore], spec: LoopSpec, go_on: bool) -> None:
    """Raises Diverged on a machine that the run was never on, unless it may; then it is written down."""
    from bilevel.errors import Diverged

    if isinstance(leaf(spec).task, External | ExternalFolder):
        return  # whoever drives the run measures
    now, first, others = machine.facts(), folder.meta("environment") or {}, folder.meta(MACHINES) or []
    found = machine.differences(first, now)
    if not found or any(not machine.differences(one["machine"], now) for one in others):
        return
    if not go_on:
        raise Diverged(
            f"{folder.path} was measured on another machine ({'; '.join(found)}), so old and new scores need not be "
            "comparable; go on there, start a new run here, or say with `bilevel resume --other-machine` that it may "
            "go on here: then the run says so"
        )
    done = sum(len(folder.store.trials(branch.id)) for branch in folder.store.branches())
    folder.set_meta(MACHINES, [*others, {"machine": now, "after": done, "differs": found}])


def spent(loop: Loop) -> bool:
    """Whether all trials of the loop's budget are told, whoever asked to stop."""
    budget = loop.budget
    return budget.trials is not None and len(loop.trace) > budget.trials


@contextmanager
def stopping(lab: Lab) -> Iterator[None]:
    """Within the block, the first Ctrl-C or SIGTERM asks to stop after what is running, the second ends that too; the
    third interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if lab.cancel.is_set():
            raise KeyboardInterrupt
        if lab.stop.is_set():
            lab.cancel.set()
        else:
            lab.stop.set()
            os.write(2, b"bilevel: stopping after what is running; Ctrl-C again ends that too (a resume repeats it)\n")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def free_folder(recipe: Recipe, root: Path = Path("runs")) -> Path:
    """A folder name that does not exist yet: runs/RECIPE-TASK-NUMBER."""
    task = Path(recipe.task.removeprefix(PREFIX).split(":")[0]).name
    number = 1
    while (root / f"{recipe.name}-{task}-{number}").exists():
        number += 1
    return root / f"{recipe.name}-{task}-{number}"
