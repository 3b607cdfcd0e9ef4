"""Files from elsewhere: a pair, a folder of pairs, a tar or zip archive; read into memory, never unpacked.

An archive is a stranger's. So nothing of it is written by its own name: its members are texts in memory, of plain
files with plain names, few and small. Anything else in it, and it is refused whole.
"""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bilevel.errors import InputError
from bilevel.shelf.record import MOST_BYTES, text_in
from bilevel.shelf.shelves import is_text, plain

MOST_FILES = 500
MOST_PACKED = 1 << 24  # bytes of an archive, before and after a gzip is taken off
SUFFIXES = (".py", ".toml")  # beside NAME.CARRIER.md


def texts(path: Path) -> dict[str, str]:
    """The sources and records at a path: file name -> text. Raises InputError for anything that cannot be taken."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"there is no file or folder {str(path)!r}")
    if path.suffix in (".py", ".md"):
        return _pair(path)
    with path.open("rb") as file:
        data = file.read(MOST_PACKED + 1)
    if len(data) > MOST_PACKED:
        raise InputError(f"{path.name} has more than {MOST_PACKED:,} bytes")
    return _packed(data, path.name)


def _pair(path: Path) -> dict[str, str]:
    pair = [file for file in (path, path.with_suffix(".toml")) if file.is_file()]
    return {file.name: _read(file) for file in pair}


def _folder(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.iterdir() if _wanted(file.name))
    if len(files) > MOST_FILES:
        raise InputError(f"folder {str(path)!r} has more than {MOST_FILES} files")
    for file in files:
        if file.is_symlink() or not file.is_file():
            raise InputError(f"folder {str(path)!r}: {file.name!r} is not a plain file")
    return {file.name: _read(file) for file in files}


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return text_in(file.read(MOST_BYTES + 1), path.name)


def _packed(data: bytes, name: str) -> dict[str, str]:
    try:
        if data[:2] == b"\x1f\x8b":
            data = _ungzipped(data, name)
        members = _zip(data, name) if data[:2] == b"PK" else _tar(data, name)
    except (tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise InputError(
            f"{name!r} cannot be read as an archive ({error}); what can be imported is a .py file, a text "
            "NAME.CARRIER.md, a folder, or an archive: .tar, .tar.gz or .zip"
        ) from None
    found: dict[str, str] = {}
    for member, content in members.items():
        file = PurePosixPath(member).name
        if file in found:
            raise InputError(f"{name!r} has two files {file!r}")
        found[file] = text_in(content, f"{name}: {member}")
    return found


def _ungzipped(data: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(MOST_PACKED + 1)
    except OSError as error:
        raise InputError(f"{name!r} is a damaged gzip file: {error}") from None
    if len(plain) > MOST_PACKED:
        raise InputError(f"{name!r} has more than {MOST_PACKED:,} bytes when it is unpacked")
    return plain


def _tar(data: bytes, name: str) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for number, member in enumerate(archive):
            _check(member.name, number, name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise InputError(f"{name!r}: {member.name!r} is not a plain file (a link, or a device)")
            if _wanted(member.name):
                content = archive.extractfile(member)
                assert content is not None  # it is a plain file
                found[member.name] = content.read(MOST_BYTES + 1)
    return found


def _zip(data: bytes, name: str) -> dict[str, bytes]:
    found, total = {}, 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for number, member in enumerate(archive.infolist()):
            _check(member.filename, number, name)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise InputError(f"{name!r}: {member.filename!r} is not a plain file (a link, or a device)")
            if _wanted(member.filename):
                with archive.open(member) as content:
                    found[member.filename] = content.read(MOST_BYTES + 1)
                total += len(found[member.filename])
                if total > MOST_PACKED:
                    raise InputError(f"{name!r} has more than {MOST_PACKED:,} bytes when it is unpacked")
    return found


def _check(member: str, number: int, name: str) -> None:
    if number >= MOST_FILES:
        raise InputError(f"{name!r} has more than {MOST_FILES} members")
    odd = not member.isprintable() or "\\" in member or ":" in member
    if odd or PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
        raise InputError(f"{name!r} has a member {member!r}, which points outside of the archive; nothing was imported")


def _wanted(member: str) -> bool:
    path = PurePosixPath(member)
    return (path.suffix in SUFFIXES or is_text(path.name)) and not path.name.startswith(("_", "."))


def pairs(files: Mapping[str, str]) -> dict[str, tuple[str, str | None]]:
    """The sources, code and texts, with their records: name in force -> (source, text of the record or None)."""
    return {
        plain(name): (text, files.get(f"{Path(name).stem}.toml"))
        for name, text in files.items()
        if not name.endswith(".toml")
    }
