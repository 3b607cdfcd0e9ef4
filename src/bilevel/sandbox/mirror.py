"""What a process in a sandbox knows of a search: the host's account of it (`Known`), and the copy itself (`Mirrored`).

Everything that cannot change is sent once and named by a short reference afterwards: candidates by id, trials and
histories by number, spaces, settings and texts by the slot they lie in. A history is the one before it and one more
trial, so that a call's cost does not grow with the trace and forks share what they have in common. The texts of a
candidate's files stay with the host until somebody in there reads one.
"""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bilevel.errors import GuestError
from bilevel.objective import Objective
from bilevel.sandbox.wire import Coder, Wire, WireError, packed
from bilevel.settings import Settings
from bilevel.space import Candidate, Space, Value
from bilevel.trace import Trace
from bilevel.trial import Lesson, Pending, Trial, TurnedBack
from bilevel.view import Below, View

SLOTS = 256  # spaces, settings, objectives and texts that are known at a time; the one used longest ago makes room
CHUNK = 200  # news in one message: taking them in is the guest's CPU time
MOST_FORGOTTEN = 20_000  # histories and candidates that nobody may need any more, before all is sent anew
MOST_FILES = 8_000_000  # characters of files that a process keeps
SHORT = 200  # characters; a file as short as that is sent rather than compared
KINDS: dict[str, Any] = {
    "objective": Objective,
    "space": Space,
    "settings": Settings,
    "text": str,
    "lessons": tuple[Lesson, ...],
    "rungs": tuple[str, ...],
}


# ---- the host's side ----


