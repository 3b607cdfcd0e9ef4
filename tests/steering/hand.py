"""Runs `bilevel` commands that come as JSON lines; answers each with its exit code and what it printed."""

import contextlib
import io
import json
import sys

from bilevel.cli import main

for line in sys.stdin:
    out, code = io.StringIO(), 0
    sys.argv = ["bilevel", *json.loads(line)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    print(json.dumps([code, out.getvalue()]), flush=True)
