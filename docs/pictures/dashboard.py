"""Makes the pictures of docs/dashboard.md: needs playwright and a Chromium.

python docs/pictures/dashboard.py [FOLDER]      into FOLDER, docs/pictures if not given

Most are of the recorded run in examples/, a small GPT searched by a small language model. What it has none of
(mechanisms that were tried beside a control, several runs of one task) is shown of two searches of
a table, made here in seconds.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf

ROOT = Path(__file__).parents[2]
PICTURES = {
    "runs": ("", "light", 320),
    "overview": ("run/run", "light", 760),
    "trials": ("run/run/trials", "light", 560),
    "trial": ("run/run/trial/10?branch=root/0.only/1.only", "dark", 760),
    "timeline": ("run/run/timeline", "light", 560),
    "lineage": ("run/run/lineage", "dark", 420),
    "parameters": ("run/run/parameters", "light", 760),
    "mechanisms": ("run/mechanisms/mechanisms", "light", 620),
    "mechanism": ("run/mechanisms/mechanism?name=orthogonal", "dark", 760),
    "sessions": ("run/run/calls", "light", 560),
    "session": ("run/run/call/33", "dark", 620),
    "costs": ("run/run/costs", "light", 560),
    "steering": ("run/mechanisms/steering", "light", 340),
    "side-by-side": ("compare?run=mechanisms&run=alone", "light", 760),
}  # file name -> page, scheme, height
SEARCHES = {"mechanisms": "d", "alone": "a"}  # folder -> recipe


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium here")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    with tempfile.TemporaryDirectory() as made:
        for name, recipe in SEARCHES.items():
            command = ["run", recipe, "--task", "gpt-table", "--seed", "3", "--folder", str(Path(made, name))]
            subprocess.run([sys.executable, "-m", "bilevel", *command], check=True, stdout=subprocess.DEVNULL)
        board = Dashboard(
            Shelf([ROOT / "examples" / "smollm2-gpt" / "run", *(Path(made, name) for name in SEARCHES)]), 0
        )
        taken(board, chromium, folder)


def taken(board: Dashboard, chromium: str, folder: Path) -> None:
    """The pictures of a dashboard, into a folder."""
    threading.Thread(target=board.serve, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (page, scheme, height) in PICTURES.items():
            tab = browser.new_context(color_scheme=scheme, viewport={"width": 1180, "height": height}).new_page()
            tab.goto(f"{board.address}{page}")
            tab.wait_for_selector('#pulse[data-kind="on"]')
            tab.screenshot(path=folder / f"dashboard-{name}.png")
        browser.close()
    board.close()


if __name__ == "__main__":
    main()