class Known:
    """What the present process knows. Each method names a value, and puts on `news` what must be sent for that first.

    `send` sends the news before there is a question, where there are so many that one call would be a long one.
    """

    def __init__(self, send: Callable[[], None]) -> None:
        self.wire = Wire(self.candidate_out, self.candidate_in)
        self.send = send
        self.forget()

    def forget(self) -> None:
        """Begin anew, with a process that knows nothing."""
        self.news: list[Any] = []
        self._candidates: dict[str, Candidate] = {}
        self._texts: dict[str, str] = {}  # of files, by hash
        self._trials: dict[int, tuple[int, Trial]] = {}  # by identity; what is held here keeps its identity
        self._histories: dict[int, tuple[int, object]] = {}
        self._empty: dict[Objective, int] = {}
        self._slots: OrderedDict[Any, tuple[int, Any]] = OrderedDict()

    def crowded(self, trace: Trace) -> bool:
        """Whether most of what is known belongs to searches that ended."""
        return len(self._histories) + len(self._candidates) > MOST_FORGOTTEN + 8 * len(trace)

    def candidate(self, candidate: Candidate) -> str:
        """A candidate's name: its id."""
        name = candidate.id
        if name not in self._candidates:
            hashes = {path: _hash(text) for path, text in candidate.files.items()}
            params = {key: packed(value) for key, value in candidate.params.items()}
            self._texts.update(zip(hashes.values(), candidate.files.values(), strict=True))
            self._candidates[name] = candidate
            self.news.append(["c", name, params, hashes])
        return name

    def trial(self, trial: Trial) -> int:
        """A finished trial's number on the wire."""
        known = self._trials.get(id(trial))
        if known is None:
            data = self.wire.pack(Trial)(trial)
            known = self._trials[id(trial)] = (len(self._trials), trial)
            self.news.append(["t", data])
            self._send_some()
        return known[0]

    def trace(self, trace: Trace) -> int:
        """A history's number on the wire. Only what is not known of it is looked at."""
        unknown: list[Trace] = []
        while trace.mark is not None and id(trace.mark) not in self._histories:
            unknown.append(trace)
            trace = trace.upto(len(trace) - 1)
        number = self._start(trace.objective) if trace.mark is None else self._histories[id(trace.mark)][0]
        for longer in reversed(unknown):
            trial = self.trial(longer[-1])
            self.news.append(["h", number, trial])
            number = len(self._histories) + len(self._empty)
            self._histories[id(longer.mark)] = (number, longer.mark)
            self._send_some()
        return number

    def view(self, view: View) -> list[Any]:
        """A view, but for its memory."""
        return [
            view.number,
            view.seed,
            self._slot("text", view.brief, view.brief),
            self._slot("objective", view.objective, view.objective),
            self.space(view.space),
            self._slot("settings", id(view.settings), view.settings),
            self.trace(view.trace),
            [self.wire.pack(Pending)(pending) for pending in view.pending],
            view.trials_left,
            None if view.below is None else self._below(view.below),
            self._slot("text", view.told, view.told),
            self._slot("lessons", view.lessons, view.lessons),
            [self.wire.pack(TurnedBack)(one) for one in view.turned_back],
            view.asks is not None,
            self._slot("rungs", view.rungs, view.rungs),
        ]

    def space(self, space: Space) -> int:
        """The slot of a space."""
        return self._slot("space", id(space), space)

    def file(self, name: Any) -> str:
        """The text of a file that the process was told of. Raises GuestError for any other."""
        if type(name) is str and name in self._texts:
            return self._texts[name]
        raise GuestError("a file was asked for that no candidate has")

    def _below(self, below: Below) -> list[Any]:
        return [
            self.trace(below.trace),
            self.space(below.space),
            below.reads_advice,
            self._slot("objective", below.objective, below.objective),
            self._slot("text", below.brief, below.brief),
            below.trials,
        ]

    def _start(self, objective: Objective) -> int:
        if objective not in self._empty:
            slot = self._slot("objective", objective, objective)
            self._empty[objective] = len(self._histories) + len(self._empty)
            self.news.append(["e", slot])
        return self._empty[objective]

    def _slot(self, kind: str, key: Any, value: Any) -> int:
        """The slot of a value; `key` is the value itself where equal values may share one, else its identity."""
        found = self._slots.get((kind, key))
        if found is not None:
            self._slots.move_to_end((kind, key))
            return found[0]
        slot = len(self._slots) if len(self._slots) < SLOTS else self._slots.popitem(last=False)[1][0]
        self._slots[kind, key] = (slot, value)
        self.news.append(["s", slot, kind, self.wire.pack(KINDS[kind])(value)])
        return slot

    def _send_some(self) -> None:
        if len(self.news) >= CHUNK:
            self.send()

    def candidate_out(self, candidate: Any) -> Any:
        return self.candidate(candidate)

    def candidate_in(self, data: Any) -> Candidate:
        """A candidate that the process names, or describes: its values, and its files as far as they are new."""
        if type(data) is str and data in self._candidates:
            return self._candidates[data]
        if type(data) is not list or len(data) != 2:
            raise WireError("a Candidate is needed here, one that is known or its params and files")
        params = self.wire.unpack(Mapping[str, Value])(data[0])
        if type(data[1]) is str and data[1] in self._candidates:
            return Candidate(params, self._candidates[data[1]].files)
        if type(data[1]) is not dict:
            raise WireError("the files of a Candidate are needed here, or a candidate that has the same")
        return Candidate(params, {path: self._file_in(text) for path, text in data[1].items()})

    def _file_in(self, data: Any) -> str:
        if type(data) is str:
            return data
        if type(data) is list and len(data) == 1:
            return self.file(data[0])
        raise WireError("the files of a candidate must be text")


# ---- the process's side ----


