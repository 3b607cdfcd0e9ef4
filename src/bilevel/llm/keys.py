"""Keys and addresses of providers: from the real environment, else from a `.env` file. Nothing is written back."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bilevel.errors import InputError, MissingExtra
from bilevel.llm.directory import Provider, all_providers, lookup, unlisted
from bilevel.llm.redaction import redact

ENVIRONMENT = "environment"
DOTENV = ".env"
_SECRET_NAME = re.compile(r"(API_KEY|_TOKEN|_SECRET|_ACCESS_KEY|_PASSWORD)$")
_SECRET_LOOK = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\S{12,}")  # a word is none: a prompt may hold it


@dataclass(frozen=True)
class Setting:
    """A variable that is set: its name, where it was found ("environment" or ".env"), and its value, never shown."""

    variable: str
    source: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Keys:
    """What the environment and the `.env` file say. The environment wins; an empty value counts as not set."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    dotenv: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: str = ""

    @classmethod
    def load(cls, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> "Keys":
        """The keys as seen from a folder (the current one if not given).

        The `.env` file is the first one in that folder and its parents, up to the root of a git repository or the
        home folder; outside both, only the folder itself is looked at. Raises InputError where the file cannot be read,
        MissingExtra where there is one and python-dotenv is not installed.
        """
        found = _find_dotenv((folder or Path.cwd()).resolve())
        held = dict(os.environ if environment is None else environment)
        if found is None:
            return cls(MappingProxyType(held))
        return cls(MappingProxyType(held), MappingProxyType(_read(found)), str(found))

    def get(self, *variables: str) -> Setting | None:
        """The first of the variables that is set, the environment before `.env`."""
        for source, values in ((ENVIRONMENT, self.environment), (DOTENV, self.dotenv)):
            for variable in variables:
                value = values.get(variable, "").strip()
                if value:
                    return Setting(variable, source, value)
        return None

    def find(self, provider: str) -> Setting | None:
        """The key of a provider. Raises InputError where what is set cannot be a key."""
        listed = lookup(provider) or unlisted(provider)
        found = self.get(*listed.keys)
        if found is not None and not (found.value.isascii() and found.value.isprintable() and " " not in found.value):
            raise InputError(
                f"the value of {found.variable} ({found.source}) cannot be a key: it holds a blank, a line break or "
                "a character outside ASCII; set it again, without quotes"
            )
        return found

    def need(self, provider: Provider, name: str) -> Setting | None:
        """The key of a provider that cannot do without. Raises InputError where there is none; None for local ones."""
        found = self.find(provider.name)
        if found is None and not provider.local and provider.first_class:
            variables = " or ".join(provider.keys)
            raise InputError(
                f"no key for {name!r}: set {variables} in the environment, or write {provider.keys[0]}=... "
                "into a file named .env here or in a folder above (.env.example shows all names)"
            )
        return found

    def values(self) -> tuple[str, ...]:
        """All values that are secrets: of the known key variables, and of others with such a name and such a look."""
        known = {variable for provider in all_providers() for variable in provider.keys}
        held = [*self.environment.items(), *self.dotenv.items()]
        secret = {
            value.strip()
            for name, value in held
            if name in known or (_SECRET_NAME.search(name.upper()) and _SECRET_LOOK.fullmatch(value.strip()))
        }
        return tuple(sorted(secret - {""}))

    def redact(self, text: str) -> str:
        """The text with every known key, and every piece or masked echo of one, replaced by `[secret]`."""
        return redact(text, self.values())


def _find_dotenv(folder: Path) -> Path | None:
    chain = [folder, *folder.parents]
    home = Path.home()
    last = next((n for n, at in enumerate(chain) if (at / ".git").exists() or at == home), 0)
    return next((at / DOTENV for at in chain[: last + 1] if (at / DOTENV).is_file()), None)


def _read(path: Path) -> dict[str, str]:
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise MissingExtra(f"reading {str(path)!r}", "llm") from None
    try:
        values = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {type(error).__name__}; it must be UTF-8 text") from None
    return {name: value for name, value in values.items() if value is not None}
