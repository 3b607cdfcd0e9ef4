"""Mechanisms from elsewhere: taken over where they are sound, and nothing is written by an archive's own names."""

import io
import stat
import tarfile
import zipfile

import pytest
from mechanism_files import BAD, GOOD, refused

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.shelf import find, shipped_texts
from bilevel.shelf.places import user_folder
from bilevel.shelf.storing import take_over

RECORD = f'format = 1\nsource_hash = "{content_hash(GOOD)}"\ntitle = "No repeats"\nauthor = "a friend"\n'
EVIDENCE = """
[[evidence]]
family = "sphere"
task = "sphere"
harness = "abc"
control = "without it"
effect = 0.5
low = 0.1
high = 0.9
forks = 9
told = 9
verdict = "helped"
e_value = 40.0
confirmed = true
evaluations = 90
date = 2026-01-01
"""


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                archive.addfile(info)
            else:
                data = content if isinstance(content, bytes) else content.encode()
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if isinstance(content, tuple):
                info.external_attr, content = content
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.slow
def test_a_pair_is_taken_over_with_what_is_known_of_it_marked_as_measured_elsewhere(
    bilevel, bilevel_json, work, library
):
    (work / "mine.py").write_text(GOOD)
    (work / "mine.toml").write_text(RECORD + EVIDENCE)
    done = bilevel("mechanisms", "import", "mine.py")
    assert done.returncode == 0 and "mine stored" in done.stdout
    assert (library / "mine.py").read_text() == GOOD
    shown = bilevel_json("mechanisms", "show", "mine")
    assert shown["foreign"] and shown["record"]["author"] == "a friend"
    assert "measured elsewhere" in shown["standing"] and "confirmed" in shown["standing"]


def test_a_source_without_a_record_is_not_measured(bilevel, bilevel_json, work):
    (work / "mine.py").write_text(GOOD)
    assert bilevel("mechanisms", "import", "mine.py").returncode == 0
    shown = bilevel_json("mechanisms", "show", "mine")
    assert shown["standing"] == "not measured" and shown["record"]["parameters"] == {"span": "1"}


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "tar", "zip"])
def test_a_folder_or_an_archive_brings_all_its_pairs(bilevel, bilevel_json, work, kind):
    members = {"set/one.py": GOOD, "set/one.toml": RECORD, "set/two.py": GOOD, "set/README.md": "hello"}
    source = work / ("set" if kind == "folder" else f"set.{kind}")
    if kind == "folder":
        source.mkdir()
        for name, text in members.items():
            (work / name).write_text(text)
    elif kind == "zip":
        zipped(source, members)
    else:
        tar(source, members, "w:gz" if kind == "tar.gz" else "w")
    done = bilevel_json("mechanisms", "import", source)
    assert [(stored["name"], stored["done"]) for stored in done] == [("one", "stored"), ("two", "stored")]
    assert bilevel_json("mechanisms", "show", "one")["record"]["author"] == "a friend"


def test_a_source_that_the_door_refuses_is_not_stored_and_the_others_are(bilevel, work, library):
    tar(work / "set.tar.gz", {"good.py": GOOD, "bad.py": BAD})
    done = bilevel("mechanisms", "import", "set.tar.gz")
    refused(done, "good stored", "bad refused", "'os'", code=1)
    assert sorted(path.name for path in library.iterdir()) == ["good.py", "good.toml"]


