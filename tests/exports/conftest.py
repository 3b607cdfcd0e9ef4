"""Two run folders: one with three levels, one of a function that fails for some parameters."""

from pathlib import Path

import failing_function
import pytest

import bilevel
from bilevel.overriding import override
from bilevel.recipe import find
from bilevel.run import start

SPACE = {"rate": (1e-4, 1.0, "log"), "depth": range(1, 5), "shape": ["flat", "broken"]}


@pytest.fixture(scope="session")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipe c with forks, in a folder that nobody may change."""
    folder = tmp_path_factory.mktemp("exports") / "nested"
    recipe = override(find("c"), task="gpt-table", researcher="stuck", inner_budget=2, outer_cycles=2)
    with start(recipe, folder) as session:
        session.execute()
    return folder


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by chance in which some trials fail."""
    folder = tmp_path_factory.mktemp("exports") / "failing"
    start = {"rate": 0.1, "depth": 4, "shape": "flat"}
    bilevel.optimize(
        failing_function.loss, SPACE, trials=8, start=start, metric="loss", researcher="random", recipe="a",
        folder=folder,
    )  # fmt: skip
    return folder
