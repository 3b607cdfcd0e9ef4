"""Patterns for relative paths, against a second, independent reading of them."""

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.execution.globs import matches

segments = st.text(alphabet="ab.", min_size=1, max_size=3)
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
patterns = st.lists(
    st.one_of(st.just("**"), st.text(alphabet="ab.*?", min_size=1, max_size=3)), min_size=1, max_size=4
).map("/".join)


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("train.py", "*.py", True),
        ("src/train.py", "*.py", False),
        ("src/train.py", "**/*.py", True),
        ("train.py", "**/*.py", True),
        ("src/a/b/train.py", "src/**", True),
        ("src/a/b/train.py", "src/**/train.py", True),
        ("src/train.py", "src/**/train.py", True),
        ("other/train.py", "src/**", False),
        ("srcs/train.py", "src/**", False),
        (".hidden", "*", True),
        ("a1.py", "a[0-9].py", True),
        ("A.py", "a.py", False),
        ("a\nb", "a*", True),
        ("a", "", False),
    ],
)
def test_examples(path, glob, expected):
    assert matches(path, [glob]) is expected


@given(paths, patterns)
def test_agrees_with_a_regular_expression(path, pattern):
    parts = []
    for segment in pattern.split("/"):
        if segment == "**":
            parts.append("(?:[^/]+/)*")
        else:
            inner = translate(segment).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")
            parts.append(re.sub(r"(?<!\\)\.", "[^/]", inner) + "/")
    assert matches(path, [pattern]) is bool(re.fullmatch("".join(parts), path + "/"))


@given(paths)
def test_a_path_matches_itself_and_everything(path):
    assert matches(path, [path])
    assert matches(path, ["**"])
    assert matches(path, ["nothing", f"**/{path}"])
    assert not matches(path, [])


def test_many_double_stars_do_not_explode():
    assert not matches("/".join("a" * 60), ["/".join(["**", "a"] * 25 + ["b"])])
