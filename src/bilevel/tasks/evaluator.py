"""A task made of a program and an evaluator with `evaluate(path) -> dict`, as evolution tools use them.

`write_task` writes an ordinary task folder: the program is the file that candidates change, the evaluator and what
calls it are its harness. So it is measured like any other task, in a process tree of its own with limits, out of a
fresh copy. Not taken over: stages (`evaluate_stage1`), artifacts, and a check that only the text between EVOLVE-BLOCK
marks changes (the brief asks for it). An evaluator that runs the program in its own process believes what the program
does to it: such a score is as honest as the program.
"""

import ast
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from bilevel.errors import InputError
from bilevel.tasks.model import TASK_FILE

MEASURE = '''"""Calls `evaluate(path)` of the evaluator beside this file and writes the numbers that it returns."""

import importlib.util
import json
import math
import sys
import traceback
from pathlib import Path


def main(evaluator, program, result, metric):
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here))
    try:
        spec = importlib.util.spec_from_file_location("evaluator", here / evaluator)
        module = importlib.util.module_from_spec(spec)
        sys.modules["evaluator"] = module
        spec.loader.exec_module(module)
        evaluate = module.evaluate
    except BaseException as error:
        traceback.print_exc()
        print(f"INFRASTRUCTURE: the evaluator cannot be imported: {type(error).__name__}: {error}")
        return 13
    try:
        found = evaluate(program)
    except MemoryError:
        raise
    except BaseException as error:
        traceback.print_exc()
        print(f"CRASHED: {type(error).__name__}: {error}")
        return 12
    found = getattr(found, "metrics", found)
    found = found if isinstance(found, dict) else {metric: found}
    numbers = {}
    for name, value in found.items():
        if isinstance(value, (str, bool)) or value is None:
            print(f"{name}: {value}")
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            numbers[str(name)] = number
    Path(result).write_text(json.dumps(numbers))
    return 0


sys.exit(main(*sys.argv[1:]))
'''


def write_task(
    evaluator: Path,
    program: Path,
    folder: Path,
    *,
    metric: str = "combined_score",
    minimize: bool = False,
    more_metrics: Sequence[str] = (),
    files: Sequence[Path] = (),
    seconds: float = 600.0,
    memory: int = 4 * 2**30,
    brief: str = "",
) -> None:
    """Write a task folder. `files` lie beside the evaluator when it runs. Raises InputError for what cannot be used."""
    source, text = _python(evaluator, "evaluator"), _python(program, "program")
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    if "evaluate" not in functions:
        raise InputError(f"evaluator {str(evaluator)!r} has no function evaluate(path) at its top level")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} is not an empty folder; name another one")
    for path in files:
        if not path.is_file():
            raise InputError(f"there is no file {str(path)!r} to lie beside the evaluator")
    if (clash := "measure.py") in {path.name for path in (evaluator, *files)}:
        raise InputError(f"a file of the evaluator cannot be called {clash!r}; rename it")
    (folder / "start").mkdir(parents=True)
    (folder / "harness").mkdir()
    for path in (evaluator, *files):
        shutil.copyfile(path, folder / "harness" / path.name)
    (folder / "harness" / "measure.py").write_text(MEASURE, "utf-8")
    shutil.copyfile(program, folder / "start" / program.name)
    said = brief or _brief(program.name, text, ast.get_docstring(functions["evaluate"]) or "", metric, minimize)
    (folder / "brief.md").write_text(said.strip() + "\n", "utf-8")
    names = [metric, *(name for name in more_metrics if name != metric)]
    toml = _toml(_name(folder), evaluator.name, program.name, names, minimize, seconds, memory)
    (folder / TASK_FILE).write_text(toml, "utf-8")


def _toml(
    name: str, evaluator: str, program: str, metrics: Sequence[str], minimize: bool, seconds: float, memory: int
) -> str:
    command = [
        "{python}", "{harness}/measure.py", evaluator, f"{{workdir}}/{program}", "{result}/metrics.json", metrics[0],
    ]  # fmt: skip
    reading = "\n".join(
        f'[metrics.{json.dumps(m)}]\nread = "json"\nfile = "metrics.json"\nkey = {json.dumps(m)}\n' for m in metrics
    )
    return f"""name = {json.dumps(name)}
title = {json.dumps(f"{program}, judged by {evaluator}")}

[objective]
metric = {json.dumps(metrics[0])}
direction = "{"minimize" if minimize else "maximize"}"
self_reported = false

{reading}
[candidate]
editable = [{json.dumps(program)}]

[command]
run = {json.dumps(command)}

[[rungs]]
name = "full"
wall_seconds = {float(seconds)}
memory_bytes = {int(memory)}
"""


def _brief(program: str, text: str, docstring: str, metric: str, minimize: bool) -> str:
    lines = [f"Improve {program}: {'lower' if minimize else 'raise'} the {metric} that its evaluator gives it."]
    if "EVOLVE-BLOCK" in text:
        lines.append("Change only what stands between the EVOLVE-BLOCK-START and EVOLVE-BLOCK-END marks.")
    return "\n\n".join([*lines, docstring])


def _python(path: Path, what: str) -> str:
    try:
        text = path.read_text("utf-8")
        ast.parse(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise InputError(f"{what} {str(path)!r} cannot be read as Python: {error}") from None
    return text


def _name(folder: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_") or "task"
