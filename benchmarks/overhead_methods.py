"""One search in a process of its own, for `overhead.py`: `python overhead_methods.py METHOD TRIALS WARM SEED PORT`.

The process asks the stub on loopback twice: after WARM trials and after TRIALS more, either by the questions to the
model themselves (`llm` methods) or by `GET /mark`. It prints how many trials succeeded.
"""

import importlib.util
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model_stub import FILE, PROGRAM

NEEDS = {"optuna": "optuna", "ray": "ray", "openevolve": "openevolve", "bilevel llm": "pydantic_ai"}
TASK = """
name = "one-number"
title = "A program that returns a number"
[objective]
metric = "score"
direction = "maximize"
self_reported = true
[metrics.score]
read = "line"
label = "score"
[candidate]
editable = ["program.py"]
[command]
run = ["{python}", "program.py"]
[[rungs]]
name = "full"
wall_seconds = 60.0
"""
PRINTS = 'print("score:", 1 - abs(value() - 0.7))\n'
IN_WORKER = """
import importlib.util

def evaluate(path):
    spec = importlib.util.spec_from_file_location("candidate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"combined_score": 1 - abs(module.value() - 0.7)}
"""
IN_PROCESS = """
import subprocess, sys

def evaluate(path):
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, timeout=60)
    return {"combined_score": float(done.stdout.split()[-1])}
"""


def missing(method: str) -> str:
    """The package that a method needs and that is not installed; empty where nothing is missing."""
    needs = [package for start, package in NEEDS.items() if method.startswith(start)]
    return next((package for package in needs if importlib.util.find_spec(package) is None), "")


