"""A stand-in for a coding agent, for a picture: it makes the first change that its briefing does not name yet."""

import json
import re
import sys
from pathlib import Path

MOVES = {
    "DEPTH": "2",
    "TOTAL_BATCH_SIZE": "2**12",
    "MATRIX_LR": "0.06",
    "WARMDOWN_RATIO": "0.8",
    "EMBEDDING_LR": "0.9",
    "SCALAR_LR": "0.7",
}

briefing, train = Path(sys.argv[1]).read_text("utf-8"), Path("train.py")
for name, value in MOVES.items():
    if f"set {name} to {value}" not in briefing:
        train.write_text(re.sub(rf"^{name} = \S+", f"{name} = {value}", train.read_text("utf-8"), flags=re.M), "utf-8")
        Path("PROPOSAL.json").write_text(json.dumps({"why": f"set {name} to {value}"}), "utf-8")
        break
