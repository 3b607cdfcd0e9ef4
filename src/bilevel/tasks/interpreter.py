"""The Python that `{python}` of a task's commands stands for: somebody's own, used as it is, or ours."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bilevel.codec import content_hash
from bilevel.errors import InputError

AUTO = "auto"
PLACES = (".venv/bin/python", "venv/bin/python")


@dataclass(frozen=True)
class Interpreter:
    """The program that runs the commands, and what a record may say of it.

    `name` is what task.toml says, or what was found. `packages` is a hash of the names and versions of what is
    installed beside it, empty where that is not found.
    """

    path: str
    name: str
    ours: bool
    version: str = ""
    packages: str = ""

    @property
    def bin(self) -> str:
        """The folder with the programs that were installed beside it."""
        return os.path.dirname(self.path)

    @property
    def environment(self) -> str:
        """The virtual environment that it belongs to; empty if to none."""
        folder = os.path.dirname(self.bin)
        return folder if os.path.isfile(os.path.join(folder, "pyvenv.cfg")) else ""

    def record(self) -> dict[str, object]:
        """The facts for the record of a run; no place, so that they are the same on another machine."""
        facts = {"python": self.name, "version": self.version, "packages": self.packages}
        return {name: value for name, value in facts.items() if value}


def find_interpreter(text: str, source: Path) -> Interpreter:
    """The interpreter that `[command] python` means. Raises InputError if it is not there.

    `auto` is the one of the virtual environment in the source, ours where there is none. A text with a slash is a path,
    relative to the source; another one a program of the PATH. A link is not followed: by its own place an interpreter
    finds the packages of its virtual environment.
    """
    if text == AUTO:
        for place in PLACES:
            if os.path.lexists(source / place):
                return _at(source / place, place)
        return Interpreter(sys.executable, "bilevel's own", True, platform.python_version())
    if "/" not in text:
        program = shutil.which(text)
        if program is None:
            raise InputError(f"command.python: there is no program {text!r} on the PATH; give the path of a Python")
        return _at(Path(program), text)
    try:
        return _at(source / Path(text).expanduser(), text)
    except RuntimeError as error:
        raise InputError(f"command.python: {text!r}: {error}") from None


def _at(place: Path, name: str) -> Interpreter:
    path = os.path.normpath(place.absolute())
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise InputError(
            f"command.python: {path!r} is not a program that can be run; make the environment (python3 -m venv, uv "
            "sync …), or give the path of the Python that the command needs"
        )
    folder = Path(path).parent.parent
    version = ""
    if (folder / "pyvenv.cfg").is_file():
        pairs = [line.partition("=") for line in (folder / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()]
        facts = {key.strip(): value.strip() for key, _, value in pairs}
        version = facts.get("version") or facts.get("version_info", "")
    installed = sorted(found.name for found in folder.glob("lib/python*/site-packages/*.dist-info"))
    return Interpreter(path, name, False, version, content_hash(installed)[:12] if installed else "")
