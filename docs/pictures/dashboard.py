"""Makes the pictures of docs/dashboard.md: needs playwright and a Chromium.

python docs/pictures/dashboard.py [--to FOLDER] [NAME...]      into docs/pictures if not given; all if none is named

Most are of the recorded run in examples/, a small GPT searched by a small language model. What it has none of
(mechanisms that were tried beside a control, several runs of one task) is shown of two searches of
a table, further objectives of a search for settings of zlib (compressing.py), workers of one that trains with
scikit-learn: they are made here. A run on the small GPT that somebody steers is made by steered.py, which needs torch.
All of it takes some minutes; what is done is said as it goes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

from playwright.sync_api import sync_playwright
from steered import steered

from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PICTURES = {
    "runs": ("", "light", 320),
    "overview": ("run/run", "light", 760),
    "trials": ("run/run/trials", "light", 560),
    "trial": ("run/run/trial/10?branch=root/0.only/1.only", "dark", 760),
    "timeline": ("run/timed/timeline", "light", 900),
    "lineage": ("run/run/lineage", "dark", 420),
    "parameters": ("run/run/parameters", "light", 760),
    "mechanisms": ("run/mechanisms/mechanisms", "light", 620),
    "mechanism": ("run/mechanisms/mechanism?name=orthogonal", "dark", 760),
    "sessions": ("run/run/calls", "light", 560),
    "session": ("run/run/call/33", "dark", 620),
    "costs": ("run/run/costs", "light", 560),
    "steering": ("run/steered/steering#token=secret", "light", 760),
    "claims": ("run/mechanisms/claims", "light", 1100),
    "objectives": ("run/weighed/objectives", "dark", 1500),
    "side-by-side": ("compare?run=mechanisms&run=alone", "light", 760),
}  # file name -> page, scheme, height
TABLE = ("--task", "gpt-table", "--seed", "3")
UNFINISHED = "being brought up to date"  # what a page says that will fill itself
STEERED = "steering"  # the picture of a run that somebody steers
SEARCHES = {
    "mechanisms": (("run", "d", *TABLE), ("confirm", "mechanisms", "--pairs", "14"),
                   ("confirm", "mechanisms", "--mechanism", "orthogonal", "--pairs", "6")),
    "alone": (("run", "a", *TABLE),),
    "weighed": (("run", "a", "--task", "python:compressing:task", "--researcher", "random", "--trials", "80"),),
    "timed": (("run", "d", "--task", "sklearn:digits-svc", "--workers", "3", "--seed", "1"),),
}  # fmt: skip  # folder -> the commands that make it


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium here")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=HERE)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*PICTURES, []])
    chosen = parser.parse_args()
    pictures = {name: PICTURES[name] for name in chosen.names or PICTURES}
    sys.path.insert(0, str(HERE))  # where compressing.py is
    with tempfile.TemporaryDirectory() as made:
        asks = STEERED in pictures
        with steered(Path(made, "steered")) if asks else nullcontext() as until_asked:  # goes on beside the others
            needed = [name for name in SEARCHES if any(name in page for page, _, _ in pictures.values())]
            for name in needed:
                make(Path(made), name)
            runs = [ROOT / "examples" / "smollm2-gpt" / "run", *(Path(made, name) for name in needed)]
            if until_asked is not None:
                print("waiting for the search that is steered", flush=True)
                until_asked()
                runs.append(Path(made, "steered"))
            taken(Dashboard(Shelf(runs), 0, "secret"), chromium, chosen.to, pictures)


def make(folder: Path, name: str) -> None:
    """Run the commands that make a run folder."""
    print(f"making the run {name!r}", flush=True)
    for command in SEARCHES[name]:
        more = ("--folder", name) if command[0] == "run" else ()
        line = [sys.executable, "-m", "bilevel", *command, *more]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))}
        subprocess.run(line, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


def taken(board: Dashboard, chromium: str, folder: Path, pictures: dict[str, tuple[str, str, int]]) -> None:
    """These pictures of a dashboard, into a folder."""
    threading.Thread(target=board.serve, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for name, (page, scheme, height) in pictures.items():
                context = browser.new_context(color_scheme=scheme, viewport={"width": 1180, "height": height})
                tab = context.new_page()
                tab.set_default_timeout(180_000)  # milliseconds: the first page opens all runs
                tab.goto(f"{board.address}{page}")
                tab.wait_for_selector('#pulse[data-kind="on"]')
                tab.wait_for_function(f"!document.body.innerText.includes({UNFINISHED!r})")
                tab.screenshot(path=folder / f"dashboard-{name}.png")
                context.close()
                print(f"{folder / f'dashboard-{name}.png'}", flush=True)
            browser.close()
    finally:
        board.close()


if __name__ == "__main__":
    main()
