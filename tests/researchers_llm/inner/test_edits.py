"""SEARCH/REPLACE blocks and whole files: read from an answer, and applied."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bilevel.researchers.edits import Broken, EditRefused, Files, Prose, Replace, Whole, apply, replaced, scan

BLOCK = "<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n"
FILE = "def f(x):\n    y = x + 1\n    return y\n\n\ndef g(x):\n    y = x + 2\n    return y\n"
lines = st.lists(st.text("ab c", max_size=6), min_size=1, max_size=12)
ends = st.sampled_from(["\n", "\r\n"])


def edit(search, replacement, path=""):
    return Replace(path, tuple(search.splitlines()), tuple(replacement.splitlines()))


def refused(kind):
    class Expected:
        def __enter__(self):
            self.inner = pytest.raises(EditRefused)
            return self.inner.__enter__()

        def __exit__(self, *error):
            done = self.inner.__exit__(*error)
            assert error[1] is None or error[1].kind == kind, error[1]
            return done

    return Expected()


# ---- reading ----


@pytest.mark.parametrize(
    "text",
    [
        f"train.py\n{BLOCK}",
        f"`train.py`:\n{BLOCK}",
        f"**train.py**\n\n{BLOCK}",
        f"### FILE: train.py\n{BLOCK}",
        f"./train.py\n```python\n{BLOCK}```\n",
        f"```python train.py\n{BLOCK}```\n",
        f"```\ntrain.py\n{BLOCK}```\n",
        f"FILE: train.py\n```\n{BLOCK}```\n",
        "train.py\r\n" + BLOCK.replace("\n", "\r\n"),
        "train.py\n<<<<< SEARCH\nold\n=====\nnew\n>>>>>>> REPLACE (done)\n",
    ],
)
def test_a_block_is_read_with_the_path_above_it(text):
    edits = [piece for piece in scan(text) if not isinstance(piece, Prose)]
    assert edits == [Replace("train.py", ("old",), ("new",))]


def test_prose_above_a_block_is_no_path():
    (_, found) = scan(f"This is the change that I want:\n{BLOCK}")
    assert found == Replace("", ("old",), ("new",))


def test_a_known_path_needs_no_dot():
    assert scan(f"Makefile\n{BLOCK}", known=["Makefile"])[-1] == Replace("Makefile", ("old",), ("new",))


def test_a_whole_file_is_read_from_its_fence():
    text = "FILE: a/b.py\n\n````python\nx = '''\n```\n'''\n````\nand more"
    assert scan(text) == [Whole("a/b.py", "x = '''\n```\n'''\n"), Prose("and more")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.py\n<<<<<<< SEARCH\nold\n=======\nnew\n", "no closing line"),
        ("a.py\n<<<<<<< SEARCH\nold\n>>>>>>> REPLACE\n", "exactly one line ======="),
        ("a.py\n<<<<<<< SEARCH\n=======\nold\n=======\nnew\n>>>>>>> REPLACE\n", "exactly one line ======="),
        (f"a.py\n<<<<<<< SEARCH\nold\n=======\nnew\n{BLOCK}", "second SEARCH"),
        ("old\n=======\nnew\n>>>>>>> REPLACE\n", "without its SEARCH"),
        ("FILE: a.py\n```\nx = 1\n", "not closed"),
    ],
)
def test_malformed_blocks_are_refused(text, problem):
    broken = [piece for piece in scan(text) if isinstance(piece, Broken)]
    assert broken and problem in broken[0].problem
    with refused("malformed") as error:
        apply([broken[0]], Files({"a.py": "old\n"}))
    assert "edit 1" in str(error.value)


def test_an_underline_in_the_text_is_not_the_divider():
    text = "a.md\n<<<<<<< SEARCH\nTitle\n=====\n=======\nOther\n=====\n>>>>>>> REPLACE\n"
    assert scan(text)[1:] == [Replace("a.md", ("Title", "====="), ("Other", "====="))]


@given(st.text("ab<>=`\n SEARCHREPLACE:FILE", max_size=300))
def test_any_text_can_be_scanned(text):
    scan(text)


# ---- applying: the laws ----


@given(lines, st.data(), ends, st.booleans(), lines | st.just([]))
def test_a_block_that_matches_once_changes_exactly_that_region(content, data, end, last, new):
    text = end.join(content) + (end if last else "")
    content = [line.removesuffix("\r") for line in text.split("\n")]
    content = content[:-1] if content[-1] == "" else content
    assume(content)
    start = data.draw(st.integers(0, len(content) - 1))
    stop = data.draw(st.integers(start + 1, len(content)))
    search = content[start:stop]
    windows = [content[i : i + len(search)] for i in range(len(content) - len(search) + 1)]
    block = Replace("", tuple(search), tuple(new))
    if windows.count(search) > 1:
        with refused("many matches"):
            replaced(text, block)
        return
    result = replaced(text, block)
    ended, end = text.endswith("\n"), end if "\n" in text else "\n"
    before = "".join(line + end for line in content[:start])
    rest = content[stop:]
    after = "".join(line + end for line in rest)
    middle = "".join(line + end for line in new)
    if not ended:
        after = after.removesuffix(end) if rest else after
        middle = middle if rest or not new else middle.removesuffix(end)
    assert result == before + middle + after


@given(lines, st.data(), ends)
def test_an_edit_and_its_reverse_give_the_text_back(content, data, end):
    text = "".join(line + end for line in content)
    start = data.draw(st.integers(0, len(content) - 1))
    search, new = tuple(content[start:]), ("a line that is new",)
    assume([content[i:] for i in range(len(content))].count(list(search)) == 1)
    try:
        changed = replaced(text, Replace("", search, new))
    except EditRefused:
        assume(False)
    assert replaced(changed, Replace("", new, search)) == text


words = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8)


@given(words, words, st.sampled_from(["  ", "    ", "\t"]), st.booleans())
def test_the_fallback_never_applies_where_two_places_fit(content, search, indent, file_is_indented):
    """Lines that never match exactly, because all of the file, or all of the block, is indented."""
    text = "".join((indent if file_is_indented else "") + line + "\n" for line in content)
    own = "" if file_is_indented else indent
    block = Replace("", tuple(own + line for line in search), (own + "new",))
    size = len(search)
    places = [i for i in range(len(content) - size + 1) if content[i : i + size] == search]
    if len(places) != 1:
        with refused("many matches" if places else "no match"):
            replaced(text, block)
        return
    new = [*content[: places[0]], "new", *content[places[0] + size :]]
    assert replaced(text, block) == "".join((indent if file_is_indented else "") + line + "\n" for line in new)


def test_two_places_with_different_indentation_are_still_two():
    text = "a = 1\nif x:\n    a = 1\n"
    with refused("many matches"):
        replaced(text, edit("  a = 1", "  a = 2"))


# ---- applying: by example ----


def test_the_refusal_of_several_matches_says_where_they_are():
    with refused("many matches") as error:
        replaced(FILE, edit("    return y", "    return 2 * y"), "edit 3 (train.py)")
    assert "edit 3 (train.py)" in str(error.value) and "matches 2 places (lines 3, 8)" in str(error.value)


def test_the_refusal_of_no_match_shows_the_nearest_lines_in_a_fence():
    with refused("no match") as error:
        replaced(FILE, edit("def g(x):\n    y = x + 3\n    return y", "pass"), "edit 1 (train.py)")
    text = str(error.value)
    assert "edit 1 (train.py)" in text and "matches 0 places" in text
    assert "```text untrusted" in text and "def g(x):\n    y = x + 2\n    return y" in text
    with refused("no match") as error:
        replaced(FILE, edit("    y = x + 22", "pass"))
    assert "y = x + 2\n" in str(error.value)


def test_trailing_blanks_do_not_matter():
    assert replaced("a  \nb\n", edit("a\nb  ", "c")) == "c\n"


def test_a_block_without_its_indentation_is_moved_to_where_it_belongs():
    text = "class A:\n    def f(self):\n        if x:\n            return 1\n"
    block = edit("if x:\n    return 1", "if y:\n\n    return 2\nreturn 3")
    assert replaced(text, block) == (
        "class A:\n    def f(self):\n        if y:\n\n            return 2\n        return 3\n"
    )


def test_a_block_with_too_much_indentation_is_moved_back():
    assert replaced("a = 1\nb = 2\n", edit("    a = 1\n    b = 2", "    a = 3")) == "a = 3\n"


def test_a_block_whose_lines_are_shifted_differently_is_not_applied():
    with refused("no match"):
        replaced("if x:\n    a = 1\n", edit("  if x:\n  a = 1", "pass"))


def test_a_replacement_that_cannot_be_shifted_is_not_applied():
    with refused("no match"):
        replaced("a = 1\n", edit("    a = 1", "a = 2"))


def test_blank_lines_around_a_block_do_not_matter_where_it_stands_alone():
    assert replaced("a\nb\nc\n", edit("\nb\n\n", "\nB\n\n")) == "a\nB\nc\n"


def test_line_ends_are_kept():
    assert replaced("a\r\nb\r\nc\r\n", edit("b", "x\ny")) == "a\r\nx\r\ny\r\nc\r\n"
    assert replaced("a\r\nb", edit("b", "x\ny")) == "a\r\nx\r\ny"
    assert replaced("a\nb\r\n", edit("b", "x\ny")) == "a\nx\r\ny\r\n"


def test_blocks_are_applied_one_after_the_other():
    edits = [edit("def f(x):", "def h(x):", "a.py"), edit("def h(x):", "def k(x):")]
    assert apply(edits, Files({"a.py": FILE, "b.py": ""}))["a.py"] == FILE.replace("f(x)", "k(x)")


@pytest.mark.parametrize(
    "path", ["other.py", "../train.py", "/etc/passwd", "src\\x.py", "src/../x.py", "src//x.py", "b"]
)
def test_paths_are_restricted_to_the_candidates_files(path):
    files = Files({"train.py": FILE, "net.py": ""}, new=("src/*.py",))
    for change in (edit("x", "y", path), Whole(path, "x\n"), Replace(path, (), ("x",))):
        with refused("not editable") as error:
            apply([change], files)
        assert "train.py, net.py" in str(error.value) and "new ones may be made at: src/*.py" in str(error.value)


def test_a_block_needs_its_path_where_there_are_several_files():
    with refused("malformed") as error:
        apply([edit("x", "y")], Files({"a.py": "x\n", "b.py": "x\n"}))
    assert "no path stands above it; the files are: a.py, b.py" in str(error.value)
    assert apply([edit("x", "y")], Files({"a.py": "x\n"})) == {"a.py": "y\n"}


def test_a_new_file_is_made_by_an_empty_search_where_that_is_allowed():
    files = Files({"a.py": "x\n"}, new=("lib/*.py",))
    made = apply([Replace("lib/b.py", (), ("y = 1", "z = 2")), edit("z = 2", "z = 3", "lib/b.py")], files)
    assert made == {"a.py": "x\n", "lib/b.py": "y = 1\nz = 3\n"}
    assert apply([Whole("lib/b.py", "y\n")], files)["lib/b.py"] == "y\n"
    with refused("malformed") as error:
        apply([Replace("a.py", (), ("y",))], files)
    assert "SEARCH is empty, but the file exists" in str(error.value)
    with refused("no match"):
        apply([edit("x", "y", "lib/b.py")], files)


def test_a_whole_file_is_replaced_only_if_it_was_shown():
    files = {"a.py": "x\r\ny\r\n"}
    assert apply([Whole("a.py", "z\nw\n")], Files(files, whole=["a.py"])) == {"a.py": "z\r\nw\r\n"}
    with refused("not shown") as error:
        apply([Whole("a.py", "z\n")], Files(files))
    assert "edit it by SEARCH/REPLACE" in str(error.value)
