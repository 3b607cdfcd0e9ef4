"""Helpers and fixtures of other parts of the suite: tiny tasks, and runs against a scripted model server."""

import importlib.util
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
for part in ("core", "models", "llm"):
    sys.path.append(str(TESTS / part))
_found = importlib.util.spec_from_file_location("runs_with_models", TESTS / "models" / "conftest.py")
assert _found is not None and _found.loader is not None
sys.modules[_found.name] = _models = importlib.util.module_from_spec(_found)
try:
    _found.loader.exec_module(_models)
except ImportError:  # without the extra llm
    pass
else:
    serve, bilevel, bilevel_json = _models.serve, _models.bilevel, _models.bilevel_json
    alone, process = _models.alone, _models.process
