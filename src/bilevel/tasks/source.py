"""The files of a task and the candidates over them: constants in source text, files that may be edited, patches."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bilevel.errors import InputError
from bilevel.execution import constants
from bilevel.execution.workspace import matches, snapshot
from bilevel.space import Bool, Candidate, Choice, Domain, Space, Value, same_value
from bilevel.tasks.model import TaskModel
from bilevel.tasks.tables import SeedTable


@dataclass(frozen=True)
class Source:
    """A start folder, which of its files a candidate may edit, and where its parameters stand in them.

    A parameter stands in exactly one file, or in none (then the runner passes it on). The text of a candidate's file
    decides about code, its parameters about constants: they are written into the text last.
    """

    start: Path
    editable: tuple[str, ...]
    protected: tuple[str, ...]
    texts: Mapping[str, str]  # of the files with constants, as they are at the start
    places: Mapping[str, str]  # constant -> its file
    space: Space
    params: Mapping[str, Value]  # at the start
    seed: str | None = None  # the constant that the evaluation seed is written into

    def problems(self, candidate: Candidate) -> list[str]:
        """Why the files of a candidate may not be used: not editable, unreadable, or against the space."""
        found = [problem for path in candidate.files if (problem := self._closed(path))]
        for path in self.texts:
            if path in candidate.files:
                found += self._constants_problems(path, candidate.files[path])
        return found

    def _closed(self, path: str) -> str | None:
        """Whatever the case: on some file systems `Score.py` is `score.py`."""
        if matches(path.casefold(), [glob.casefold() for glob in self.protected]):
            return f"{path}: the task protects this file"
        if not matches(path, self.editable):
            return f"{path}: the task lets only these be edited: {', '.join(self.editable) or 'none'}"
        return None

    def _constants_problems(self, path: str, text: str) -> Iterator[str]:
        try:
            found, bad = constants.read(text, where=path), constants.problems(text, where=path)
        except InputError as error:
            yield str(error)
            return
        for name in (name for name, place in self.places.items() if place == path):
            locked = self.space.domains[name].locked
            if name in bad:
                yield f"{name}: {bad[name]}"
            elif name not in found and (not locked or name == self.seed):
                yield f"{name}: {path} must go on assigning this constant a literal at its top level"
            elif locked and name in found and not same_value(cast(Value, found[name]), self.params[name]):
                yield f"{name}: is locked by the task and stays {self.params[name]!r}, also in {path}"

    def changed(self, candidate: Candidate) -> dict[str, str]:
        """The final text of each file that differs from the start, by path: its files with its constants written in.

        Raises InputError for what `problems` lists. A constant that takes the seed is as the start has it.
        """
        result = dict(candidate.files)
        for path, text in self.texts.items():
            text = candidate.files.get(path, text)
            known = constants.read(text, where=path)
            values = {
                name: candidate.params[name]
                for name, place in self.places.items()
                if place == path and name in candidate.params and (name in known or not self.space.domains[name].locked)
            }
            result[path] = constants.write(text, values, where=path)
        return {path: text for path, text in sorted(result.items()) if text != self.text(path)}

    def seeded(self, files: Mapping[str, str], seed: int) -> dict[str, str]:
        """The files of `changed` with the evaluation seed written into its constant, if there is one."""
        if self.seed is None:
            return dict(files)
        path = self.places[self.seed]
        text = constants.write(files.get(path, self.texts[path]), {self.seed: seed}, where=path)
        return {**files, path: text}

    def text(self, path: str) -> str | None:
        """A file as it is at the start; None if there is none or if it is not text."""
        if path in self.texts:
            return self.texts[path]
        target = self.start / path
        try:
            return target.read_bytes().decode("utf-8") if target.is_file() else None
        except UnicodeDecodeError:
            return None

    def editable_texts(self) -> dict[str, str]:
        """The start's texts that a candidate may change, by path; files that are not text are not among them."""
        paths = (path for path in snapshot(self.start) if not self._closed(path))
        return {path: text for path in paths if (text := self.text(path)) is not None}

    def patch(self, candidate: Candidate) -> str:
        """A unified diff from the start to the candidate, for `patch -p1` or `git apply`; empty for the baseline."""
        return "".join(_diff(path, self.text(path), text) for path, text in self.changed(candidate).items())

    def write_out(self, candidate: Candidate, folder: Path) -> None:
        """Write the whole start tree with the candidate's changes into `folder`, which may exist.

        A file that is there already must be as it is at the start or as it would be written; otherwise InputError,
        which lists such files, and nothing is written. Files that are not the task's are left alone.
        """
        new = {path: (self.start / path).read_bytes() for path in snapshot(self.start)}
        old = dict(new)
        new |= {path: text.encode("utf-8") for path, text in self.changed(candidate).items()}
        clashes = [
            path
            for path, data in new.items()
            if (folder / path).exists() and (folder / path).read_bytes() not in (data, old.get(path))
        ]
        if clashes:
            raise InputError(
                f"{str(folder)!r} has files with other changes, which would be lost: {', '.join(clashes)}; "
                "give a new folder, or move those files away"
            )
        for path, data in new.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or target.read_bytes() != data:
                target.write_bytes(data)

    def candidate(self, folder: Path) -> Candidate:
        """The candidate that a working copy stands for: the inverse of `write_out`.

        Its parameters are the constants as they stand there; a file is part of it only if it differs from the start
        in more than those, and is held with the start's constants, so that a change of constants is never a change of
        files. Files that are not editable or not text are left out. Raises InputError for a file that cannot be parsed.
        """
        params, files = dict(self.params), {}
        for path in sorted({*snapshot(folder), *self.texts}):
            if self._closed(path) and path not in self.texts:
                continue
            try:
                text = (folder / path).read_bytes().decode("utf-8")
            except (FileNotFoundError, UnicodeDecodeError):
                continue
            if path in self.texts:
                text, mine = self._without_constants(path, text)
                params |= mine
            if text != self.text(path):
                files[path] = text
        return Candidate(params, files)

    def _without_constants(self, path: str, text: str) -> tuple[str, dict[str, Value]]:
        """A text with the start's values of its unlocked constants, and the values that it had."""
        found = constants.read(text, where=path)
        names = [name for name, place in self.places.items() if place == path and name in found]
        mine = {name: cast(Value, found[name]) for name in names if not self.space.domains[name].locked}
        back = {name: self.params[name] for name in mine}
        start = self.texts[path]
        text = constants.write(text, back, where=path)
        same = text == constants.write(constants.write(start, mine, where=path), back, where=path)
        return (start if same else text), mine


