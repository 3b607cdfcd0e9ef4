"""The recorded run with a real model in `examples/`: rebuilt from its record, with neither the model nor torch."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2-gpt"
ALONE = """
import sys
for name in ("torch", "pydantic_ai", "openai", "httpx2", "dotenv"):
    sys.modules[name] = None  # importing it fails
from bilevel.cli import main
sys.argv = ["bilevel", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """A copy of the record: what reads it may leave files beside it."""
    return Path(shutil.copytree(EXAMPLE / "run", tmp_path_factory.mktemp("example") / "run"))


def bilevel(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_record_is_rebuilt_without_the_model_and_without_torch(shipped):
    done = bilevel("replay", shipped, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["state"] == "finished" and found["trials"] >= 10 and found["calls"] >= 10


def test_every_level_asked_the_model(shipped):
    calls = json.loads(bilevel("show", shipped, "--calls", "--json").stdout)
    assert {call["level"] for call in calls} == {"inner", "settings", "mechanisms"}
    assert len({call["trial"] for call in calls if call["level"] == "mechanisms"}) >= 4


def test_the_record_names_no_path_and_no_machine():
    files = [file for file in EXAMPLE.rglob("*") if file.is_file()]
    assert {file.name for file in (EXAMPLE / "run").iterdir()} - {"claims.json"} == {"run.json", "run.sqlite3"}
    assert sum(file.stat().st_size for file in files) < 5_000_000
    for file in files:
        assert not re.search(rb"/(?:home|root|tmp|Users|work|var|opt)/\w", file.read_bytes()), file.name
