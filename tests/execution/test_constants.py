"""The UPPER_CASE constants of source code: read as values, written back in place."""

import ast
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bilevel.errors import InputError
from bilevel.execution.constants import problems, read, write

SOURCE = '''\
"""A module, with ünïcode — before what follows."""
import os
from x import IMPORTED
BATCH = 2**19  # tokens
LR: float = 1e-3; NAME = "ä"; DEPTH = -4
π = 3; LATER = 60 * 60
SHAPE = (
    1,  # one
    (2.5, "x"),
)
SIZES = [1, 2]
FLAG = True
PARENS = (  7
)
BARE = 1, 2
TEXT = """two
lines"""
_HIDDEN = 1 << 10
COMPUTED = os.cpu_count()
NOTHING = None
lower = 3
Mixed = 3
class A:
    INNER = 1
def f():
    LOCAL = 1
'''


def test_reading():
    assert read(SOURCE) == {
        "BATCH": 524288,
        "LR": 1e-3,
        "NAME": "ä",
        "DEPTH": -4,
        "LATER": 3600,
        "SHAPE": (1, (2.5, "x")),
        "SIZES": (1, 2),
        "FLAG": True,
        "PARENS": 7,
        "BARE": (1, 2),
        "TEXT": "two\nlines",
        "_HIDDEN": 1024,
    }
    assert problems(SOURCE) == {}


def test_writing_changes_the_values_and_nothing_else():
    values = {
        "BATCH": 2**18,
        "LR": 0.5,
        "NAME": "ö'\"\n",
        "DEPTH": 3,
        "LATER": 1,
        "SHAPE": (1, (2, "y")),
        "SIZES": (3,),
        "FLAG": False,
        "PARENS": -8,
        "BARE": (3,),
        "TEXT": "",
        "_HIDDEN": 512,
    }
    expected = (
        SOURCE.replace("2**19", "262144")
        .replace("1e-3", "0.5")
        .replace('"ä"', repr("ö'\"\n"))
        .replace("-4", "3")
        .replace("60 * 60", "1")
        .replace('(\n    1,  # one\n    (2.5, "x"),\n)', "(1, (2, 'y'))")
        .replace("[1, 2]", "[3]")
        .replace("= True", "= False")
        .replace("7\n", "-8\n")
        .replace("BARE = 1, 2", "BARE = (3,)")
        .replace('"""two\nlines"""', "''")
        .replace("1 << 10", "512")
    )
    assert write(SOURCE, values) == expected
    assert read(expected) == read(SOURCE) | values


def test_an_equal_value_keeps_its_text_and_another_type_does_not():
    assert write("A = 2**19\n", {"A": 524288}) == "A = 2**19\n"
    assert write("A = 1\n", {"A": 1.0}) == "A = 1.0\n"
    assert write("A = 1\n", {"A": True}) == "A = True\n"
    assert write("A = 0.0\n", {"A": -0.0}) == "A = -0.0\n"
    assert write("A = [1, [2]]", {"A": (1, (3, 4))}) == "A = [1, [3, 4]]"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines_form_feeds_and_odd_separators_do_not_move_the_place(newline):
    source = newline.join(["A = 1", "\x0c", 'S = "\u2028 \x85 \x1c"', "é = 'x'; B = 2 # é", "C = (1,", "  2)", ""])
    assert write(source, {"B": 5, "C": (9,)}) == source.replace("B = 2", "B = 5").replace(f"(1,{newline}  2)", "(9,)")


@pytest.mark.parametrize(
    "text",
    [
        "10**100000",
        "2**(2**99)",
        "9**9**9",
        "1 << 10**9",
        "1/0",
        "(-8)**0.5",
        "1e999",
        "1e308 * 10",
        "0.0**-1",
        "True + 1",
        "-True",
        "'a' * 3",
        "x",
        "f'{1}'",
        "b'x'",
        "1j",
        "None",
        "...",
        "{1}",
        "{1: 2}",
        "(1, None)",
        "~1",
        "1 if 1 else 2",
        "10.0**400",
        "*[1], 2",
    ],
)
def test_what_is_no_literal_of_ours_is_no_constant(text):
    assert read(f"A = {text}\nB = 1") == {"B": 1}
    assert problems(f"A = {text}") == {}


