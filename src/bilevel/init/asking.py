"""Questions to a person, where nothing in the files answers them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from bilevel.errors import InputError


class Ask(Protocol):
    """Somebody who may be asked; `present` says whether there is anybody."""

    @property
    def present(self) -> bool: ...

    def choose(self, question: str, answers: Sequence[str], option: str, *, default: int | None = 0) -> int:
        """The place of an answer in the list. `option` would have answered it; without a default one must be given."""
        ...

    def text(self, question: str, option: str) -> str:
        """A line of text, never empty. Raises InputError where nobody can be asked."""
        ...


class Nobody:
    """Nobody is there: each question is an error that names the option to give."""

    present = False

    def choose(self, question: str, answers: Sequence[str], option: str, *, default: int | None = 0) -> int:
        lines = "".join(f"\n  {answer}" for answer in answers)
        raise InputError(f"{question} Nothing says which, and nobody can be asked: give {option}. Possible are:{lines}")

    def text(self, question: str, option: str) -> str:
        raise InputError(f"{question} Nothing says it, and nobody can be asked: give {option}")


@dataclass(frozen=True)
class Person:
    """A person at a terminal; `read` gives a line for a prompt, `write` shows one."""

    read: Callable[[str], str]
    write: Callable[[str], None]
    present: ClassVar[bool] = True

    def choose(self, question: str, answers: Sequence[str], option: str, *, default: int | None = 0) -> int:
        self.write(question)
        for number, answer in enumerate(answers, 1):
            self.write(f"  {number}  {answer}")
        hint = f"a number, Enter for {default + 1}" if default is not None else "a number"
        while True:
            said = self._line(f"{hint}: ", option)
            if not said and default is not None:
                return default
            if said.isdecimal() and 1 <= int(said) <= len(answers):
                return int(said) - 1
            self.write(f"{said!r} is not one of 1 to {len(answers)}")

    def text(self, question: str, option: str) -> str:
        while not (said := self._line(f"{question} ", option)):
            self.write(f"it cannot be empty; Ctrl-C leaves, and nothing is written ({option} says it beforehand)")
        return said

    def _line(self, prompt: str, option: str) -> str:
        try:
            return self.read(prompt).strip()
        except EOFError:
            raise InputError(f"the terminal was closed before the question was answered; give {option}") from None
