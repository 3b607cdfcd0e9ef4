from pathlib import Path

import pytest
from store_examples import ROOT

from bilevel.store.folder import RunFolder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def folder(path: Path):
    """An open run folder with one branch, "root"."""
    opened = RunFolder.create(path, {"recipe": "a"})
    opened.store.open_branch(ROOT)
    yield opened
    opened.close()
