"""Agents by name: the command line of each, the variables that it needs, and the program found on this machine.

The flags are those that the agents' own documentation gives for running unattended; an agent's next version may want
others, and then the whole command line is given instead of a name.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bilevel.errors import InputError

PLACES = ("prompt", "briefing", "python")
PREFIX = "agent:"  # before an agent's name where models are named
TEMPLATE = "command:"  # before a command line that would be taken for a name
_PLACE = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"^[A-Za-z_]\w*$")


@dataclass(frozen=True)
class Preset:
    """An agent that is known: its command line, the variables with its key, and what lets it edit without asking.

    `variables` are passed to it where they are set; one of `keys` it cannot do without, unless it is logged in.
    """

    name: str
    command: str
    keys: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    edits: str = ""

    @property
    def passed(self) -> tuple[str, ...]:
        return (*self.keys, *self.variables)


@dataclass(frozen=True)
class Agent:
    """An agent that can be run: its name, the words of its command line with their places, and its preset if any."""

    name: str
    words: tuple[str, ...]
    preset: Preset | None = None

    @property
    def program(self) -> str:
        """Its name without the word before it."""
        return self.name.removeprefix(PREFIX)

    def command(self, prompt: str, briefing: str) -> list[str]:
        """The command line with its places filled in; each word stays one word, whatever stands in it."""
        values = {"prompt": prompt, "briefing": briefing, "python": sys.executable}
        return [_PLACE.sub(lambda found: values[found[1]], word) for word in self.words]


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "claude",
            "claude -p {prompt} --output-format json --permission-mode acceptEdits",
            ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"),
            ("ANTHROPIC_BASE_URL",),
            "--permission-mode acceptEdits",
        ),
        Preset(
            "codex",
            "codex exec --json --sandbox workspace-write {prompt}",
            ("CODEX_API_KEY", "OPENAI_API_KEY"),
            ("OPENAI_BASE_URL",),
            "--sandbox workspace-write",
        ),
        Preset("opencode", "opencode run --format json {prompt}", edits="its default permissions"),
        Preset(
            "aider",
            "aider --message-file {briefing} --yes-always --no-auto-commits --no-pretty --no-check-update",
            edits="--yes-always",
        ),
        Preset(
            "gemini",
            "gemini --prompt {prompt} --output-format json --approval-mode auto_edit",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            edits="--approval-mode auto_edit",
        ),
    )
}


def agent(text: str) -> Agent:
    """The agent of a preset's name, or of a command line. Raises InputError for one that is no command line."""
    chosen = text.strip()
    known = PRESETS.get(chosen)
    template = known.command if known else chosen.removeprefix(TEMPLATE)
    try:
        words = tuple(shlex.split(template))
    except ValueError as error:
        raise InputError(f"agent {text!r} is not a command line: {error}") from None
    if not words:
        raise InputError(
            f"no agent is named: give --agent NAME ({', '.join(PRESETS)}) or a command line with {{prompt}}"
        )
    for place in _PLACE.findall(" ".join(words)):
        if place not in PLACES:
            raise InputError(
                f"agent {text!r} has a place {{{place}}}; those that are filled in are {{prompt}}, {{briefing}} and "
                "{python}"
            )
    return Agent(name_of(text), words, known or PRESETS.get(_program(words)))


def name_of(text: str) -> str:
    """The model's name of an agent, "agent:NAME", as the record of a run has it. Raises as `agent`."""
    chosen = text.strip()
    if chosen in PRESETS:
        return PREFIX + chosen
    try:
        words = tuple(shlex.split(chosen.removeprefix(TEMPLATE)))
    except ValueError as error:
        raise InputError(f"agent {text!r} is not a command line: {error}") from None
    return PREFIX + _program(words)


def located(text: str, here: Path) -> str:
    """The same command line with each file that it names by a path with a slash made absolute.

    An agent runs in a folder of its own, and a run may be resumed from another one.
    """
    if text.strip() in PRESETS:
        return text
    words = shlex.split(text.strip().removeprefix(TEMPLATE))
    return TEMPLATE + shlex.join([_absolute(word, here) for word in words])


def find_program(chosen: Agent) -> None:
    """Raises InputError where the agent's program, or git, is not on this machine."""
    program = chosen.command("", "")[0]
    if shutil.which(program) is None:
        raise InputError(
            f"agent {chosen.program!r}: there is no program {program!r} on the PATH; install it, or give another "
            "command line with --agent"
        )
    if shutil.which("git") is None:
        raise InputError("a coding agent works in a git repository, and there is no program 'git' on the PATH")


def variables(
    chosen: Agent, more: Iterable[str], value: Callable[[str], str | None] = os.environ.get
) -> dict[str, str]:
    """The variables that an agent is given beside the bare environment of every run, as far as they are set.

    Those are its preset's and the names in `more`, nothing else. Raises InputError for what is no name, and where a
    preset's key is not set and `more` does not say where else it is logged in.
    """
    wanted, more = chosen.preset.passed if chosen.preset else (), tuple(more)
    for name in more:
        if not _NAME.match(name):
            raise InputError(f"agent.env_pass: {name!r} is not the name of an environment variable")
    found = {name: text for name in dict.fromkeys((*wanted, *more)) if (text := value(name))}
    keys = chosen.preset.keys if chosen.preset else ()
    if keys and not more and not any(name in found for name in keys):
        raise InputError(
            f"agent {chosen.program!r} has no key: set {' or '.join(keys)}; or, where it is logged in, let it see "
            'that: env_pass = ["HOME"] in table [agent] of the recipe'
        )
    return found


def _program(words: tuple[str, ...]) -> str:
    """What a command is called: its program, or the script that an interpreter is given."""
    if not words:
        return ""
    name = Path(words[0]).name
    if re.fullmatch(r"\{python\}|python[\d.]*|node|bash|sh", name):
        name = next((Path(word).name for word in words[1:] if not word.startswith(("-", "{"))), name)
    return re.sub(r"[^\w.+-]", "", name) or "command"


def _absolute(word: str, here: Path) -> str:
    if "/" not in word or word.startswith("/") or _PLACE.search(word):
        return word
    return str((here / word).resolve()) if (here / word).exists() else word
