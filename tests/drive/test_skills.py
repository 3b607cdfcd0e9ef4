"""What the skills and docs/driving.md tell an agent to do works as it stands there, in order."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(sh|python|toml|tsv)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml|tsv))\n")

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked")


@pytest.mark.parametrize("page", ["skills/bilevel/SKILL.md", "skills/bilevel/mechanism.md", "docs/driving.md"])
def test_the_commands_of_a_page_work_in_order(page, said, tmp_path):
    latest = ""
    for kind, text in BLOCK.findall((ROOT / page).read_text("utf-8")):
        if kind != "sh":
            named = FILE.match(text)
            if named:
                (tmp_path / named[1]).write_text(text[named.end() :] if kind == "tsv" else text)
            continue
        for line in text.strip().splitlines():
            words = shlex.split(line.replace("ID", latest).split("#")[0])
            assert words[0] == "bilevel"
            done = said(*words[1:])
            assert done.code == 0, (line, done.out, done.err)
            if "--json" in words and done.out.startswith("{"):
                data = json.loads(done.out)
                latest = (data.get("next") or data).get("id", latest)


@pytest.mark.slow
def test_the_rule_of_the_skill_is_decisive_on_its_own_example(said, tmp_path):
    for kind, text in BLOCK.findall((ROOT / "skills/bilevel/mechanism.md").read_text("utf-8")):
        if kind != "sh":
            (tmp_path / FILE.match(text)[1]).write_text(text)
    done = subprocess.run([sys.executable, "test_rest.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    options = ("--task", "sphere", "--trials", "24", "--seed", "3", "--keep", "margin", "--folder", "with")
    assert said("run", "with_rest.toml", *options).code == 0
    ledger = said("show", "with", "--mechanism", "rest", "--json").data["ledger"]
    assert ledger["constrain"]["decisive"] > 0, ledger


@pytest.mark.slow
def test_the_python_example_of_the_docs_drives_a_run_to_its_end(said, tmp_path):
    (example,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs/driving.md").read_text("utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert said("status", "run", "--json").data["state"] == "finished"


def test_links_of_the_skills_lead_somewhere():
    for page in (ROOT / "skills").rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page, target)


def test_a_mechanism_that_is_refused_at_the_door_is_told_why(said, tmp_path):
    (tmp_path / "bad.py").write_text("import os\n")
    done = said("check", "bad.py")
    assert done.code == 4 and "line 1: 'os' may not be imported" in done.out
    assert any("Mechanism" in problem for problem in said("check", "bad.py", "--json").data["problems"])
    assert said("check", "missing.py").code == 4
