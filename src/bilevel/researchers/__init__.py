"""Researchers: who proposes what to try next. Each is a frozen dataclass in a module of its own, imported when made."""

import importlib
from dataclasses import dataclass
from typing import Any

from bilevel.errors import InputError
from bilevel.named import PREFIX, made
from bilevel.researcher import Researcher


@dataclass(frozen=True)
class Listed:
    """A researcher as a catalogue shows it; `level` is the level that it works on: "1", "1.5" or "2"."""

    name: str
    level: str
    title: str
    where: str


_LISTED = (
    Listed("coordinate", "1", "one parameter at a time, to the next value", "coordinate:Coordinate"),
    Listed("bayesian", "1", "Bayesian optimisation around the best, a Gaussian process", "bayesian:Bayesian"),
    Listed("random", "1", "random search", "random:Random"),
    Listed("stuck", "1", "an imitation of a model that repeats its favourite changes", "stuck:Stuck"),
    Listed("optuna", "1", "Optuna's TPE (needs the extra 'optuna')", "optuna:OptunaResearcher"),
    Listed("llm", "1", "a language model (needs the extra 'llm')", "llm_inner:ModelResearcher"),
    Listed("agent", "1", "a coding agent (claude, codex, any command line) in a working copy", "agent:AgentResearcher"),
    Listed("page_rules", "1", "edits a text by rules, for the task page", "page_rules:PageRules"),
    Listed("workflow", "1", "a language model revises a text in five gated steps", "workflow:Workflow"),
    Listed("external", "1", "whoever drives the run with `bilevel suggest` and `propose`", "external:External"),
    Listed("scripted", "1", "replays given replies, for tests", "scripted:Scripted"),
    Listed("settings_rules", "1.5", "turns the inner loop's settings by rules", "settings_rules:SettingsRules"),
    Listed("llm", "1.5", "a language model turns the inner loop's settings", "llm_settings:ModelSettings"),
    Listed("library", "2", "selects mechanisms from the library by a diagnosis", "library:LibraryResearcher"),
    Listed("lift", "2", "on level 3: lifts what level 2 kept onto level 2 itself", "lifting:LiftResearcher"),
    Listed("llm", "2", "a language model writes mechanisms, in sessions of four rounds", "llm_session:ModelSession"),
)


def catalog() -> tuple[Listed, ...]:
    """The researchers that are shipped."""
    return _LISTED


def make(name: str, level: str = "", **options: Any) -> Researcher:
    """A researcher by its name in the catalogue, and the level where one name stands for several.

    `options` are its dataclass fields; `python:module:Class`, a researcher of somebody else's module, takes none.
    Raises InputError.
    """
    if name.startswith(PREFIX):
        own: Researcher = made(name, Researcher, "researcher")
        return own
    for listed in _LISTED:
        if listed.name == name and level in ("", listed.level):
            module, kind = listed.where.split(":")
            return _made(getattr(importlib.import_module(f"bilevel.researchers.{module}"), kind), name, options)
    known = ", ".join(dict.fromkeys(listed.name for listed in _LISTED))
    raise InputError(f"there is no researcher {name!r}; there are: {known}")


def _made(kind: Any, name: str, options: dict[str, Any]) -> Researcher:
    try:
        made: Researcher = kind(**options)
    except TypeError as error:
        raise InputError(
            f"researcher {name!r} cannot be made with {', '.join(options) or 'no options'}: {error}"
        ) from None
    return made
