"""Make the token files of the task, once: `python prepare.py CACHE`.

Reads the text, trains the tokenizer on its training part, and leaves train.npy, val.npy, test.npy (uint16
tokens), token_bytes.npy (how many bytes each token stands for) and manifest.json in a folder of CACHE named
by their content's identity. The folder appears whole or not at all, so two runs may prepare at the same time.
Exit codes: 0, or 13 with `INFRASTRUCTURE: ...` as the last line.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpe
import corpus
import numpy as np
import numpy.typing as npt

REFERENCE_CPU_SECONDS = 0.03  # what the workload of `slowness` took on the machine that the limits were measured on
SIZES = {"cpu": (1024, 128), "cuda": (8192, 2048)}  # device -> vocabulary, sequence length


@dataclass(frozen=True)
class Data:
    """A prepared text: where its token files lie, and what they were made of."""

    folder: Path
    manifest: dict[str, Any]

    def tokens(self, split: str) -> bpe.Tokens:
        """The tokens of "train", "val" or "test"."""
        loaded: bpe.Tokens = np.load(self.folder / f"{split}.npy")
        return loaded

    def token_bytes(self) -> npt.NDArray[np.int64]:
        """For each token, the number of bytes it stands for."""
        loaded: npt.NDArray[np.int64] = np.load(self.folder / "token_bytes.npy")
        return loaded


def ensure(cache: Path, choice: str | None, vocab_size: int) -> Data:
    """The prepared data, made now if the cache does not hold it. Raises CorpusMissing and OSError."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (bpe, corpus))
    key = hashlib.sha256(f"{corpus.identity(choice)}|{vocab_size}|".encode() + code).hexdigest()[:20]
    folder = cache / f"gpt-tokens-{key}"
    if not (folder / "manifest.json").exists():
        _make(folder, corpus.load(choice), vocab_size)
    return Data(folder, json.loads((folder / "manifest.json").read_text()))


def _make(folder: Path, text: corpus.Corpus, vocab_size: int) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        merges = bpe.train(text.text("train"), vocab_size)
        counts = {}
        for split in corpus.SPLITS:
            tokens = bpe.encode(text.text(split), merges)
            counts[split] = len(tokens)
            np.save(draft / f"{split}.npy", tokens)
        np.save(draft / "token_bytes.npy", np.array([len(part) for part in bpe.vocabulary(merges)], dtype=np.int64))
        manifest = {"corpus": text.name, "sha256": text.sha256, "vocab_size": 256 + len(merges), "tokens": counts}
        (draft / "manifest.json").write_text(json.dumps({**manifest, "merges": merges}))
        os.rename(draft, folder)
    except OSError:
        if not (folder / "manifest.json").exists():  # otherwise another run was faster, with the same content
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def slowness(cache: Path) -> float:
    """How many times slower this machine is than the one the limits were measured on; 1 to 10, kept in `cache`."""
    kept = cache / "gpt-slowness.json"
    try:
        return min(10.0, max(1.0, float(json.loads(kept.read_text()))))
    except (OSError, ValueError, TypeError):
        pass
    left = np.linspace(0, 1, 512 * 512, dtype=np.float32).reshape(512, 512)
    large = np.zeros(4_000_000, dtype=np.float32)
    rounds = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(4):
            np.tanh(left @ left)
            np.tanh(large + 1)
        rounds.append(time.process_time() - started)
    factor = min(10.0, max(1.0, min(rounds) / REFERENCE_CPU_SECONDS))
    draft = cache / f"gpt-slowness.{os.getpid()}"
    cache.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(factor))
    os.replace(draft, kept)
    return factor


def device() -> str:
    """What BILEVEL_DEVICE says, "cuda" or "cpu", else whether torch finds a CUDA GPU (asking imports torch)."""
    chosen = os.environ.get("BILEVEL_DEVICE")
    if chosen in SIZES:
        return str(chosen)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> int:
    """Prepare the data for this machine's device and say what was made."""
    try:
        vocab_size, _ = SIZES[device()]
        slowness(Path(sys.argv[1]))
        data = ensure(Path(sys.argv[1]), os.environ.get("BILEVEL_CORPUS"), vocab_size)
    except (corpus.CorpusMissing, OSError) as error:
        print(f"INFRASTRUCTURE: {error}", file=sys.stderr)
        return 13
    except ModuleNotFoundError as error:
        print(f"INFRASTRUCTURE: {error}; install it with `pip install torch==2.13.0`", file=sys.stderr)
        return 13
    shown = {key: value for key, value in data.manifest.items() if key != "merges"}
    print(json.dumps(shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
