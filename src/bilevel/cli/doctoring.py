"""`doctor`: what the machine offers, one line each, and the way out of what is wrong."""

from pathlib import Path

from bilevel.cli.printing import console, print_json
from bilevel.doctor import OK, PROBLEM, Finding, examine

PROBLEMS_FOUND = 4
_MARKS = {OK: "[green]ok[/]     ", PROBLEM: "[red]problem[/]"}


def print_doctor(as_json: bool) -> int:
    """Look at the machine. Returns 0, or 4 where something that every run needs is missing."""
    findings = examine(Path())
    if as_json:
        print_json([_data(finding) for finding in findings])
    else:
        for finding in findings:
            _print(finding)
    return PROBLEMS_FOUND if any(finding.impossible for finding in findings) else 0


def _data(finding: Finding) -> dict[str, object]:
    ok = finding.state == OK
    return {**vars(finding), "fix": "" if ok else finding.fix, "ok": ok}


def _print(finding: Finding) -> None:
    shown = console()
    shown.print(_MARKS.get(finding.state, "[yellow]note[/]   "), end=" ")
    shown.print(f"{finding.subject}: {finding.found}", highlight=False, markup=False, soft_wrap=True)
    if finding.state != OK and finding.fix:
        shown.print(f"        way out: {finding.fix}", highlight=False, markup=False, soft_wrap=True)
