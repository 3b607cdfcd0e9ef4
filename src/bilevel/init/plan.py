"""What can be said of a repository before anything runs: its command with the parameters in it, and its data."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bilevel.init.commands import PYTHON, Command
from bilevel.init.flags import Constants, Flag, constants_of, flags, given, imported_files
from bilevel.init.guesses import Guess, guess
from bilevel.init.launcher import leaves
from bilevel.init.roles import CONFIGS, closed
from bilevel.init.tree import Tree
from bilevel.space import Value

NOT_CONFIGS = {"pyproject.toml", "package.json", "cargo.toml", "package-lock.json", "tsconfig.json", "params.json"}
SEEDS = ("SEED", "RANDOM_SEED", "RANDOM_STATE")
MOST_PARAMETERS = 60
CACHES = {
    "transformers|datasets|huggingface_hub|diffusers|sentence_transformers|timm": "~/.cache/huggingface",
    "torchvision|torchaudio": "~/.cache/torch",
    "sklearn": "~/scikit_learn_data",
    "nltk": "~/nltk_data",
    "keras|tensorflow": "~/.keras",
}
CODE = {".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".rs", ".zig", ".js", ".mjs", ".ts"}


@dataclass(frozen=True)
class Parameter:
    """A guessed parameter, and where it stands: a file, or an option of the command."""

    guess: Guess
    where: str


@dataclass(frozen=True)
class Plan:
    """A command as task.toml will have it, and what may be turned in it.

    `constants`: the files whose constants are parameters; then there are no others. `orders` are the launcher's, empty
    where none is needed. `seed`: (`argument` or `constant`, its name). `notes`: what was left out, and why.
    """

    command: Command
    words: tuple[str, ...]
    free: tuple[Parameter, ...] = ()
    fixed: tuple[Parameter, ...] = ()
    constants: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    orders: Mapping[str, Any] = field(default_factory=dict)
    seed: tuple[str, str] | None = None
    apart: tuple[str, ...] = ()
    read_paths: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def make(tree: Tree, command: Command, alone: bool) -> Plan:
    """The plan for a command. `alone`: the script with the files that it imports and names is the whole source.

    Parameters stand either in constants or in options and config files, whichever has more: a task cannot mix them.
    """
    sources = imported_files(command.script, tree) if command.script else tree.python
    loose = _loose(tree, command, sources)
    fixed_constants, in_constants = _constants(
        tree, [path for path in sources if not closed(tree, path, command.script)] or sources[:1]
    )
    free = [p for p in in_constants if p.guess.free]
    lower = [
        f"{path}: {', '.join(c.lower[:5])}" for path in sources if (c := constants_of(path, tree.text(path))).lower
    ]
    notes = []
    if lower and not free:
        notes.append(f"numbers at the top with small letters are no parameters; write them in capitals: {lower[0]}")
    apart, read_paths = _beside(tree, sources)
    common: dict[str, Any] = {
        "apart": apart, "read_paths": read_paths, "include": _alone(tree, command, sources) if alone else (),
    }  # fmt: skip
    if loose.free and len(loose.free) >= len(free):
        if free:
            notes.append(_left_out("constants", free))
        return Plan(
            command, loose.words, loose.free, loose.fixed, (), loose.configs, loose.orders, loose.seed,
            notes=tuple(notes), **common,
        )  # fmt: skip
    if loose.free:
        notes.append(_left_out("options and config values", loose.free))
    files = tuple(dict.fromkeys(p.where for p in free))
    names = [p.guess.name for p in in_constants if p.where in files and type(p.guess.value) is int]
    seed = loose.seed or next((("constant", name) for name in SEEDS if name in names), None)
    words = loose.words if not loose.free else command.words
    return Plan(
        command, words, tuple(free), tuple(p for p in in_constants if not p.guess.free), files, loose.configs,
        {}, seed, notes=(*notes, *fixed_constants), **common,
    )  # fmt: skip


def _left_out(what: str, free: Sequence[Parameter]) -> str:
    names = ", ".join(p.guess.name for p in free[:6])
    return f"the {what} ({names}) are no parameters, because a task has its parameters either there or in the others"


@dataclass(frozen=True)
class _Loose:
    words: tuple[str, ...]
    free: tuple[Parameter, ...]
    fixed: tuple[Parameter, ...]
    configs: tuple[str, ...]
    orders: Mapping[str, Any]
    seed: tuple[str, str] | None


def _loose(tree: Tree, command: Command, sources: Sequence[str]) -> _Loose:
    """Parameters that stand in no source: options of the command and values in config files."""
    open_ended = bool(command.script) and command.words[0] == PYTHON
    known = flags(tree.text(command.script)) if open_ended else {}
    _, valued = given(command.words, known)
    guessed = {name: guess(name, flag.value, flag.choices) for name, flag in valued.items()}
    turned = {name: flag for name, flag in known.items() if name in guessed and guessed[name].free}
    seed = next((flag for name, flag in known.items() if name.upper() in SEEDS and type(flag.value) is int), None)
    words, turned = given(command.words, {**turned, **({seed.name: seed} if seed else {})})
    turned = {name: flag for name, flag in turned.items() if name in guessed and guessed[name].free}
    configs, fixed_leaves, in_configs, taken = _configs(tree, command, sources, valued, set(turned))
    free = [Parameter(guessed[name], flag.option) for name, flag in turned.items()] + in_configs
    fixed = [Parameter(g, known[name].option) for name, g in guessed.items() if not g.free] + fixed_leaves
    if "params.json" in tree.files:
        free, taken, words, turned = [], {}, list(command.words), {}
    orders: dict[str, Any] = {}
    switches = {name: [flag.option, flag.off] for name, flag in turned.items() if flag.switch}
    options = {name: flag.option for name, flag in turned.items() if not flag.switch}
    if taken or switches:
        start = {p.guess.name: p.guess.value for p in in_configs}
        orders = {"configs": taken, "start": start, "switches": switches, "options": options}
        orders = {key: value for key, value in orders.items() if value}
    else:
        words += [f"{option}={{param:{name}}}" for name, option in options.items()]
    return _Loose(
        tuple(words), tuple(free), tuple(fixed), tuple(configs), orders,
        ("argument", seed.option) if seed else None,
    )  # fmt: skip


def _configs(
    tree: Tree, command: Command, sources: Sequence[str], valued: Mapping[str, Flag], names: set[str]
) -> tuple[list[str], list[Parameter], list[Parameter], dict[str, dict[str, list[str]]]]:
    """The config files that the command reads, and their numbers: (files, fixed, free, keys by name and file)."""
    texts = [*command.words, *(str(f.value) for f in valued.values()), *(tree.text(path) for path in sources)]
    found = [
        path
        for path in tree.files
        if PurePosixPath(path).suffix in CONFIGS - {".ini", ".cfg"}
        and PurePosixPath(path).name.lower() not in NOT_CONFIGS
        and not path.startswith(".")
        and not closed(tree, path, command.script)
        and any(_mentions(text, path) for text in texts)
    ]
    free: list[Parameter] = []
    fixed: list[Parameter] = []
    taken: dict[str, dict[str, list[str]]] = {}
    for path in [*found, *_code_files(tree)]:
        for leaf in leaves(path, tree.text(path)):
            name = ".".join(leaf.keys)
            guessed = _config_guess(name, leaf.keys, leaf.value)
            if guessed.free and name not in names and len(free) < MOST_PARAMETERS:
                names.add(name)
                free.append(Parameter(guessed, path))
                taken.setdefault(path, {})[name] = list(leaf.keys)
            else:
                fixed.append(Parameter(guessed, path))
    return found, fixed, free, taken


def _code_files(tree: Tree) -> list[str]:
    """Sources of C, Rust and their like, whose `#define`s and constants are numbers to turn."""
    return [p for p in tree.files if PurePosixPath(p).suffix in CODE and not closed(tree, p, "") and p.count("/") < 4][
        :200
    ]


def _config_guess(name: str, keys: Sequence[str], value: Value) -> Guess:
    """Judged by the last key; one of a section about data or measuring stays."""
    inner = guess(keys[-1], value)
    around = next((g for key in keys[:-1] if not (g := guess(key, 1.5)).free and "measured" in g.why), None)
    return Guess(name, value, {}, around.why) if around else Guess(name, value, inner.table, inner.why)


def _mentions(text: str, path: str) -> bool:
    name = PurePosixPath(path).name
    return bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text))


def _constants(tree: Tree, sources: Sequence[str]) -> tuple[tuple[str, ...], list[Parameter]]:
    """The constants of the sources, the first file that has a name wins; with notes on files passed over."""
    found: list[Parameter] = []
    seen: dict[str, str] = {}
    notes = []
    for path in sources:
        read: Constants = constants_of(path, tree.text(path))
        guessed = [Parameter(guess(n, v, read.options.get(n, ())), path) for n, v in read.values.items()]
        if not any(p.guess.free for p in guessed):
            continue
        if clash := [name for name in read.values if name in seen]:
            notes.append(f"{path}: its constants are no parameters, because {clash[0]} stands in {seen[clash[0]]} too")
            continue
        seen |= dict.fromkeys(read.values, path)
        found += guessed
    return tuple(notes), found


def _beside(tree: Tree, sources: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what is too large to be copied, what a run gets a link to): that, and ignored data that a source names."""
    text = "\n".join(tree.text(path) for path in (*sources, *tree.named("Makefile")))
    wanted = []
    for path in tree.ignored:
        plain = path.rstrip("/")
        name = PurePosixPath(plain).name
        hidden = name.startswith(".") or name in ("__pycache__", "node_modules", "venv", "build", "dist", "target")
        if hidden or name.endswith((".pyc", ".egg-info", ".so")) or (tree.root / plain / "pyvenv.cfg").exists():
            continue
        if re.search(rf"""["'/]{re.escape(plain)}["'/]""", text) and (tree.root / plain).exists():
            wanted.append(plain)
    wanted += [place for place in _caches(text) if Path(place).expanduser().exists()]
    inside = [path for path in tree.apart if (tree.root / path).resolve().is_relative_to(tree.root)]
    linked = [path for path in tree.apart if path not in inside or not (tree.root / path).is_symlink()]
    return tree.apart, (*linked, *wanted)  # a link to a folder of the tree would lead around the working copy


def _caches(text: str) -> Iterator[str]:
    """Folders of the user's HOME that the sources name, or that a library which they import reads: runs have a HOME of
    their own."""
    named = re.findall(r"""\.cache["']?\s*(?:/|,)\s*["']?([\w.-]+)""", text)
    yield from dict.fromkeys(f"~/.cache/{name}" for name in named)
    for modules, place in CACHES.items():
        if re.search(rf"^\s*(?:import|from)\s+(?:{modules})\b", text, re.MULTILINE):
            yield place


def _alone(tree: Tree, command: Command, sources: Sequence[str]) -> tuple[str, ...]:
    """The files that a single script needs: itself, what it imports, and what it names."""
    texts = [tree.text(path) for path in sources] or [tree.text(command.words[-1])]
    named = [path for path in tree.files if any(re.search(rf"""["'/ ]{re.escape(path)}["'\s]""", t) for t in texts)]
    own = [word for word in command.words if tree.has(word)]
    return tuple(dict.fromkeys([*own, *sources, *named]))
