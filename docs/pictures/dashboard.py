"""Makes the pictures of docs/dashboard.md from the recorded run in examples/: needs playwright and a Chromium.

python docs/pictures/dashboard.py [FOLDER]      into FOLDER, docs/pictures if not given
"""

import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf

ROOT = Path(__file__).parents[2]
PICTURES = {
    "overview": ("", "light", 760),
    "trial": ("trial/10?branch=root/0.only/1.only", "dark", 760),
    "parameters": ("parameters", "light", 760),
    "session": ("call/33", "dark", 620),
}  # file name -> view, scheme, height


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium here")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    board = Dashboard(Shelf([ROOT / "examples" / "smollm2-gpt" / "run"]), 0)
    threading.Thread(target=board.serve, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (view, scheme, height) in PICTURES.items():
            tab = browser.new_context(color_scheme=scheme, viewport={"width": 1180, "height": height}).new_page()
            tab.goto(f"{board.address}run/run/{view}".rstrip("/"))
            tab.wait_for_selector('#pulse[data-kind="on"]')
            tab.screenshot(path=folder / f"dashboard-{name}.png")
        browser.close()
    board.close()


if __name__ == "__main__":
    main()