def open_source(start: Path, model: TaskModel) -> tuple[Source, list[str]]:
    """The source of a task, and everything that is wrong with it; with problems, the source must not be used."""
    where = "start/" if model.source is None else ""
    listed = {name: parameter.domain() for name, parameter in model.space.parameters.items()}
    texts: dict[str, str] = {}
    places: dict[str, str] = {}
    params: dict[str, Value] = {}
    problems: list[str] = []
    for path in model.space.constants:
        try:
            texts[path] = (start / path).read_bytes().decode("utf-8")
            found, bad = constants.read(texts[path], where=path), constants.problems(texts[path], where=path)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"space.constants: {where}{path} cannot be read: {error}")
            continue
        except InputError as error:
            problems.append(f"space.constants: {where}{error}")
            continue
        if matches(path, model.candidate.protected):
            problems.append(f"space.constants: {path} is protected, so its constants cannot be set")
        problems += [f"space.parameters.{name}: {bad[name]}" for name in listed if name in bad]
        for name, value in found.items():
            if name in places:
                problems.append(f"space.constants: {name} is a constant of {places[name]} and of {path}")
            places[name], params[name] = path, cast(Value, value)
    if not model.space.constants:
        params = {name: cast(Value, parameter.default) for name, parameter in model.space.parameters.items()}
    domains: dict[str, Domain] = {}
    for name, value in params.items():
        domains[name] = listed.get(name) or _locked(value)
        if wrong := domains[name].check(value):
            problems.append(f"space.parameters.{name}: the start has {value!r}, but the domain says: {wrong}")
    for name in listed.keys() - params.keys():
        if not any(problem.startswith(f"space.parameters.{name}:") for problem in problems):
            close = difflib.get_close_matches(name, list(params), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            files = ", ".join(model.space.constants)
            problems.append(f"space.parameters.{name}: no such constant in {files}{hint}")
    if not problems and not any(not domain.locked for domain in domains.values()) and not model.candidate.editable:
        problems.append("space: nothing may be changed; give a domain to a constant, or name editable files")
    space = Space({name: domains[name] for name in [*(n for n in listed if n in domains), *_rest(domains, listed)]})
    chosen = model.candidate
    seed = model.command.seed.constant if isinstance(model.command.seed, SeedTable) else None
    if seed is not None and type(params.get(seed)) is not int:
        problems.append(f"command.seed.constant: no constant {seed} with a whole number in a file of space.constants")
    return Source(start, chosen.editable, chosen.protected, texts, places, space, params, seed), sorted(problems)


def _rest(domains: Mapping[str, Domain], listed: Mapping[str, Domain]) -> list[str]:
    return [name for name in domains if name not in listed]


def _locked(value: Value) -> Domain:
    """The domain of a constant that the task does not list: the value that it has."""
    return Bool(locked=True) if isinstance(value, bool) else Choice((value,), locked=True)


def _diff(path: str, old: str | None, new: str) -> str:
    before = [] if old is None else old.splitlines(keepends=True)
    lines = difflib.unified_diff(
        before, new.splitlines(keepends=True), "/dev/null" if old is None else f"a/{path}", f"b/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
