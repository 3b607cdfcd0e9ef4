"""Guests by import path: `python:module:attribute`, for tasks and researchers that live outside this package."""

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from bilevel.errors import InputError

PREFIX = "python:"


def made(text: str, port: type, what: str) -> Any:
    """What `python:module:attribute` names; a class or a function is called without arguments, to make it.

    The module is looked for in the current folder first, then among the installed packages. Raises InputError where it
    is not there, fails, or lacks a member of `port`.
    """
    module, _, attribute = text.removeprefix(PREFIX).partition(":")
    if not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        raise InputError(f"{what} {text!r} cannot be read; write python:MODULE:NAME, as in python:routes:TASK")
    found: Any = _imported(module, f"{what} {text!r}")
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InputError(
                f"{what} {text!r}: {module} has no {attribute!r}; it has: {', '.join(_own(found, module))}"
            )
        found = getattr(found, part)
    if callable(found):
        try:
            found = found()
        except Exception as error:
            raise InputError(f"{what} {text!r} cannot be made without arguments: {_said(error)}") from error
    missing = [name for name in vars(port) if not name.startswith("_") and not hasattr(found, name)]
    if missing:
        raise InputError(
            f"{what} {text!r} is a {type(found).__name__} and lacks {', '.join(missing)}; see "
            f"{port.__module__}.{port.__name__}"
        )
    return found


def _imported(module: str, said: str) -> Any:
    here = os.getcwd()
    top = module.partition(".")[0]
    ours = [Path(here, top, "__init__.py").resolve(), Path(here, f"{top}.py").resolve()]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if top in sys.modules and any(map(Path.is_file, ours)) and (not loaded or Path(loaded).resolve() not in ours):
        raise InputError(f"{said}: a module {top!r} from elsewhere is loaded already; give yours another name")
    sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise InputError(
                f"{said}: there is no module {error.name!r} in the current folder, nor an installed one; a run that "
                "began with a module of its folder is gone on with, and read, from the same folder"
            ) from None
        raise InputError(f"{said} cannot be imported: {_said(error)}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{said} cannot be imported: {_said(error)}") from error
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)  # for what it imports later; it hides nothing that is installed


def _own(thing: Any, module: str) -> list[str]:
    """The names that a module defines itself, as far as can be told."""
    public = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    foreign = (value for value in public.values() if isinstance(value, type | FunctionType | ModuleType))
    others = {id(value) for value in foreign if getattr(value, "__module__", "") != module}
    return [name for name, value in public.items() if id(value) not in others]


def _said(error: BaseException) -> str:
    """An error with the place where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
