"""Mechanisms as files, packages as an installer lays them out, and what a refusal looks like."""

import subprocess
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "mechanism-package"
GOOD = '''"""No repeats: a draft may not change what the last trial changed."""

from bilevel.mechanism import Mechanism


class NoRepeats(Mechanism):
    domain = "tabu search"
    span = 1

    def propose(self, view, parent, proposals):
        last = {name for trial in view.trace[-self.span :] for name in trial.changes}
        return [p.drop("changed just now") if last & set(p.candidate.changes_from(parent)) else p for p in proposals]
'''
BAD = "import os\n\nfrom bilevel.mechanism import Mechanism\n\n\nclass Bad(Mechanism):\n    pass\n"


def install(site: Path, package: Path, dist: str = "bilevel-example-mechanisms", points: str = "") -> None:
    """Lay a package out in a folder of installed packages; its entry points are those of the example, or `points`."""
    target = site / package.name
    target.mkdir(exist_ok=True)
    for file in package.glob("*.py"):
        (target / file.name).write_text(file.read_text("utf-8"), "utf-8")
    declare(site, dist, points or entry_points())


def declare(site: Path, dist: str, points: str) -> None:
    """A .dist-info with entry points of the group."""
    info = site / f"{dist.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 0.1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[bilevel.mechanisms]\n{points}\n", "utf-8")
    (info / "RECORD").write_text("", "utf-8")


def entry_points() -> str:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    return "\n".join(f"{name} = {value}" for name, value in project["entry-points"]["bilevel.mechanisms"].items())


def refused(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """The command failed with that code, and its message has all of these words."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr + done.stdout, (word, done.stderr, done.stdout)
    assert "Traceback" not in done.stderr