class Mirrored:
    """What this process was told, by the same numbers."""

    def __init__(self, ask: Callable[[list[Any]], Any]) -> None:
        self.wire = Wire(self.candidate_out, self._candidate_in)
        self.ask = ask
        self.files = _Files(ask)
        self.candidates: dict[str, Candidate] = {}
        self.trials: list[Trial] = []
        self.traces: list[Trace] = []
        self.slots: dict[int, Any] = {}
        self._take: dict[str, Coder] = {
            "c": self._take_candidate,
            "t": lambda data: self.trials.append(self.wire.unpack(Trial)(data[0])),
            "h": lambda data: self.traces.append(self.traces[data[0]] + self.trials[data[1]]),
            "e": lambda data: self.traces.append(Trace(self.slots[data[0]])),
            "s": self._take_slot,
        }

    def take(self, news: list[Any]) -> None:
        """Learn what is new."""
        for tag, *data in news:
            self._take[tag](data)

    def view(self, data: list[Any], memory: Any, asks: Any) -> View:
        """The view that the host named."""
        (
            number, seed, brief, objective, space, settings, trace, pending, left, below, told, lessons, back, may_ask,
            rungs,
        ) = data  # fmt: skip
        return View(
            number=number,
            seed=seed,
            brief=self.slots[brief],
            objective=self.slots[objective],
            space=self.slots[space],
            settings=self.slots[settings],
            trace=self.traces[trace],
            pending=tuple([self.wire.unpack(Pending)(one) for one in pending]),
            trials_left=left,
            memory=memory,
            below=None if below is None else self._below(*below),
            told=self.slots[told],
            lessons=self.slots[lessons],
            turned_back=tuple([self.wire.unpack(TurnedBack)(one) for one in back]),
            asks=asks if may_ask else None,
            rungs=self.slots[rungs],
        )

    def _below(self, trace: int, space: int, reads: bool, objective: int, brief: int, trials: int) -> Below:
        slots = self.slots
        return Below(self.traces[trace], slots[space], reads, slots[objective], slots[brief], trials)

    def _take_slot(self, data: list[Any]) -> None:
        self.slots[data[0]] = self.wire.unpack(KINDS[data[1]])(data[2])

    def _take_candidate(self, data: list[Any]) -> None:
        name, params, hashes = data
        values = self.wire.unpack(Mapping[str, Value])(params)
        self.candidates[name] = candidate = _Lazy(values, _Folder(name, hashes, self)) if hashes else Candidate(values)
        candidate.__dict__["id"] = name

    def _candidate_in(self, data: Any) -> Candidate:
        return self.candidates[data]

    def candidate_out(self, candidate: Any) -> Any:
        """A candidate for the host: by name where it gave it, its files by name as far as it has them."""
        if not isinstance(candidate, Candidate):
            raise WireError(f"a Candidate is needed here, not {type(candidate).__name__}")
        name = candidate.__dict__.get("id")
        if name in self.candidates:
            return name
        params = self.wire.pack(Mapping[str, Value])(candidate.params)
        files: Any = candidate.files
        if isinstance(files, _Folder):
            return [params, files.of]
        return [params, {path: self._file_out(text) for path, text in self.wire.pack(Mapping[str, Any])(files).items()}]

    def _file_out(self, text: Any) -> Any:
        if not isinstance(text, str):
            raise WireError("the files of a candidate must be text")
        name = _hash(text) if len(text) > SHORT else ""
        return [name] if name in self.files.given else text


class _Lazy(Candidate):
    """A candidate whose files are with the host; a changed copy of it still needs none of them."""

    __qualname__ = "Candidate"

    def __post_init__(self) -> None:
        files = self.files
        if isinstance(files, _Folder):
            object.__setattr__(self, "files", {})
        super().__post_init__()
        if isinstance(files, _Folder):
            object.__setattr__(self, "files", files)

    @functools.cached_property
    def id(self) -> str:
        """As of any candidate; the host hashes it, since it has the files."""
        files: Any = self.files
        if not isinstance(files, _Folder):
            return Candidate(self.params, files).id
        return str(files.mirrored.ask(["id", files.mirrored.candidate_out(self)]))

    def with_params(self, **changes: Value) -> Candidate:
        """The candidate with other values and the same files."""
        return _Lazy({**self.params, **changes}, self.files)


class _Folder(Mapping[str, str]):
    """The files of one candidate: names at once, texts when they are read."""

    def __init__(self, of: str, hashes: Mapping[str, str], mirrored: Mirrored) -> None:
        self.of = of
        self.mirrored = mirrored
        self._hashes = hashes
        mirrored.files.given.update(hashes.values())

    def __getitem__(self, path: str) -> str:
        return self.mirrored.files.text(self._hashes[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, path: object) -> bool:
        return path in self._hashes

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Folder):
            return self._hashes == other._hashes
        return dict(self.items()) == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # like the mapping that it stands for

    def __repr__(self) -> str:
        return f"mappingproxy({dict(self.items())!r})"


class _Files:
    """Texts by hash, fetched once, and the ones read last kept."""

    def __init__(self, ask: Callable[[list[Any]], Any]) -> None:
        self.given: set[str] = set()
        self._ask = ask
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._length = 0

    def text(self, name: str) -> str:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        text = str(self._ask(["file", name]))
        self._kept[name] = text
        self._length += len(text)
        while self._length > MOST_FILES and len(self._kept) > 1:
            self._length -= len(self._kept.popitem(last=False)[1])
        return text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
