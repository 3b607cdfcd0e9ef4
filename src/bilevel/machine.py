"""What the measurements of a run are made on, and whether scores of two machines may be compared.

Facts are recorded in full. Only those that can change a score count: interpreter (without its patch number), system,
processor, accelerator, and the versions of numerical packages. The number of cores and the isolation do not; nor does a
fact that an older record does not have.
"""

import functools
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bilevel.codec import content_hash

COUNTS = ("python", "system", "machine", "processor", "accelerator", "packages")
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")


def facts() -> dict[str, Any]:
    """This machine, with the fingerprint of what can change a score."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "accelerator": _accelerator(),
        "packages": _packages(),
        "cores": os.cpu_count(),
    }
    return {**found, "fingerprint": fingerprint(found)}


def fingerprint(found: Mapping[str, Any]) -> str:
    """A hash of the facts that count."""
    return content_hash({name: _counted(name, found.get(name)) for name in COUNTS})[:12]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The facts that count and that both have, where they differ: "processor 'A' then, 'B' now"."""
    return [
        f"{name} {then[name]!r} then, {now[name]!r} now"
        for name in COUNTS
        if name in then and name in now and _counted(name, then[name]) != _counted(name, now[name])
    ]


def _counted(name: str, value: Any) -> Any:
    if name == "python" and isinstance(value, str):
        return ".".join(value.split(".")[:2])
    return value


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


@functools.cache
def _accelerator() -> str:
    """The models of the NVIDIA GPUs that the system's driver names, each once; empty where there are none."""
    names = set()
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        names |= {line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")}
    return ", ".join(sorted(names))


@functools.cache
def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
