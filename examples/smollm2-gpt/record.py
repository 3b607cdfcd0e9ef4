"""Make the record in `run/` anew: `python examples/smollm2-gpt/record.py`.

Needs torch (`make demo`), the extra `llm`, xllamacpp, and the model's package (`requirements/model.txt`).

The prompts are part of the record. Where the code that writes them has changed, an older record cannot be rebuilt.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "local_model"))

from serving import SERVER, started  # noqa: E402


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copy(HERE / "recipe.toml", folder)
        server = started([sys.executable, str(SERVER)], folder / "log")
        try:
            command = [sys.executable, "-m", "bilevel", "run", "recipe.toml", "--folder", "run"]
            environment = {**os.environ, "LLAMACPP_BASE_URL": f"{server.address}/v1"}
            subprocess.run(command, cwd=folder, env=environment, check=True)
        finally:
            server.stop()
        ship(folder / "run", HERE / "run")


def ship(run: Path, to: Path) -> None:
    """The two files that a record needs, without a journal."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    shutil.copy(run / "run.json", to)
    store = sqlite3.connect(run / "run.sqlite3")
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.execute("VACUUM INTO ?", (str(to / "run.sqlite3"),))
    store.close()
    copy = sqlite3.connect(to / "run.sqlite3")
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.close()


if __name__ == "__main__":
    main()
