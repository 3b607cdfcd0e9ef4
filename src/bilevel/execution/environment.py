"""The environment of a run: an allow-list, so that no key of the host reaches code that a model wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bilevel.errors import InputError

_SECRET_NAME = re.compile(
    r"(KEYS?|TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_(ID|FILE|PATH|BASE64))?$", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")  # https://user:password@…
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def allowed(
    pass_names: Iterable[str] = (),
    set_values: Mapping[str, str] | None = None,
    *,
    scratch: Path,
    threads: int = 1,
    host: Mapping[str, str] | None = None,
    secret_ok: Iterable[str] = (),
) -> dict[str, str]:
    """The whole environment of a run; nothing else is inherited.

    Always there: the host's PATH, LANG and LC_ALL (C.UTF-8), HOME and TMPDIR (both `scratch`, which the caller
    makes), the thread counts of the numeric libraries (`threads`), PYTHONHASHSEED=0, PYTHONDONTWRITEBYTECODE=1, and
    CUDA_VISIBLE_DEVICES if the host has it. Then the names in `pass_names` that `host` (default: `os.environ`) has,
    then `set_values`, which win. Raises InputError for a name that looks like a secret (ends in KEY, TOKEN, SECRET,
    PASSWORD, CREDENTIALS …) and for a value with a password in a URL, unless the name stands in `secret_ok`, and for
    what cannot be an environment name. A secret under an innocent name is not recognised.
    """
    host = os.environ if host is None else host
    if threads < 1:
        raise InputError(f"the number of threads of a run must be at least 1, not {threads}")
    env = {"PATH": host.get("PATH", os.defpath), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    env |= {"HOME": str(scratch), "TMPDIR": str(scratch)}
    env |= dict.fromkeys(_THREADS, str(threads))
    env |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    if "CUDA_VISIBLE_DEVICES" in host:
        env["CUDA_VISIBLE_DEVICES"] = host["CUDA_VISIBLE_DEVICES"]
    wanted, trusted = list(pass_names), frozenset(secret_ok)
    chosen = {name: host[name] for name in wanted if name in host} | dict(set_values or {})
    for name in (*wanted, *chosen):
        _check_name(name, name in trusted)
    for name, value in chosen.items():
        if "\0" in value:
            raise InputError(f"the value of environment variable {name!r} holds a null character")
        if _SECRET_VALUE.search(value) and name not in trusted:
            raise InputError(
                f"environment variable {name!r} holds a URL with a password; candidates are untrusted code: give the "
                "URL without it, let the harness fetch what the run needs, or list the name in env_secret_ok"
            )
    return env | chosen


def without_secrets(text: str, values: Mapping[str, str]) -> str:
    """A text with each of these values replaced by its name in brackets; values under 4 characters are left alone."""
    for name, value in sorted(values.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(value, f"[{name}]") if len(value) >= 4 else text
    return text


def _check_name(name: str, trusted: bool) -> None:
    if not name or "=" in name or "\0" in name:
        raise InputError(f"not the name of an environment variable: {name!r}")
    if _SECRET_NAME.search(name) and not trusted:
        raise InputError(
            f"environment variable {name!r} looks like a secret; candidates are untrusted code and do not get one: "
            "remove it from the task, rename it if it is none, or list it in env_secret_ok if candidates may have it"
        )
