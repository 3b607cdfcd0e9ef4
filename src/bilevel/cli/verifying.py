"""`verify`: whether what is stated is what the records give."""

from pathlib import Path

from bilevel.cli.printing import jsonable, print_json, visible
from bilevel.verifying.verify import verify

MOST_SHOWN = 40


def print_verified(path: Path, run: Path | None, as_json: bool) -> int:
    """Say how many numbers were checked, or which differ; the exit code."""
    found = verify(path, run)
    code = 1 if found.differences else 0
    if as_json:
        print_json(jsonable(found))
        return code
    for difference in found.differences[:MOST_SHOWN]:
        print(visible(str(difference)))
    if len(found.differences) > MOST_SHOWN:
        print(f"and {len(found.differences) - MOST_SHOWN} more; --json lists them all")
    for note in found.notes:
        print(visible(f"note: {note}"))
    if found.differences:
        print(f"{found.of}: {len(found.differences)} differences; {found.checked:,} numbers were checked")
    else:
        print(f"{found.of}: {found.checked:,} numbers checked, each is what the records give")
    return code
