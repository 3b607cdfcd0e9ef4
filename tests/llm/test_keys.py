"""Where keys are found, and that no text that leaves the adapter holds one."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("dotenv")

from bilevel.errors import InputError
from bilevel.llm import Keys
from bilevel.llm.redaction import PIECE, SHORTEST, redact

CHARACTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
SECRETS = st.text(CHARACTERS, min_size=SHORTEST, max_size=60)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A git repository with a folder in it, the current one, and a home elsewhere."""
    (tmp_path / "outside" / "repository" / ".git").mkdir(parents=True)
    inner = tmp_path / "outside" / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(inner)
    return inner


def test_the_environment_wins_over_the_file(project):
    (project / ".env").write_text("OPENAI_API_KEY=from-file\nDEEPSEEK_API_KEY=only-file\n")
    keys = Keys.load(environment={"OPENAI_API_KEY": "from-environment"})
    assert (keys.find("openai").value, keys.find("openai").source) == ("from-environment", "environment")
    assert (keys.find("deepseek").value, keys.find("deepseek").source) == ("only-file", ".env")
    assert keys.find("anthropic") is None


def test_an_empty_value_is_not_a_value(project):
    (project / ".env").write_text("OPENAI_API_KEY=from-file\nANTHROPIC_API_KEY=\n")
    keys = Keys.load(environment={"OPENAI_API_KEY": " "})
    assert keys.find("openai").value == "from-file"
    assert keys.find("anthropic") is None


def test_the_nearest_file_up_to_the_repository_is_read(project):
    (project.parents[1] / ".env").write_text("OPENAI_API_KEY=far-away\n")
    assert Keys.load(environment={}).find("openai").value == "far-away"
    (project.parent / ".env").write_text("OPENAI_API_KEY=near-by\n")
    assert Keys.load(environment={}).find("openai").value == "near-by"


def test_a_file_above_the_repository_is_not_read(project):
    (project.parents[2] / ".env").write_text("OPENAI_API_KEY=not-mine\n")
    assert Keys.load(environment={}).find("openai") is None


def test_outside_a_repository_and_the_home_only_the_folder_itself_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "somewhere" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "somewhere" / ".env").write_text("OPENAI_API_KEY=not-mine\n")
    assert Keys.load(folder, {}).find("openai") is None
    (folder / ".env").write_text("OPENAI_API_KEY=mine-here\n")
    assert Keys.load(folder, {}).find("openai").value == "mine-here"


def test_the_home_folder_is_looked_at_from_below_and_nothing_above_it(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / ".env").write_text("OPENAI_API_KEY=above\n")
    assert Keys.load(home / "work", {}).find("openai") is None
    (home / ".env").write_text("OPENAI_API_KEY=at-home\n")
    assert Keys.load(home / "work", {}).find("openai").value == "at-home"


def test_quotes_comments_and_dollar_signs_are_read_as_written(project):
    (project / ".env").write_text("# keys\nexport OPENAI_API_KEY='ab$HOME-cd'\nDEEPSEEK_API_KEY=\"x$y{z}\"  # mine\n")
    keys = Keys.load(environment={})
    assert keys.find("openai").value == "ab$HOME-cd"
    assert keys.find("deepseek").value == "x$y{z}"


def test_a_file_that_cannot_be_read_is_told(project):
    (project / ".env").write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")
    with pytest.raises(InputError, match="UTF-8"):
        Keys.load(environment={})


def test_the_environment_is_never_changed(project):
    (project / ".env").write_text("OPENAI_API_KEY=from-file-only\nSOMETHING_ELSE=1\n")
    before = dict(os.environ)
    Keys.load().find("openai")
    assert dict(os.environ) == before


def test_no_representation_shows_a_value():
    keys = Keys({"OPENAI_API_KEY": "sk-0123456789"}, {"MY_OWN_TOKEN": "tok-0123456789"})
    shown = f"{keys!r} {keys} {keys.find('openai')!r}"
    assert "0123456789" not in shown
    assert keys.values() == ("sk-0123456789", "tok-0123456789")


@given(st.lists(SECRETS, min_size=1, max_size=4), st.lists(st.text(max_size=20), max_size=6), st.randoms())
def test_a_redacted_text_holds_no_key_and_no_long_piece_of_one(secrets, words, random):
    parts = [*words, *secrets]
    for secret in secrets:
        start = random.randrange(len(secret))
        parts.append(secret[start:])
    random.shuffle(parts)
    clean = redact(random.choice(["", " ", "/"]).join(parts), secrets)
    for secret in secrets:
        assert secret not in clean
        assert not any(secret[n : n + PIECE] in clean for n in range(len(secret) - PIECE + 1))


@given(
    SECRETS.filter(lambda secret: len(secret) >= 16),
    st.integers(2, 8),
    st.integers(2, 6),
    st.sampled_from(["***", "...", "…", "********", "•••"]),
)
def test_a_masked_echo_of_a_key_is_taken_out_whole(secret, head, tail, mask):
    echo = secret[:head] + mask + secret[-tail:]
    assert redact(f"key <{echo}> is wrong", [secret]) == "key <[secret]> is wrong"
    assert redact(f"key <{mask}{secret[-4:]}> is wrong", [secret]) == "key <[secret]> is wrong"


@given(st.text(st.sampled_from("xyz .*"), max_size=60))
def test_a_text_without_a_key_stays_as_it_is(text):
    assert redact(text, ["sk-0123456789-abcdef", "none"]) == text


@pytest.mark.parametrize("text", ["x = 2**19", "f(*args, **kwargs)", "tuple[int, ...]", "sk-...", "a" * 100_000])
def test_code_stays_as_it_is(text):
    assert redact(text, ["sk-0123456789-abcd19", "AIzaSyB-0123456789"]) == text


def test_words_under_the_name_of_a_secret_are_not_taken_for_one():
    keys = Keys({"CLUSTER_TOKEN": "development", "OTHER_TOKEN": "tok-0123456789", "OLLAMA_API_KEY": "ollama"})
    assert keys.redact("development of ollama with tok-0123456789") == "development of ollama with [secret]"


def test_a_placeholder_is_not_a_secret():
    assert redact("EMPTY list, none found", ["EMPTY", "none"]) == "EMPTY list, none found"


def test_redacting_twice_changes_nothing_more():
    once = redact("a sk-0123456789-abcdef b", ["sk-0123456789-abcdef"])
    assert redact(once, ["sk-0123456789-abcdef"]) == once == "a [secret] b"
