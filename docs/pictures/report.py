"""Makes the picture of docs/report.md from the recorded run in examples/: needs a Chromium.

python docs/pictures/report.py [FOLDER]      into FOLDER, docs/pictures if not given
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bilevel.reporting.writing import write_run

ROOT = Path(__file__).parents[2]


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium here")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    with tempfile.TemporaryDirectory() as scratch:
        page, _ = write_run(ROOT / "examples" / "smollm2-gpt" / "run", Path(scratch), with_plots=False)
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,980")
        subprocess.run([chromium, *options, f"--screenshot={folder / 'report.png'}", page.as_uri()], check=True)


if __name__ == "__main__":
    main()