ATTACKS = {
    "a path upwards": ({"../evil.py": GOOD}, "points outside"),
    "an absolute path": ({"/tmp/evil.py": GOOD}, "points outside"),
    "a path of another system": ({"..\\evil.py": GOOD}, "points outside"),
    "a drive": ({"C:evil.py": GOOD}, "points outside"),
    "a link": ({"evil.py": (tarfile.SYMTYPE, "/etc/passwd")}, "not a plain file"),
    "a hard link": ({"evil.py": (tarfile.LNKTYPE, "/etc/passwd")}, "not a plain file"),
    "a device": ({"evil.py": (tarfile.CHRTYPE, "")}, "not a plain file"),
    "a pipe": ({"evil.py": (tarfile.FIFOTYPE, "")}, "not a plain file"),
    "a huge source": ({"evil.py": b"#" * 300_000}, "more than"),
    "a bomb": ({"evil.bin": b"\0" * 40_000_000}, "when it is unpacked"),
    "many members": ({f"m{n}.txt": b"" for n in range(600)}, "more than 500"),
    "no mechanism": ({"README.md": b"hello"}, "no mechanism"),
    "two of one name": ({"a/x.py": GOOD, "b/x.py": GOOD}, "two files"),
    "no text": ({"evil.py": b"\xff\xfe"}, "UTF-8"),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A user library in a scratch folder, for what is refused before any process is needed."""
    monkeypatch.setenv("BILEVEL_DATA", str(tmp_path / "data"))
    return tmp_path


def nothing_is_taken(here, source, words):
    before = {path for path in here.rglob("*")}
    with pytest.raises(InputError, match=words):
        take_over(source)
    assert {path for path in here.rglob("*")} == before


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_tar_archive_that_is_not_plain_is_refused_whole(here, attack):
    members, words = ATTACKS[attack]
    good = {} if attack == "no mechanism" else {"good.py": GOOD}
    nothing_is_taken(here, tar(here / "set.tar.gz", good | members), words)


@pytest.mark.parametrize("attack", [name for name, (members, _) in ATTACKS.items() if "evil.bin" not in members])
def test_a_zip_archive_that_is_not_plain_is_refused_whole(here, attack):
    members, words = ATTACKS[attack]
    modes = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.LNKTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR}
    turned = {
        name: ((modes.get(what[0], stat.S_IFIFO) | 0o644) << 16, "/etc/passwd") if isinstance(what, tuple) else what
        for name, what in members.items()
    }
    good = {} if attack == "no mechanism" else {"good.py": GOOD}
    nothing_is_taken(here, zipped(here / "set.zip", good | turned), words)


@pytest.mark.parametrize("kind", ["file", "folder", "tar.gz", "zip"])
def test_texts_are_taken_over_like_code_and_keep_their_carrier(here, kind):
    text = shipped_texts()["skill:wide_steps"].source
    told = RECORD.replace(content_hash(GOOD), content_hash(text)) + EVIDENCE
    pair = {"mine.skill.md": text, "mine.skill.toml": told}
    others = {"bad.skill.md": "---\nnonsense: yes\n---\nLeap.\n", "other.workflow.md": "leap", "README.md": "hello"}
    members = pair if kind == "file" else pair | others
    source = here / "set"
    source.mkdir()
    for name, content in members.items():
        (source / name).write_text(content)
    if kind == "file":
        source /= "mine.skill.md"
    elif kind != "folder":
        source = (tar if kind == "tar.gz" else zipped)(here / f"set.{kind}", members)
    done = {one.name: one for one in take_over(source)}
    assert done.keys() == ({"skill:mine"} if kind == "file" else {"skill:mine", "skill:bad", "workflow:other"})
    assert all(bool(one.problems) == (name != "skill:mine") for name, one in done.items())
    assert {one.done for name, one in done.items() if name != "skill:mine"} <= {"refused"}
    found = find("skill:mine")
    assert (found.origin, found.source, found.domain) == ("user", text, "skill")
    assert found.foreign and found.standing("sphere").endswith("measured elsewhere")
    assert [path.name for path in user_folder().glob("*.md")] == ["mine.skill.md"]


def test_a_text_whose_name_says_no_carrier_is_refused_with_those_there_are(here):
    (here / "mine.md").write_text("hello")
    nothing_is_taken(here, here / "mine.md", "the carriers are: prompt, skill")


def test_a_refused_archive_is_an_error_of_the_command(bilevel, work, library):
    tar(work / "set.tar.gz", {"good.py": GOOD, "../evil.py": GOOD})
    refused(bilevel("mechanisms", "import", "set.tar.gz"), "'../evil.py'", "nothing was imported")
    assert not library.exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("set.tar", b"nothing of the kind", "cannot be read as an archive"),
        ("set.zip", b"PK\x03\x04 and then nothing", "cannot be read as an archive"),
        ("set.tar.gz", b"\x1f\x8b\x08 broken", "cannot be read as an archive"),
        ("set.tgz", b"\x1f\x8b\x09" + b"\0" * 40, "damaged gzip"),
        ("none.tar", None, "no file or folder"),
    ],
)
def test_a_damaged_archive_is_said_to_be_one(here, name, data, words):
    if data is not None:
        (here / name).write_bytes(data)
    nothing_is_taken(here, here / name, words)


def test_a_folder_with_a_link_is_refused(here):
    (here / "set").mkdir()
    (here / "set" / "evil.py").symlink_to("/etc/passwd")
    nothing_is_taken(here, here / "set", "not a plain file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format = ", "TOML"),
        (RECORD + "colour = 1\n", "colour"),
        (RECORD.replace("format = 1", "format = 9"), "format"),
        (RECORD + EVIDENCE.replace("0.5", "nan"), "effect"),
        (RECORD + EVIDENCE.replace('"helped"', '"proven"'), "verdict"),
        (RECORD + EVIDENCE.replace("forks = 9", "forks = -1"), "forks"),
    ],
)
def test_a_record_that_cannot_be_used_names_what_is_wrong_and_nothing_is_stored(here, text, words):
    (here / "mine.py").write_text(GOOD)
    (here / "mine.toml").write_text(text)
    nothing_is_taken(here, here / "mine.py", f"mine.toml.*{words}")


def test_a_record_in_the_library_that_is_damaged_leaves_the_source_usable_and_unmeasured(bilevel_json, library):
    library.mkdir(parents=True)
    (library / "mine.py").write_text(GOOD)
    (library / "mine.toml").write_text("format = ")
    shown = bilevel_json("mechanisms", "show", "mine")
    assert shown["source"] == GOOD and shown["evidence"] == [] and "TOML" in shown["standing"]


def test_what_is_there_is_not_replaced_without_being_told_to(bilevel, work, library):
    library.mkdir(parents=True)
    (library / "mine.py").write_text(GOOD + "\n# my own line\n")
    (work / "mine.py").write_text(GOOD)
    refused(bilevel("mechanisms", "import", "mine.py"), "another source", "--force", code=1)
    assert "my own line" in (library / "mine.py").read_text()
    assert bilevel("mechanisms", "import", "mine.py", "--force").returncode == 0
    assert (library / "mine.py").read_text() == GOOD


def test_only_what_is_in_the_user_library_can_be_removed(bilevel, work, library):
    (work / "mine.py").write_text(GOOD)
    assert bilevel("mechanisms", "import", "mine.py").returncode == 0
    refused(bilevel("mechanisms", "remove", "tabu"), "'tabu'", "shipped", "mine")
    assert bilevel("mechanisms", "remove", "user:mine").returncode == 0
    assert list(library.iterdir()) == []
    refused(bilevel("mechanisms", "remove", "mine"), "nothing")


def test_a_record_does_not_steer_the_terminal(bilevel, work):
    (work / "mine.py").write_text(GOOD)
    (work / "mine.toml").write_text(RECORD.replace("a friend", "a \\u001b[31mfriend[/]"))
    assert bilevel("mechanisms", "import", "mine.py").returncode == 0
    assert "\x1b" not in bilevel("mechanisms", "show", "mine").stdout
