"""Runs a command and prints one line of JSON: what it printed, how long it took, which files of the folder it wrote.

`bilevel init` copies this file into the harness of a draft; it uses the standard library only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MOST_TEXT = 200_000
MOST_FILE = 100_000


def files() -> dict[str, tuple[int, int]]:
    found = {}
    for folder, _, names in os.walk("."):
        for name in names:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            found[os.path.relpath(path)] = (facts.st_mtime_ns, facts.st_size)
    return found


def main(command: Sequence[str]) -> int:
    before = files()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        try:
            code = subprocess.run(command, stdout=out, stderr=err, check=False).returncode
        except OSError as error:
            err.write(f"{command[0]}: {error.strerror}\n".encode())
            code = 127
        seconds = time.monotonic() - began
        texts, printed = [], 0
        for file in (out, err):
            size = file.seek(0, os.SEEK_END)
            printed += size
            file.seek(max(0, size - MOST_TEXT))
            texts.append(file.read().decode("utf-8", "replace"))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    after = files()
    written = sorted(path for path in after if before.get(path) != after[path])
    small = [path for path in written if path.endswith((".json", ".jsonl")) and after[path][1] <= MOST_FILE]
    facts = {
        "exit_code": code, "stdout": texts[0], "stderr": texts[1], "printed": printed, "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime, "written": written,
        "texts": {path: Path(path).read_text("utf-8", "replace") for path in small[:50]},
    }  # fmt: skip
    print(json.dumps({"probe": facts}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
