"""Parameter values as models write them, and constants inside editable files."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.researchers.constant_lines import shown, taken
from bilevel.researchers.values import number_in, value_for
from bilevel.space import Bool, Choice, Derived, Float, Int, Space, same_value

RATE, BATCH = Float(1e-4, 1.0, log=True), Int(16, 2**20, power_of_two=True)
PAIR = Choice(((0.8, 0.95), (0.9, 0.95)))


@pytest.mark.parametrize(
    ("domain", "raw", "value"),
    [
        (RATE, 1, 1.0),
        (RATE, "1e-3", 0.001),
        (RATE, "0.5", 0.5),
        (RATE, "3 * 0.01", 0.03),
        (RATE, "-2**-1", -0.5),
        (BATCH, "2**19", 524288),
        (BATCH, 64.0, 64),
        (BATCH, " 1_024 ", 1024),
        (BATCH, "8 * 128 // 2", 512),
        (PAIR, [0.9, 0.95], (0.9, 0.95)),
        (PAIR, "(0.9, 0.95)", (0.9, 0.95)),
        (Choice(("flat", "round")), "round", "round"),
        (Choice(("flat", "round")), " round ", "round"),
        (Choice((1, 2)), 2.0, 2),
        (Choice((1, 2)), "2", 2),
        (Choice((True, 1)), True, True),
        (Choice((True, 1)), 1, 1),
        (Choice(("1", 1)), "1", "1"),
        (Bool(), "True", True),
        (Bool(), 0, False),
    ],
)
def test_values_are_read_leniently_and_typed_strictly(domain, raw, value):
    assert same_value(value_for(domain, raw), value)


@pytest.mark.parametrize(
    ("domain", "raw", "problem"),
    [
        (RATE, "a lot", "needs a value"),
        (RATE, True, "needs a number"),
        (RATE, None, "needs a number"),
        (RATE, float("nan"), "finite"),
        (RATE, "1e999", "finite"),
        (RATE, "1 / 0", "arithmetic fails"),
        (RATE, "(-8) ** 0.5", "not real"),
        (RATE, "__import__('os').getcwd()", "only constants"),
        (RATE, "x" * 500, "short value"),
        (RATE, "'0.5'", "needs a number"),
        (RATE, {"value": 1}, "needs a number"),
        (BATCH, 1.5, "whole number"),
        (BATCH, "10 ** 10 ** 10", "too large"),
        (BATCH, "2 ^ 8", r"only \+ - "),
        (BATCH, 2**5000, "too large"),
        (PAIR, [0.9], "not one of the options"),
        (PAIR, {"a": 1}, "needs a value"),
        (Choice((1, 2)), True, "not one of the options"),
        (Bool(), "perhaps", "true or false"),
        (Derived(), 1, "cannot be set"),
    ],
)
def test_what_cannot_be_read_is_refused(domain, raw, problem):
    with pytest.raises(ValueError, match=problem):
        value_for(domain, raw)


@given(st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_written(number):
    assert number_in(repr(number)) == number


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert not isinstance(number_in(text), bool)


# ---- constants in files ----

TEXT = """# A file
DEPTH = 4  # layers
SIZE: int = 2**13
SHAPE = "flat"  # or "long"
PAIR = [0.8, 0.9]
CAP = 15.0

x = DEPTH
"""
SPACE = Space(
    {
        "DEPTH": Int(1, 8),
        "SIZE": Int(1, 2**20),
        "SHAPE": Choice(("flat", "long")),
        "PAIR": Choice(((0.8, 0.9), (0.9, 0.99))),
        "CAP": Choice((15.0,), locked=True),
    }
)
PARAMS = {"DEPTH": 6, "SIZE": 8192, "SHAPE": "long", "PAIR": (0.9, 0.99), "CAP": 15.0}
FILES = {"train.py": TEXT}


def take(edited, files=FILES):
    return taken("train.py", edited, files, PARAMS, SPACE)


def test_a_file_is_shown_with_the_values_in_force():
    text = shown(FILES, PARAMS)["train.py"]
    assert 'DEPTH = 6  # layers\nSIZE: int = 2**13\nSHAPE = "long"  # or' in text and "PAIR = [0.9, 0.99]\n" in text


def test_what_is_shown_comes_back_as_it_was_held():
    assert take(shown(FILES, PARAMS)["train.py"]).text == TEXT
    assert not take(shown(FILES, PARAMS)["train.py"]).changes


def test_a_constant_edited_in_the_text_is_a_change_of_the_parameter():
    edited = (
        shown(FILES, PARAMS)["train.py"].replace("DEPTH = 6", "DEPTH = 2 * 4").replace("x = DEPTH", "x = DEPTH + 1")
    )
    result = take(edited)
    assert dict(result.changes) == {"DEPTH": 8}
    assert result.text == TEXT.replace("x = DEPTH", "x = DEPTH + 1")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("DEPTH = 6", "DEPTH = int('6')", "must go on assigning DEPTH a literal"),
        ("DEPTH = 6", "", "must go on assigning DEPTH a literal"),
        ("x = DEPTH", "DEPTH = 3", "must go on assigning DEPTH a literal at its top level, once"),
        ("CAP = 15.0", "CAP = 30.0", "CAP is locked by the task and stays 15.0"),
        ("x = DEPTH", "x = (DEPTH", r"train.py would not be valid Python: line \d+: .*x = \(DEPTH"),
        ("x = DEPTH", "x = 'a\0b'", "would not be valid Python"),
    ],
)
def test_what_the_host_would_refuse_is_refused_at_once(old, new, problem):
    with pytest.raises(ValueError, match=problem):
        take(shown(FILES, PARAMS)["train.py"].replace(old, new))


def test_a_locked_constant_may_go():
    assert "CAP" not in take(shown(FILES, PARAMS)["train.py"].replace("CAP = 15.0\n", "")).text


def test_a_name_in_two_files_is_left_alone_in_both():
    files = {**FILES, "other.py": "DEPTH = 1\n"}
    texts = shown(files, PARAMS)
    assert "DEPTH = 4" in texts["train.py"] and texts["other.py"] == "DEPTH = 1\n"


def test_files_that_are_no_python_are_left_alone():
    files = {"notes.md": "DEPTH = 4\n", "bad.py": "DEPTH = = 4\n"}
    assert shown(files, PARAMS) == files
    assert taken("notes.md", "DEPTH = 5\n", files, PARAMS, SPACE).text == "DEPTH = 5\n"
    assert taken("bad.py", "DEPTH = 4\n", files, PARAMS, SPACE).text == "DEPTH = 4\n"


@given(
    st.sampled_from(["\n", "\r\n"]), st.integers(1, 8), st.sampled_from(["flat", "long"]), st.text("äé≤x ", max_size=5)
)
def test_only_the_constants_differ_from_what_is_held(end, depth, shape, comment):
    held = {"train.py": TEXT.replace("# A file", f"# {comment}").replace("\n", end)}
    params = {**PARAMS, "DEPTH": depth, "SHAPE": shape}
    text = shown(held, params)["train.py"]
    result = taken("train.py", text + f"y = 1{end}", held, params, SPACE)
    assert result.text == held["train.py"] + f"y = 1{end}" and not result.changes
