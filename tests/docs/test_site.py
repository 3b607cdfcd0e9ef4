"""The docs site: every page has a place, the reference names what there is, nothing is loaded from elsewhere."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.cli.program import app
from bilevel.recipe import EventsTable, Inner, Recipe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NAV = re.findall(r"([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2])


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_has_one_place_in_the_site(reference):
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert sorted(NAV) == sorted(pages | reference.pages().keys())


def test_every_command_and_option_is_in_the_reference(reference):
    text = reference.commands()
    assert text.startswith("# Commands\n") and "Table of Contents" not in text
    names = [name for name in app if not name.startswith("-")]
    assert len(names) > 20
    for name in names:
        assert f"\n## bilevel {name}\n" in text
    part = text.partition("\n## bilevel run\n")[2].partition("\n## ")[0]
    for option in ("--task", "--on", "--max-money", "--keep"):
        assert f"`{option}" in part or f", {option}" in part


def test_every_key_is_in_the_reference_with_its_bounds(reference):
    text = reference.pages()["reference/recipes.md"]
    sections = dict(re.findall(r"^## `?(.*?)`?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for title, model in (("Top level", Recipe), ("inner", Inner), ("events", EventsTable)):
        assert re.findall(r"^\| `(\w+)` \|", sections[title], re.MULTILINE) == [*model.model_fields]
    assert "| `workers` | whole number, at least `1`, at most `64` | `1` |" in sections["Top level"]
    assert "| `shares` | list of number, above `0`, at most `1` | `[0.8]` |" in sections["events"]
    assert "`[[outer]]`" in text and "must be given" in text
    assert "| `constants` |" in reference.pages()["reference/tasks.md"]


def test_every_name_of_the_python_reference_exists(reference):
    for name in (name for names in reference.PYTHON.values() for name in names):
        module, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(module), last, None) or importlib.import_module(name)
        assert found.__doc__, name


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material", reason="the docs site's packages are not installed (make docs installs them)")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(r"""(?:src=|<link[^>]*href=)["'](?:https?:)?//[^"']*""", page.read_text("utf-8")), page
    table = (tmp_path / "site" / "reference" / "python.html").read_text("utf-8")
    assert "to_pandas" in table and "bilevel.view.View" in table
