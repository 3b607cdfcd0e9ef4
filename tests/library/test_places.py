"""Where mechanisms come from, which one a name means, and what is said of each."""

import sys

import pytest
from mechanism_files import GOOD, declare, install, refused

from bilevel.errors import InputError
from bilevel.shelf import every, find


def put(folder, name="mine", text=GOOD):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text, "utf-8")


def listed(bilevel_json, *args):
    return {row["name"]: row for row in bilevel_json("mechanisms", "list", *args)}


def test_each_of_the_four_places_is_listed_with_its_name(bilevel, bilevel_json, work, library, installed):
    put(work / "mechanisms", "here")
    put(library, "mine")
    rows = listed(bilevel_json)
    places = {name: rows[name]["from"] for name in ("tabu", "here", "mine", "no_repeats", "patience")}
    assert places == {
        "tabu": "shipped", "here": "project", "mine": "user", "no_repeats": "package", "patience": "package",
    }  # fmt: skip
    assert rows["no_repeats"]["by"] == "bilevel-example-mechanisms"
    assert rows["mine"]["hooks"] == ["propose"] and rows["bandit"]["needs"] == ["numeric"]
    text = bilevel("mechanisms", "list").stdout
    assert "bilevel-example-mechanisms" in text and "user library: " in text


def test_what_is_shipped_is_not_measured_until_somebody_measures_it(bilevel_json):
    rows = listed(bilevel_json)
    assert {row["standing"] for row in rows.values()} == {"not measured"}
    assert not any(row["evidence"] for row in rows.values())


@pytest.mark.slow
def test_nothing_of_a_package_is_imported_to_list_show_or_check_it(bilevel, bilevel_json, installed):
    """Its __init__ fails when it is imported."""
    assert "raise" in (installed / "bilevel_example_mechanisms" / "__init__.py").read_text()
    shown = bilevel_json("mechanisms", "show", "package:patience")
    assert shown["source"].startswith('"""Patience') and shown["parameters"] == {"trials": 4}
    assert bilevel("mechanisms", "check", "package:no_repeats", "patience").returncode == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_package.thing", "not found"),
        ("broken.module:TEXT", "one literal string"),
        ("broken.module:MISSING", "one literal string"),
        ("broken.syntax", "does not parse"),
        ("broken.nothing", "defines no subclass"),
        ("broken..module", "cannot be read"),
        ("broken.long", "bytes"),
        ("broken.binary", "UTF-8"),
    ],
)
def test_a_package_that_cannot_be_read_is_listed_with_the_reason(tmp_path, monkeypatch, value, words):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "module.py").write_text("TEXT = 'a' + input()\n")
    (folder / "syntax.py").write_text("def (")
    (folder / "nothing.py").write_text("x = 1\n")
    (folder / "long.py").write_text("#" * 300_000)
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    declare(tmp_path, "broken", f"theirs = {value}")
    found = every()["theirs"]
    assert words in found.problem and found.origin == "package" and "broken" not in sys.modules
    with pytest.raises(InputError, match=f"package:theirs.*{words}"):
        find("package:theirs")


def test_a_shipped_name_means_the_shipped_one_and_the_other_is_named_with_its_place(bilevel_json, work):
    put(work / "mechanisms", "tabu")
    rows = listed(bilevel_json)
    assert rows["tabu"]["from"] == "shipped" and rows["project:tabu"]["from"] == "project"
    assert bilevel_json("mechanisms", "show", "tabu")["from"] == "shipped"
    assert bilevel_json("mechanisms", "show", "shipped:tabu")["from"] == "shipped"
    assert bilevel_json("mechanisms", "show", "project:tabu")["source"] == GOOD


def test_a_name_that_two_have_is_an_error_that_names_both(bilevel, bilevel_json, work, library):
    put(work / "mechanisms")
    put(library)
    refused(bilevel("mechanisms", "show", "mine"), "'mine'", "project:mine", "user:mine")
    assert {"project:mine", "user:mine"} <= set(listed(bilevel_json))
    assert bilevel_json("mechanisms", "show", "user:mine")["from"] == "user"


def test_two_packages_with_one_name_are_told_apart_by_their_distribution(bilevel, bilevel_json, home, installed):
    other = home / "other"
    other.mkdir()
    (other / "rule.py").write_text(GOOD)
    install(home / "site", other, "another-dist", "patience = other.rule")
    refused(bilevel("mechanisms", "show", "patience"), "package:another-dist/patience")
    refused(bilevel("mechanisms", "show", "package:patience"), "package:bilevel-example-mechanisms/patience")
    assert bilevel_json("mechanisms", "show", "package:another-dist/patience")["source"] == GOOD


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hope", ("'hope'", "tabu", "./hope.py")),
        ("elsewhere:mine", ("elsewhere", "shipped, project, user, package")),
        ("user:hope", ("user:hope",)),
        ("./none.py", ("no mechanism file", "none.py")),
    ],
)
def test_a_name_that_nothing_has_is_explained(tmp_path, monkeypatch, name, words):
    monkeypatch.setenv("BILEVEL_DATA", str(tmp_path))
    with pytest.raises(InputError) as error:
        find(name)
    assert all(word in str(error.value) for word in words)


def test_a_file_that_is_no_mechanism_does_not_hide_the_others(bilevel, bilevel_json, work):
    put(work / "mechanisms", "good")
    put(work / "mechanisms", "odd", "x = 1\n")
    put(work / "mechanisms", "worse", "def (")
    (work / "mechanisms" / "bytes.py").write_bytes(b"\xff")
    rows = listed(bilevel_json)
    assert rows["good"]["problem"] == ""
    assert "no subclass" in rows["odd"]["problem"] and "parse" in rows["worse"]["problem"]
    assert "UTF-8" in rows["bytes"]["problem"]
    assert "cannot be used" in bilevel("mechanisms", "list").stdout


def test_the_data_folder_follows_the_platform_and_can_be_chosen(bilevel_json, home, work):
    put(home / "data" / "mechanisms", "chosen")
    put(home / "xdg" / "bilevel" / "mechanisms", "shared")
    put(work / "relative" / "bilevel" / "mechanisms", "relative")
    data, shared = str(home / "data"), str(home / "xdg")

    def rows(**env):
        return {row["name"] for row in bilevel_json("mechanisms", "list", **env)}

    assert "chosen" in rows(BILEVEL_DATA=data, XDG_DATA_HOME=shared)
    assert "shared" in rows(XDG_DATA_HOME=shared)
    assert "relative" not in rows(XDG_DATA_HOME="relative")  # the specification says to ignore it


def test_the_door_names_all_problems_and_the_exit_code_says_that_one_was_refused(bilevel, bilevel_json, work):
    (work / "bad.py").write_text(
        "import os\n\nfrom bilevel.mechanism import Mechanism\n\n\nclass Bad(Mechanism):\n    pass\n"
    )
    (work / "good.py").write_text(GOOD)
    done = bilevel("mechanisms", "check", "good.py", "bad.py")
    refused(done, "good.py: passes", "bad.py: is refused", "'os'", "no hook", code=1)
    assert bilevel_json("mechanisms", "check", "good.py")[0]["problems"] == []
