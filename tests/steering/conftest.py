import pytest
from steered import HERE, Hand


@pytest.fixture(scope="session")
def second():
    """A second process."""
    hand = Hand()
    yield hand
    hand.close()


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    monkeypatch.chdir(HERE)  # where the module lies that the recipe names
