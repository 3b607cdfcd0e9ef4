"""A cell answers requests, and is replaced when it breaks a limit."""

import pytest

from bilevel.sandbox.cell import Cell, CellFault, CellLimits

HOSTILE = "cell_entries:hostile"


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])


def test_a_cell_answers():
    with Cell("cell_entries:echo", "limits", CellLimits()) as cell:
        assert cell.call({"a": [1, 2.5, None, "ü"]}) == {"a": [1, 2.5, None, "ü"]}
        assert cell.generation == 1


def test_what_the_guest_asks_is_answered_by_the_host():
    with Cell("cell_entries:question", "limits", CellLimits()) as cell:
        assert cell.call([1, 2, 3], lambda item: item * 2) == [2, 4, 6]


def test_after_a_death_a_fresh_process_answers():
    with Cell(HOSTILE, "limits", CellLimits()) as cell:
        with pytest.raises(CellFault, match="exit code 3") as caught:
            cell.call("import os; os._exit(3)")
        assert caught.value.cause == "died"
        assert cell.call("result = 1") == 1
        assert cell.generation == 2
