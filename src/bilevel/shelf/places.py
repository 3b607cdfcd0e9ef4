"""Where mechanisms of a user and of a project lie."""

import os
import sys
from pathlib import Path

from bilevel.errors import InputError

FOLDER = "mechanisms"


def data_folder() -> Path:
    """Where what belongs to a user is kept: $BILEVEL_DATA, else what the platform says.

    Conventions: XDG Base Directory Specification 0.8 (`XDG_DATA_HOME`, a relative one is to be ignored; else
    ~/.local/share); Apple, File System Programming Guide, "The Library Directory Stores App-Specific Files"
    (~/Library/Application Support); Microsoft, Known Folders, FOLDERID_RoamingAppData (%APPDATA%).
    """
    chosen = os.environ.get("BILEVEL_DATA")
    if chosen:
        return Path(chosen).absolute()
    try:
        return _platform_folder() / "bilevel"
    except RuntimeError as error:
        raise InputError(
            f"there is no home folder to keep anything in ({error}); set BILEVEL_DATA to a folder"
        ) from None


def _platform_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    shared = Path(os.environ.get("XDG_DATA_HOME", ""))
    return shared if shared.is_absolute() else Path.home() / ".local" / "share"


def user_folder() -> Path:
    """The user library: mechanisms that are there in every project."""
    return data_folder() / FOLDER


def project_folder() -> Path:
    """The mechanisms of the project in whose folder the program runs."""
    return Path(FOLDER)