def mark(port: int) -> None:
    """Wait until the process that measures has looked at this one."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /mark HTTP/1.0\r\nHost: stub\r\n\r\n")
        while connection.recv(4096):
            pass


def bilevel_random(trials: int, warm: int, seed: int, port: int, folder: Path | None) -> int:
    from overhead import spec_of

    from bilevel.lab import Lab, MemoryStore
    from bilevel.loop import Loop
    from bilevel.store.sqlite import SqliteStore
    from bilevel.trial import Status

    loop = Loop(spec_of(warm + trials, seed), Lab(MemoryStore() if folder is None else SqliteStore(folder)))
    loop.run(until=warm)
    mark(port)
    loop.run(until=warm + trials)
    mark(port)
    return sum(trial.status is Status.OK for trial in loop.trace)


def optuna_random(trials: int, warm: int, seed: int, port: int, folder: Path | None) -> int:
    import optuna
    from overhead import suggested

    from bilevel.tasks.sphere import sphere

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = sphere(noise=0.01, crash=False)
    storage = None if folder is None else f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=seed))

    def objective(trial: optuna.Trial) -> float:
        return task.function(suggested(trial, task), seed)

    study.optimize(objective, n_trials=warm)
    mark(port)
    study.optimize(objective, n_trials=trials)
    mark(port)
    return len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def ray_random(trials: int, warm: int, seed: int, port: int, folder: Path) -> int:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    import ray
    from ray import tune

    from bilevel.tasks.sphere import sphere

    ray.init(
        num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        object_store_memory=80 * 2**20, _temp_dir=str(folder / "r"),
    )  # fmt: skip
    task = sphere(noise=0.01, crash=False)

    class Marks(tune.Callback):
        finished = 0

        def on_trial_complete(self, iteration: int, trials: list, trial: object, **info: object) -> None:  # type: ignore[type-arg]
            self.finished += 1
            if self.finished in (warm, warm + wanted):
                mark(port)

    wanted = trials
    tuner = tune.Tuner(
        lambda config: tune.report({"score": task.function(config, seed)}),
        param_space=_ray_space(tune, task),
        tune_config=tune.TuneConfig(
            metric="score", mode="min", num_samples=warm + trials, max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "results"), callbacks=[Marks()], verbose=0),
    )
    results = tuner.fit()
    ray.shutdown()
    return len(results) - results.num_errors


def _ray_space(tune, task) -> dict[str, object]:  # type: ignore[no-untyped-def]
    from bilevel.space import Choice, Float, Int

    space: dict[str, object] = {}
    for name, domain in task.space.domains.items():
        if domain.locked:
            space[name] = task.start.params[name]
        elif isinstance(domain, Float):
            space[name] = (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)
        elif isinstance(domain, Int) and domain.power_of_two:
            powers = range(domain.low.bit_length() - 1, domain.high.bit_length())
            space[name] = tune.choice([2**power for power in powers])
        elif isinstance(domain, Int):
            space[name] = (tune.lograndint if domain.log else tune.randint)(domain.low, domain.high + 1)
        else:
            space[name] = tune.choice(domain.options if isinstance(domain, Choice) else (False, True))
    return space


def bilevel_program(trials: int, warm: int, seed: int, port: int, folder: Path) -> int:
    """What `bilevel run a --task FOLDER --researcher llm` does: a run folder, a process for each candidate."""
    from bilevel.overriding import override
    from bilevel.recipe import find
    from bilevel.run import start
    from bilevel.trial import Status

    (folder / "task" / "start").mkdir(parents=True)
    (folder / "task" / "start" / FILE).write_text(PROGRAM.format(number="0.500000000000") + "\n\n" + PRINTS)
    (folder / "task" / "task.toml").write_text(TASK)
    (folder / "task" / "brief.md").write_text("Raise the score.\n")
    recipe = override(
        find("a"), task=str(folder / "task"), researcher="llm", models=["compatible:edit"], trials=warm + trials + 1,
        seed=seed, noise="own",
    )  # fmt: skip
    inner = recipe.inner.model_copy(update={"lessons": False, "calibration": 1})
    models = recipe.models.model_copy(update={"base_url": f"http://127.0.0.1:{port}/v1"})
    parts = {"inner": inner, "models": models, "claim": recipe.claim.model_copy(update={"on": False})}
    with start(recipe.model_copy(update=parts), folder / "run") as session:
        session.execute()
        return sum(trial.status is Status.OK for trial in session.folder.store.trials("root"))


def bilevel_value(trials: int, warm: int, seed: int, port: int, folder: Path) -> int:
    """A loop over a function in this process, one parameter, durable SQLite."""
    from bilevel.budget import Budget
    from bilevel.lab import Lab
    from bilevel.llm import Keys, ModelOptions, connect
    from bilevel.loop import Loop, LoopSpec
    from bilevel.objective import Objective
    from bilevel.researchers import make
    from bilevel.space import Candidate, Float, Space
    from bilevel.store.sqlite import SqliteStore
    from bilevel.tasks.function import FunctionTask
    from bilevel.trial import Status

    task = FunctionTask(
        "one-number", lambda params, seed: 1 - abs(params["x"] - 0.7), Space({"x": Float(0.0, 1.0)}),
        Candidate({"x": 0.5}), Objective("score", minimize=False), "Raise the score.",
    )  # fmt: skip
    model = connect("compatible:value", ModelOptions(base_url=f"http://127.0.0.1:{port}/v1"), Keys.load())
    spec = LoopSpec("inner", task, make("llm", "1"), budget=Budget(trials=warm + trials + 1), seed=seed, calibration=1)
    trace = Loop(spec, Lab(SqliteStore(folder), models={"inner": model})).run()
    return sum(trial.status is Status.OK for trial in trace)


def openevolve(trials: int, warm: int, seed: int, port: int, folder: Path, evaluator: str = IN_WORKER) -> int:
    """Its defaults, but for no cascade: the evaluator has one stage."""
    import asyncio

    from openevolve import OpenEvolve
    from openevolve.config import Config, LLMModelConfig

    program = PROGRAM.format(number="0.500000000000")
    prints = PRINTS if evaluator is IN_PROCESS else ""
    (folder / FILE).write_text(f"# EVOLVE-BLOCK-START\n{program}# EVOLVE-BLOCK-END\n{prints}")
    (folder / "evaluator.py").write_text(evaluator)
    config = Config(random_seed=seed, max_iterations=warm + trials + 1)
    config.llm.models = [LLMModelConfig(name="edit")]
    config.llm.evaluator_models = list(config.llm.models)
    asked = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none", "temperature": 0.7, "max_tokens": 4096}
    config.llm.update_model_params({**asked, "timeout": 60, "retries": 3, "retry_delay": 5, "random_seed": seed})
    config.evaluator.cascade_evaluation = False
    search = OpenEvolve(str(folder / FILE), str(folder / "evaluator.py"), config, output_dir=str(folder / "out"))
    asyncio.run(search.run())
    logs = [log.read_text() for log in (folder / "out" / "logs").iterdir()]
    return sum(text.count(" - Evaluated program ") for text in logs)


@dataclass(frozen=True)
class Method:
    """`search(trials, warm, seed, port, folder)` gives how many trials succeeded; `asks`: each asks a model once."""

    search: Callable[[int, int, int, int, Path], int]
    asks: bool = False


def in_memory(search: Callable[..., int]) -> Callable[[int, int, int, int, Path], int]:
    return lambda trials, warm, seed, port, folder: search(trials, warm, seed, port, None)


METHODS = {
    "bilevel, in memory": Method(in_memory(bilevel_random)),
    "optuna, in memory": Method(in_memory(optuna_random)),
    "bilevel, SQLite": Method(bilevel_random),
    "optuna, SQLite": Method(optuna_random),
    "ray tune": Method(ray_random),
    "bilevel llm, values": Method(bilevel_value, asks=True),
    "bilevel llm, program": Method(bilevel_program, asks=True),
    "openevolve": Method(openevolve, asks=True),
    "openevolve, processes": Method(partial(openevolve, evaluator=IN_PROCESS), asks=True),
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as scratch:
        print(METHODS[sys.argv[1]].search(*map(int, sys.argv[2:]), Path(scratch)))
