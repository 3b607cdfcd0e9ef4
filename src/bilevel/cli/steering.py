"""`steer`: an act is given, and what became of all of them is shown."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bilevel.acts import ANSWERS
from bilevel.cli.printing import console, jsonable, print_json
from bilevel.steering.giving import Asked, give
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader


def print_given(run: Path, kind: str, as_json: bool, **asked: Any) -> None:
    """Give an act, and say under which number it is stored."""
    act = give(run, Asked(kind, **asked))
    if as_json:
        print_json(jsonable(act))
    else:
        print(f"act {act.number}: {act.said} ({act.author}); it is taken up between two trials")


def print_acts(run: Path, as_json: bool) -> None:
    """All acts of a run and what became of them."""
    folder = RunFolder.read(run)
    try:
        acts, waits = acts_of(folder.store), folder.meta(GATE)
    finally:
        folder.close()
    if as_json:
        print_json({"acts": acts, "waits": waits})
        return
    show_waiting(console(), waits)
    if acts:
        show_acts(console(), acts)
    else:
        print("nobody has steered this run")


def show_waiting(out: Console, waits: dict[str, Any] | None) -> None:
    """What waits for a person."""
    if waits is not None:
        said = f"waits for a person since {when(waits['at'])}: {waits['said']} ({waits['id']})"
        out.print(said, highlight=False, markup=False, soft_wrap=True)


def acts_of(store: Reader) -> list[dict[str, Any]]:
    """The acts as other programs read them, each with its effects."""
    effects = store.effects()
    return [
        {**jsonable(act), "said": act.said, "effects": [jsonable(one) for one in effects if one.act == act.number]}
        for act in store.acts()
    ]


def show_acts(out: Console, acts: Sequence[dict[str, Any]]) -> None:
    """A table of acts: when, who, what, what became of it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), title="steering", title_justify="left")
    for name in ("act", "when", "who", "what", "what became of it"):
        table.add_column(name)
    for act in acts:
        cells = (str(act["number"]), when(act["at"]), act["author"], act["said"], became(act))
        table.add_row(*map(escape, cells))
    out.print(table)


def when(at: float) -> str:
    """A time as people read it, in the time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def became(act: dict[str, Any]) -> str:
    """What became of an act, one of `acts_of`, in a line."""
    effects = act["effects"]
    if not effects:
        return "waits to be taken up"
    first, asked = effects[0], act["kind"] in ANSWERS and not act["what"].startswith("spend:")
    place = f"{first['outcome']} {'with' if asked else 'before'} trial {first['number']} of {first['branch']}"
    if first["branch"] == "claim":
        place = f"{first['outcome']} before round {first['number']} of the claim stage"
    more = f" and in {len(effects) - 1} more" if len(effects) > 1 else ""
    return f"{place}{more}: {first['said']}" if first["said"] else place + more
