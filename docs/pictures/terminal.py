"""Makes the pictures of docs/terminal.md: needs a Chromium.

python docs/pictures/terminal.py [FOLDER]      into FOLDER, docs/pictures if not given
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from bilevel.calls import CallSummary
from bilevel.cli.board import board
from bilevel.cli.inspecting import opened
from bilevel.cli.progress import Decided, Progress
from bilevel.length import planned_evaluations
from bilevel.levels import leaf
from bilevel.overriding import override
from bilevel.recipe import find
from bilevel.run import start
from bilevel.store.reader import Reader
from bilevel.trial import Pending, Trial

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 132, 27


class Then(Reader):
    """A store as it was when so many trials had ended: the next ones of each level are under way."""

    def __init__(self, folder: Path, ended: Sequence[Decided], later: Sequence[Decided]) -> None:
        super().__init__(folder)
        self.ended = {(one.branch, one.trial.number) for one in ended}
        following = later[0]
        above = [one for one in later if following.branch.startswith(f"{one.branch}/{one.trial.number}.")]
        self.going_on = [following, *above]

    def trials(self, branch_id: str, after: int = -1) -> Sequence[Trial]:
        return [one for one in super().trials(branch_id, after) if (branch_id, one.number) in self.ended]

    def under_way(self) -> Sequence[tuple[str, Pending]]:
        return [
            (
                one.branch,
                Pending(
                    t.number, t.sees, t.parent, t.proposal, (), t.changes, refused=t.reason if not t.runs else None
                ),
            )
            for one in self.going_on
            for t in [one.trial]
        ]

    def calls(self, after: int = 0) -> Sequence[CallSummary]:
        return [call for call in super().calls(after) if (call.branch, call.trial) in self.ended]

    def get_meta(self, key: str) -> str | None:
        return None if key == "claim" else '"running"' if key == "state" else super().get_meta(key)


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium here")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    recipe = override(find("c"), task="gpt-table", researcher="stuck", inner_budget=10, outer_cycles=4)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "runs" / "c-1"
        with start(recipe, place) as session:
            session.execute()
        for name, run, trials in (
            ("terminal", ROOT / "examples" / "smollm2-gpt" / "run", 9),
            ("terminal-mechanisms", place, 29),
        ):
            svg = drawn(run, trials)
            page = Path(scratch) / f"{name}.html"
            page.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{svg}', "utf-8")
            wide, high = (int(float(end)) for end in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
            options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
            size = (f"--window-size={wide},{high}", f"--screenshot={folder / f'{name}.png'}")
            subprocess.run([chromium, *options, *size, page.as_uri()], check=True)


def drawn(run: Path, trials: int) -> str:
    """The view when so many trials had ended, as SVG that loads nothing."""
    with opened(run) as found:
        spec, name = found.spec, found.recipe.name
        whole = Progress(spec, planned_evaluations(spec))
        whole.recent = type(whole.recent)()  # all of them
        whole.update(found.folder.store)
    ended = [*whole.recent]
    store = Then(run, ended[:trials], ended[trials:])
    progress = Progress(spec, whole.planned, lambda: 0.0)
    progress.update(store)
    store.close()
    progress.earlier = 0.0  # a record does not say when a trial began
    console = Console(record=True, width=WIDTH, height=HEIGHT, force_terminal=True, file=StringIO())
    console.print(
        board(progress, f"{name} on {leaf(spec).task.name}, {run.parent.name}/{run.name}", "running", HEIGHT, WIDTH)
    )
    return re.sub(r"(?s)@font-face \{.*?\}", "", console.export_svg(title="bilevel run"))


if __name__ == "__main__":
    main()