@pytest.mark.parametrize(
    "more",
    [
        "A = 2",
        "A += 1",
        "del A",
        "if True:\n    A = 2",
        "for A in []: pass",
        "import A",
        "import x as A",
        "def A(): pass",
        "class A: pass",
        "(A := 3)",
        "with x as A: pass",
        "A, B = 1, 2",
        "def f():\n    global A\n    A = 3",
        "try: pass\nexcept E as A: pass",
        "match x:\n    case A: pass",
        "A: int = 3",
        "match x:\n    case [*A]: pass",
    ],
)
def test_a_name_bound_twice_is_a_problem_and_no_constant(more):
    source = f"A = 1\n{more}\n"
    assert "A" not in read(source)
    assert "lines 1, 2" in problems(source)["A"] or "bound on lines 1," in problems(source)["A"]
    with pytest.raises(InputError, match="bound on lines"):
        write(source, {"A": 5})


@pytest.mark.parametrize("more", ["def f():\n    A = 2", "class C:\n    A = 2", "A: int", "print(A)", "def f(A): pass"])
def test_a_name_of_another_scope_is_no_problem(more):
    assert read(f"A = 1\n{more}\n") == {"A": 1}


@pytest.mark.parametrize(
    "value", [None, [1], {"a": 1}, 1j, b"x", math.nan, math.inf, (1, None), (1, (math.inf,)), 2**5000]
)
def test_a_value_that_is_no_literal_is_refused(value):
    with pytest.raises(InputError, match="'A'"):
        write("A = 1\n", {"A": value})


def test_subclasses_are_refused_as_their_repr_is_theirs():
    class Sly(str):
        def __repr__(self):
            return "__import__('os').system('true')"

    with pytest.raises(InputError):
        write("A = 'x'\n", {"A": Sly("y")})


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="'B'"):
        write("A = 1\n", {"B": 1})


@pytest.mark.parametrize("source", ["A = 1\nB = = 2\n", "A = 1\nif\n", "A = 1\n  B = 2\n"])
def test_a_syntax_error_names_file_and_line(source):
    with pytest.raises(InputError, match=r"train\.py, line 2: "):
        read(source, where="train.py")


@pytest.mark.parametrize(
    "source", ["A = 1\0", "A = '\ud800'", "A = " + "(" * 5000, "A = " + "-" * 100_000 + "1", "x" * 9 + "("]
)
def test_source_that_cannot_be_parsed_is_the_users_fault(source):
    with pytest.raises(InputError):
        read(source)


def test_a_very_deep_expression_is_no_constant():
    assert read("A = " + "+".join(["1"] * 40)) == {"A": 40}
    assert read("A = " + "+".join(["1"] * 700)) == {}


def test_a_byte_order_mark_stays():
    assert write("\ufeffA = 1\n", {"A": 2}) == "\ufeffA = 2\n"


names = st.from_regex(r"_?[A-Z][A-Z0-9_]{0,4}", fullmatch=True)
atoms = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6))
values = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
texts = st.one_of(
    values.map(repr),
    st.sampled_from(
        [
            "2**19",
            "4 * 1024",
            "( 1 )",
            "((1,\n 2))",
            "1, 'é'",
            "'é' 'ü'",
            "[1, [2]]",
            "+3",
            "- 2",
            "'''a\nb'''",
            "0x_ff",
            "1 + \\\n 2",
            "(1 # é)\n + 2)",
            "call('é')",
            "None",
        ]
    ),
)


@st.composite
def sources(draw):
    """Source with distinct constants, non-ASCII text around them, and several on a line."""
    result = draw(st.sampled_from(["", "# é—𝄞\n", "'''dœc'''\n", "é = 'ß'; "]))
    for name in draw(st.lists(names, unique=True, max_size=5)):
        note = draw(st.sampled_from(["", ": int", " : 'é'"]))
        text = draw(texts)
        if note and text.startswith("1, "):
            note = ""
        end = draw(st.sampled_from(["\n", "; ", "  # é\n", "\r\n", "\n\x0c\n", "\n\nif é:\n    x = 'ß'\n"]))
        result += f"{name}{note} = {text}{end}"
    try:
        ast.parse(result)
    except (SyntaxError, ValueError):
        assume(False)
    return result


@given(sources())
def test_writing_what_was_read_changes_nothing(source):
    assert write(source, read(source)) == source


@given(sources(), st.data())
def test_what_was_written_is_read_back(source, data):
    before = read(source)
    chosen = {name: data.draw(values, label=name) for name in before if data.draw(st.booleans())}
    after = write(source, chosen)
    assert repr(read(after)) == repr(before | chosen)
    assert write(after, {name: before[name] for name in chosen}).count("\n") <= source.count("\n") + after.count("\n")
    assert write(after, read(after)) == after
