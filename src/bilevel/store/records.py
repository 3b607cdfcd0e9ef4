"""Records as text. A candidate is stored once and referred to by its id, the text of a file by its content hash."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from bilevel.call import Call
from bilevel.codec import plain
from bilevel.space import Candidate, Value
from bilevel.store.decode import decoder
from bilevel.trial import Pending, Run, Trial

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_MADE = {Candidate: lambda made: made}  # candidates are put in place before a record is decoded
_trial, _pending = decoder(Trial, _MADE), decoder(Pending, _MADE)
_run, _params, _call = decoder(Run), decoder(Mapping[str, Value]), decoder(Call)


def text_hash(text: str) -> str:
    """The SHA-256 of a text, which may hold half characters: programs do print them."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def dump_candidate(candidate: Candidate) -> str:
    """A candidate with hashes in place of its files' texts."""
    files = {name: text_hash(text) for name, text in candidate.files.items()}
    return _text({"params": plain(candidate.params), "files": files})


def load_candidate(record: str, text_of: Callable[[str], str]) -> Candidate:
    """The candidate of a record."""
    data = json.loads(record)
    files = {name: text_of(digest) for name, digest in data["files"].items()}
    return Candidate(_params(data["params"]), files)


def dump_run(run: Run) -> str:
    """A measurement."""
    return _text(plain(run))


def load_run(record: str) -> Run:
    """The measurement of a record."""
    made: Run = _run(json.loads(record))
    return made


def dump_record(record: Trial | Pending) -> str:
    """A trial or pending with ids in place of its candidates."""
    data = plain(record)
    data["parent"] = record.parent.id
    data["proposal"]["candidate"] = record.proposal.candidate.id
    for name in ("acts", "late"):
        if name in data and not data[name]:
            del data[name]  # as it was before there were any: equal records have equal text
    return _text(data)


def load_trial(record: str, candidate_of: Callable[[str], Candidate]) -> Trial:
    """The trial of a record."""
    made: Trial = _trial(_with_candidates(record, candidate_of))
    return made


def load_pending(record: str, candidate_of: Callable[[str], Candidate]) -> Pending:
    """The pending of a record."""
    made: Pending = _pending(_with_candidates(record, candidate_of))
    return made


def dump_call(call: Call) -> str:
    """A call with hashes in place of the texts of its request's messages."""
    data = plain(call)
    for message in data["request"]["messages"]:
        message["text"] = text_hash(message["text"])
    return _text(data)


def load_call(record: str, text_of: Callable[[str], str]) -> Call:
    """The call of a record."""
    data = json.loads(record)
    for message in data["request"]["messages"]:
        message["text"] = text_of(message["text"])
    made: Call = _call(data)
    return made


def _with_candidates(record: str, candidate_of: Callable[[str], Candidate]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(record)
    data["parent"] = candidate_of(data["parent"])
    data["proposal"]["candidate"] = candidate_of(data["proposal"]["candidate"])
    return data


def _text(data: Any) -> str:
    """Equal records have equal text; half characters, which JSON can say and UTF-8 cannot, are escaped."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _HALF_CHARACTER.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def text_column(text: str) -> str | bytes:
    """A text as SQLite takes it: as it is where that is possible, otherwise as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text
