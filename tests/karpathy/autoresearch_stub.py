"""A stand-in for a checkout of autoresearch: its layout and its output, in milliseconds."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

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
    return loss + 0.002 * abs(depth - 10) + 0.0004 * abs(aspect - 128)
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
