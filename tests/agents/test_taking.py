"""Taking back by content: exactly the texts that differ and may, whatever else an agent did to the tree."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bilevel.agents.taking import TOLD, Kind, Refused, Rules, noted, take, told

NAMES = st.sampled_from(["a.py", "b.py", "src/a.py", "src/b.py", "src/deep/c.py", "Score.PY", "x/.git/config"])
TEXTS = st.sampled_from(["", "one\n", "two\n", "ünïcode\r\n", "\ufeffX = 1\n"])
RULES = Rules(("src/**", "a.py"), ("src/b.py",))


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())


@given(before=st.dictionaries(NAMES, TEXTS), after=st.dictionaries(NAMES, TEXTS))
def test_what_is_taken_is_what_differs_and_may(tmp_path_factory, before, after):
    work = tmp_path_factory.mktemp("work")
    before.pop("x/.git/config", None)
    write(work, before)
    known = noted(work)
    assert set(known) == set(before)
    for path in before:
        (work / path).unlink()
    write(work, after)
    taken = take(work, known, RULES, frozenset())
    expected = {
        path: text
        for path, text in after.items()
        if before.get(path) != text and path in ("a.py", "src/a.py", "src/deep/c.py")
    }
    assert taken.files == expected
    gone = {item.path for item in taken.refused if item.kind is Kind.DELETED}
    assert gone == set(before) - set(after)
    closed = {item.path for item in taken.refused if item.kind in (Kind.PROTECTED, Kind.NOT_EDITABLE)}
    others = {"b.py", "src/b.py", "Score.PY"}
    assert closed == {path for path in after if path in others and before.get(path) != after[path]}


def test_protection_does_not_depend_on_case():
    rules = Rules(("**",), ("Harness/score.py",))
    assert rules.closed("harness/SCORE.py").kind is Kind.PROTECTED
    assert rules.closed("a/.GIT/hooks/x").kind is Kind.GIT
    assert rules.closed("harness/other.py") is None


def test_what_agents_keep_for_themselves_is_passed_over_unless_it_was_given(tmp_path):
    write(tmp_path, {".claude/settings.json": "{}\n", "a.py": "one\n"})
    known = noted(tmp_path)
    write(tmp_path, {".claude/settings.json": "{1}\n", ".claude/log": "x", ".aider.chat.md": "x", "a.pyc": "x",
                     "__pycache__/a.py": "x"})  # fmt: skip
    taken = take(tmp_path, known, Rules(("**",)), frozenset())
    assert taken.files == {".claude/settings.json": "{1}\n"} and taken.refused == []


def test_of_many_refusals_few_are_told():
    many = [Refused(Kind.DELETED, f"f{n}", "why") for n in range(50)] + [Refused(Kind.LINK, "l", "why")]
    shown = told(many)
    assert len(shown) == TOLD + 2 and shown[-1] == Refused(Kind.DELETED, "", "and 42 more")


def test_all_texts_together_are_bounded(tmp_path):
    write(tmp_path, {f"src/{n}.py": "x" * (1 << 20) for n in range(10)})
    taken = take(tmp_path, {}, RULES, frozenset())
    assert len(taken.files) == 8 and {item.kind for item in taken.refused} == {Kind.TOO_LARGE}


def test_a_file_that_cannot_be_read_is_made_readable(tmp_path):
    write(tmp_path, {"src/a.py": "one\n"})
    known = noted(tmp_path)
    (tmp_path / "src" / "a.py").write_text("two\n")
    for path in ("src/a.py", "src"):
        os.chmod(Path(tmp_path, path), 0)
    assert take(tmp_path, known, RULES, frozenset()).files == {"src/a.py": "two\n"}
