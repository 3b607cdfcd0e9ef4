"""Tasks that are folders: a program that prints its loss, with a scorer of its own or without."""

from pathlib import Path

TABLES = """
name = "{name}"
title = "A program that prints its loss"
[objective]
metric = "loss"
direction = "minimize"
self_reported = {self_reported}
[metrics.loss]
read = "line"
label = "loss"
[candidate]
editable = ["main.py"]
[space]
constants = ["main.py"]
[space.parameters.SIZE]
type = "int"
low = 1
high = 64
[space.parameters.DEPTH]
type = "int"
low = 1
high = 64
[space.parameters.WIDTH]
type = "int"
low = 1
high = 64
[command]
run = {command}
[[rungs]]
name = "full"
wall_seconds = 60.0
"""
PROGRAM = """SIZE = 8
DEPTH = 3
WIDTH = 5


def loss():
    return 1.0 + abs(SIZE - 20) + abs(DEPTH - 10) + abs(WIDTH - 40)
"""
PRINTED = 'print("loss:", loss())\n'


def folder_task(
    folder: Path,
    *,
    program: str = PROGRAM + PRINTED,
    brief: str = "Make it small.",
    scorer: str = "",
    name: str = "small",
) -> Path:
    """Write a task into a folder. With a `scorer`, harness/score.py, that prints the loss of main.py."""
    (folder / "start").mkdir(parents=True)
    (folder / "start" / "main.py").write_text(program)
    (folder / "brief.md").write_text(brief + "\n")
    command = '["{python}", "main.py"]'
    if scorer:
        (folder / "harness").mkdir()
        (folder / "harness" / "score.py").write_text(scorer)
        command = '["{python}", "{harness}/score.py", "a word"]'
    tables = TABLES.format(name=name, self_reported="false" if scorer else "true", command=command)
    (folder / "task.toml").write_text(tables)
    return folder
