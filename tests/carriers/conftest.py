"""Runs against a scripted model server; see `models/conftest.py`."""

import importlib.util
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
for part in ("core", "models", "llm", "texts"):
    sys.path.append(str(TESTS / part))
_found = importlib.util.spec_from_file_location("runs_with_models_of_texts", TESTS / "models" / "conftest.py")
assert _found is not None and _found.loader is not None
sys.modules[_found.name] = _models = importlib.util.module_from_spec(_found)
try:
    _found.loader.exec_module(_models)
except ImportError:  # without the extra llm
    pass
else:
    serve, bilevel, bilevel_json = _models.serve, _models.bilevel, _models.bilevel_json
    alone = _models.alone
