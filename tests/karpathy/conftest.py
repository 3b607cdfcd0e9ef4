"""A stand-in for a checkout of autoresearch: its layout and its output, in milliseconds."""

import hashlib
import json
import os
import subprocess
import sys
import venv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bilevel.recipe import find, override
from bilevel.run import start

for part in ("llm", "models"):  # servers, wires; the researcher behind HTTP
    sys.path.append(str(Path(__file__).parents[1] / part))

TRAIN = '''"""A stand-in for the training script: the score is a function of the constants."""
import os
import sys
import time

import only_in_this_environment
from prepare import TIME_BUDGET, evaluate_bpb, load_tokenizer

t_start = time.time()
# ---------------------------------------------------------------------------
# Hyperparameters (edit these directly, no CLI flags needed)
# ---------------------------------------------------------------------------

# Model architecture
ASPECT_RATIO = 64       # model_dim = depth * ASPECT_RATIO
HEAD_DIM = 128          # target head dimension for attention
WINDOW_PATTERN = "SSSL" # sliding window pattern: L=full, S=half context

# Optimization
TOTAL_BATCH_SIZE = 2**19 # ~524K tokens per optimizer step
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 0.004
MATRIX_LR = 0.04
SCALAR_LR = 0.5
WEIGHT_DECAY = 0.2
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO = 0.0
WARMDOWN_RATIO = 0.5
FINAL_LR_FRAC = 0.0

# Model size
DEPTH = 8
DEVICE_BATCH_SIZE = 128

H100_BF16_PEAK_FLOPS = 989.5e12


def useless(value):
    """It returns what it is given."""
    return value


for step in range(3):
    print(f"\\rstep {step:05d} ({100 * step / 3:.1f}%) | loss: {3 - step:.6f} | lrm: 1.00", end="", flush=True)
assert HEAD_DIM <= 128, "no kernel for such heads"
assert TOTAL_BATCH_SIZE % (DEVICE_BATCH_SIZE * 2048) == 0
with open(os.path.expanduser("~/.triton/kernels"), "a") as cache:
    cache.write("compiled\\n")
val_bpb = evaluate_bpb(useless(MATRIX_LR), WARMDOWN_RATIO, DEPTH, ASPECT_RATIO, load_tokenizer())
print("\\n---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {TIME_BUDGET:.1f}")
print(f"total_seconds:    {TIME_BUDGET + 25.8:.1f}")
print(f"peak_vram_mb:     {5632.5 * DEPTH:.1f}")
print(f"mfu_percent:      {39.8:.2f}")
print(f"total_tokens_M:   {499.6:.1f}")
print(f"num_steps:        {953}")
print(f"num_params_M:     {50.3:.1f}")
print(f"depth:            {DEPTH}")
'''
PREPARE = '''"""Fixed constants, data and evaluation. Do not modify."""
import math
import os

MAX_SEQ_LEN = 2048       # context length
TIME_BUDGET = 300        # training time budget in seconds (5 minutes)
CACHE_DIR = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")


def load_tokenizer():
    with open(os.path.join(CACHE_DIR, "tokenizer.txt")) as file:
        return file.read()


def evaluate_bpb(matrix_lr, warmdown, depth, aspect, tokenizer):
    assert tokenizer == "abc"
    loss = 0.9 + 0.1 * math.log(matrix_lr / 0.02) ** 2 + 0.1 * (warmdown - 0.7) ** 2
    return loss + 0.002 * abs(depth - 10) + 0.0004 * abs(aspect - 96)
'''
FILES = {
    "train.py": TRAIN,
    "prepare.py": PREPARE,
    "program.md": "# autoresearch\n\nThe goal is simple: get the lowest val_bpb. You edit train.py and nothing else.\n",
    "pyproject.toml": '[project]\nname = "autoresearch"\nversion = "0.1.0"\nrequires-python = ">=3.10"\n',
    ".gitignore": "__pycache__/\n.venv\nresults.tsv\nrun.log\n",
    "README.md": "A stand-in.\n",
}


def git(folder: Path, *arguments: str) -> str:
    """A git command of the user's, which prints."""
    settings = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "core.autocrlf=false"]
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fingerprint(folder: Path) -> str:
    """All of a folder, .git included: names, kinds, modes, contents, times of change."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        what = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        total.update(f"{path.relative_to(folder)} {facts.st_mode} {facts.st_mtime_ns}\0".encode() + what)
    return total.hexdigest()


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a package that no other interpreter has."""
    folder = tmp_path_factory.mktemp("environment") / ".venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "only_in_this_environment.py").write_text("")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The HOME of a user who has prepared the data."""
    return make_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def checkout(tmp_path: Path, home: Path, environment: Path) -> Path:
    """The user's checkout: two commits, an environment of its own, a table of earlier results."""
    return make_checkout(tmp_path / "autoresearch", environment)


@dataclass(frozen=True)
class Night:
    """A finished run that tests look at, its checkout, and the checkout's fingerprint from before."""

    folder: Path
    checkout: Path
    before: str


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Night:
    """A search by coordinates over a checkout, 14 trials."""
    folder = tmp_path_factory.mktemp("night")
    with pytest.MonkeyPatch.context() as patch:
        make_home(folder / "home", patch)
        checkout = make_checkout(folder / "autoresearch", environment)
        before = fingerprint(checkout)
        with start(override(find("a"), task=f"karpathy:{checkout}", trials=14), folder / "run") as session:
            session.execute()
    return Night(folder / "run", checkout, before)


def make_home(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    (folder / ".cache" / "autoresearch").mkdir(parents=True)
    (folder / ".cache" / "autoresearch" / "tokenizer.txt").write_text("abc")
    patch.setenv("HOME", str(folder))
    patch.setenv("BILEVEL_CACHE_DIR", str(folder.parent / "cache"))
    patch.delenv("AUTORESEARCH_DIR", raising=False)
    return folder


def make_checkout(folder: Path, environment: Path) -> Path:
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "master")
    git(folder, "add", "README.md")
    git(folder, "commit", "-qm", "first")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "the script")
    (folder / ".venv").symlink_to(environment)
    (folder / "results.tsv").write_text("commit\tval_bpb\tmemory_gb\tstatus\tdescription\n")
    return folder


@pytest.fixture
def bilevel(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run `bilevel ARGS` in this process, in a folder of its own; returns what it printed, and checks how it ended."""
    from bilevel.cli import main

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object, ends: int = 0) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        code: object = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
                main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        assert (code or 0) == ends, printed.out + printed.err
        return printed.out if ends == 0 else printed.err

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., str]) -> Callable[..., Any]:
    return lambda *args: json.loads(bilevel(*args, "--json"))
