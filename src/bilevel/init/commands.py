"""The command that measures a repository as it stands: where one was found, and which is the best."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from bilevel.errors import InputError
from bilevel.init.tree import Tree

PYTHON = "{python}"
SHELL = re.compile(r"[|&;<>$`*?\n]|(^|\s)~")
STRAY = re.compile(r"\{[A-Za-z]\w*(:\w+)?\}")
RUNNERS = {"uv": "run", "poetry": "run", "pdm": "run", "pipenv": "run", "rye": "run", "hatch": "run"}
CLOSE = 4  # two commands whose worth differs by less are a question


@dataclass(frozen=True)
class Command:
    """A command as task.toml has it (`{python}` is the interpreter), where it was found, and how likely it is the one.

    `script` is the Python file that it runs, if it is one; `env` what stood before it (`NAME=value`); `interpreter` the
    Python that it named, if it was not just `python`.
    """

    words: tuple[str, ...]
    places: tuple[str, ...]
    worth: int = 0
    script: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    interpreter: str = ""

    @property
    def text(self) -> str:
        words = ["python" if word == PYTHON else word for word in self.words]
        return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in self.env.items()), shlex.join(words)])


def parse(text: str, tree: Tree, place: str, worth: int = 0) -> Command | None:
    """The command that a line of a shell stands for, None where it runs nothing of this tree."""
    text = text.strip()
    if SHELL.search(text):
        return _shell(text, tree, place, worth)
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    env: dict[str, str] = {}
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if len(words) > 2 and RUNNERS.get(words[0]) == words[1] and not words[2].startswith("-"):
        words = words[2:]
    if not words:
        return None
    interpreter = ""
    if re.fullmatch(r"(.*/)?python[\d.]*", words[0]) or words[0] == PYTHON:
        interpreter = words[0] if "/" in words[0] else ""
        words[0] = PYTHON
    elif words[0].removeprefix("./").endswith(".py") and tree.has(_plain(words[0])):
        words = [PYTHON, _plain(words[0]), *words[1:]]
    script = ""
    if words[0] == PYTHON:
        found = _script(words, tree)
        if found is None:
            return None
        script = found
    elif words[0].startswith("./") or "/" in words[0]:
        if not words[0].startswith("/") and not tree.has(_plain(words[0])):
            return None
    elif words[0] in ("sh", "bash", "node") and not words[-1].startswith("-") and not any(map(tree.has, words[1:])):
        return None
    return Command(tuple(words), (place,), worth, script, env, interpreter)


def given(text: str, tree: Tree) -> Command:
    """The command that a person gave. Raises InputError where it cannot be one."""
    if STRAY.search(text.replace(PYTHON, "")):
        raise InputError(
            f"--command {text!r} holds braces that task.toml would read as a placeholder; put it into a script, and "
            'give "sh script.sh"'
        )
    command = parse(text, tree, "--command", 1000)
    if command is None:
        raise InputError(
            f"--command {text!r} runs nothing that is there: its script is not among the {len(tree.files)} files of "
            f"{str(tree.root)!r}; give it as you would type it in that folder"
        )
    return command


def of_script(path: str, tree: Tree) -> Command:
    """The command that runs one Python or shell script of the tree."""
    runner = PYTHON if path.endswith(".py") else "sh"
    command = parse(f"{shlex.quote(runner)} {shlex.quote(path)}", tree, "the script that was given", 1000)
    if command is None:
        raise InputError(f"{path!r} cannot be run; give a Python or shell script, or --command")
    return command


def find(tree: Tree) -> list[Command]:
    """All commands that were found, the likeliest first; the same one found in several places is one."""
    from bilevel.init import places

    merged: dict[tuple[str, ...], Command] = {}
    for command in places.everywhere(tree):
        old = merged.get(command.words)
        if old is None:
            merged[command.words] = command
        else:
            both = tuple(dict.fromkeys((*old.places, *command.places)))
            merged[command.words] = replace(
                old, places=both, worth=max(old.worth, command.worth) + 1, env={**command.env, **old.env}
            )
    return sorted(merged.values(), key=lambda command: -command.worth)


def clear(found: list[Command]) -> Command | None:
    """The best command, where none is about as likely."""
    if not found or (len(found) > 1 and found[0].worth - found[1].worth < CLOSE):
        return None
    return found[0]


def _plain(path: str) -> str:
    return PurePosixPath(path).as_posix().removeprefix("./")


def _shell(text: str, tree: Tree, place: str, worth: int) -> Command | None:
    """A line that needs a shell: `sh -c`, with the interpreter put where it says python."""
    text = re.sub(r"\$\{([A-Za-z_]\w*)\}", r"$\1", text)
    text = re.sub(r"(^|[;&|]\s*)python3?(?=\s)", rf'\1"{PYTHON}"', text)
    if STRAY.search(text.replace(PYTHON, "")):
        return None
    script = ""
    if (hit := re.search(r"[\w./-]+\.py\b", text)) and tree.has(_plain(hit[0])):
        script = _plain(hit[0])
    return Command(("sh", "-c", text), (place,), worth, script)


def _script(words: list[str], tree: Tree) -> str | None:
    """The file of the tree that `python …` runs; empty for `-c`; None where it is not in the tree."""
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[2:] if rest[0] in ("-W", "-X") else rest[1:]
    if not rest:
        return None
    if rest[0] == "-c":
        return ""
    if rest[0] == "-m":
        return tree.module(rest[1]) if len(rest) > 1 else None
    return _plain(rest[0]) if tree.has(_plain(rest[0])) else None


def everything(found: list[Command]) -> Iterator[str]:
    """One line for each command: what, and where it was found."""
    for command in found:
        yield f"{command.text}   ({', '.join(command.places)})"
