"""Records as text. A candidate is stored once and referred to by its id, the text of a file by its content hash."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from bilevel.codec import build, plain
from bilevel.space import Candidate
from bilevel.trial import Pending, Trial


def text_hash(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def dump_candidate(candidate: Candidate) -> str:
    """A candidate with hashes in place of its files' texts."""
    files = {name: text_hash(text) for name, text in candidate.files.items()}
    return _text({"params": plain(candidate.params), "files": files})


def load_candidate(record: str, text_of: Callable[[str], str]) -> Candidate:
    """The candidate of a record."""
    data = json.loads(record)
    files = {name: text_of(digest) for name, digest in data["files"].items()}
    made: Candidate = build(Candidate, {"params": data["params"], "files": files})
    return made


def dump_record(record: Trial | Pending) -> str:
    """A trial or pending with ids in place of its candidates."""
    data = plain(record)
    data["parent"] = record.parent.id
    data["proposal"]["candidate"] = record.proposal.candidate.id
    return _text(data)


def load_trial(record: str, candidate_of: Callable[[str], Candidate]) -> Trial:
    """The trial of a record."""
    made: Trial = build(Trial, _with_candidates(record, candidate_of))
    return made


def load_pending(record: str, candidate_of: Callable[[str], Candidate]) -> Pending:
    """The pending of a record."""
    made: Pending = build(Pending, _with_candidates(record, candidate_of))
    return made


def _with_candidates(record: str, candidate_of: Callable[[str], Candidate]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(record)
    data["parent"] = candidate_of(data["parent"])
    data["proposal"]["candidate"] = candidate_of(data["proposal"]["candidate"])
    return data


def _text(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
