"""A metric is a finite float or a reason; whatever the run left."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel.errors import InputError
from bilevel.execution.metrics import Invalid, JsonFile, JsonLine, Line, Missing, Regex, read_metric

NOWHERE = Path("/nowhere")


def said(reader, stdout):
    return read_metric(reader, stdout=stdout, folder=NOWHERE)


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        ("val_bpb: 0.98\n", 0.98),
        ("val_bpb = 1e-3", 1e-3),
        ("  val_bpb:     -4\r\nval_bpb2: 7\nmy val_bpb: 9\n", -4.0),
        ("val_bpb: 1\nval_bpb: 2\nother: 3", 2.0),
        ("step 1\rval_bpb: 1_000\r", 1000.0),
    ],
)
def test_the_last_line_of_that_name_counts(stdout, expected):
    assert said(Line("val_bpb"), stdout) == expected


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "1,234", "0.3 nats", "", "None", "0x10"])
def test_what_is_not_a_finite_number_is_invalid(text):
    assert isinstance(said(Line("loss"), f"loss: 0.5\nloss: {text}\n"), Invalid)
    assert isinstance(said(Regex("(?m)^loss: (.*)$"), f"loss: {text}\n"), Invalid)


@pytest.mark.parametrize("stdout", ["", "loss 0.5", "losses: 1", "step 3 loss: 1"])
def test_no_such_line_is_missing_and_never_zero(stdout):
    assert isinstance(said(Line("loss"), stdout), Missing)


def test_a_pattern_finds_a_number_anywhere():
    stdout = "step 1 | loss 0.5 |\nstep 2 | loss 0.25 |\n"
    assert said(Regex(r"loss (\S+) \|$"), stdout) == 0.25
    assert isinstance(said(Regex(r"acc (\S+)"), stdout), Missing)
    assert isinstance(said(Regex(r"step|(acc)"), stdout), Missing)


@pytest.mark.parametrize("pattern", ["(", "no group", "(two) (groups)"])
def test_a_pattern_that_cannot_work_is_the_users_fault(pattern):
    with pytest.raises(InputError):
        Regex(pattern)


@pytest.mark.parametrize(("path", "key"), [("/etc/passwd", "a"), ("../x.json", "a"), ("", "a"), ("x.json", "")])
def test_a_file_outside_the_folder_is_the_users_fault(path, key):
    with pytest.raises(InputError):
        JsonFile(path, key)


def test_a_json_file_is_read_by_dotted_key(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "r.json").write_text(json.dumps({"eval": {"loss": 0.5, "all": [1, 2]}, "n": 3}))

    def get(key):
        return read_metric(JsonFile("out/r.json", key), stdout="", folder=tmp_path)

    assert (get("eval.loss"), get("eval.all.1"), get("n")) == (0.5, 2.0, 3.0)
    assert isinstance(get("n"), float)
    for absent in ("eval.acc", "eval.all.2", "eval.all.-1", "n.x", "."):
        assert isinstance(get(absent), Missing)
    assert isinstance(get("eval"), Invalid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "\xff",
        '{"a": true}',
        '{"a": "1"}',
        '{"a": null}',
        '{"a": NaN}',
        '{"a": 1' + "0" * 400 + "}",
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": 1e999}',
    ],
)
def test_bad_json_is_invalid(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="latin-1")
    assert isinstance(read_metric(JsonFile("r.json", "a"), stdout="", folder=tmp_path), Invalid)


def test_only_a_regular_file_inside_the_folder_is_opened(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "outside.json").write_text('{"a": 1}')
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    for path in ("link.json", "up/outside.json", "loop", "folder", "fifo"):
        assert isinstance(read_metric(JsonFile(path, "a"), stdout="", folder=folder), Invalid), path
    assert isinstance(read_metric(JsonFile("absent", "a"), stdout="", folder=folder), Missing)


def test_a_summary_begins_after_its_mark_and_what_stands_before_does_not_count():
    stdout = "loss: 5\n---\nloss: 4\nlr: 1\n  ---  \nval:          0.997900\nloss:     3\n"
    assert said(Line("loss", after="---"), stdout) == 3.0
    assert said(Line("val", after="---"), stdout) == 0.9979
    assert isinstance(said(Line("lr", after="---"), stdout), Missing)
    assert isinstance(said(Line("loss", after="==="), stdout), Missing)


def test_the_last_line_of_json_with_the_key_counts():
    stdout = 'start\n{"eval": {"loss": 0.5}}\n{"eval": {"loss": 0.25}}\n{"step": 3}\n{broken\n[1]\ndone'
    assert said(JsonLine("eval.loss"), stdout) == 0.25
    assert said(JsonLine("step"), stdout) == 3.0
    assert isinstance(said(JsonLine("acc"), stdout), Missing)
    for bad in ("NaN", '"0.1"', "true", "null", "1e999"):
        assert isinstance(said(JsonLine("loss"), f'{{"loss": 0.5}}\n{{"loss": {bad}}}\n'), Invalid)


def test_lines_of_json_can_stand_in_a_file(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b'{"loss": 2}\n\xff\n{"loss": 1}\n{"other": 3}\n')
    assert read_metric(JsonLine("loss", "log.jsonl"), stdout='{"loss": 9}', folder=tmp_path) == 1.0
    assert isinstance(read_metric(JsonLine("loss", "none.jsonl"), stdout='{"loss": 9}', folder=tmp_path), Missing)
    with pytest.raises(InputError):
        JsonLine("loss", "../log.jsonl")


@given(st.text(), st.sampled_from([Line("a"), Line("a", "a"), Regex("a(.*)"), JsonLine("a")]))
def test_no_output_makes_it_raise(stdout, reader):
    assert isinstance(said(reader, stdout), float | Missing | Invalid)


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(alphabet="ab: =\n", max_size=20))
def test_a_printed_float_reads_back_whatever_stands_before_it(value, before):
    assert said(Line("metric"), f"{before}\nmetric: {value!r}\n") == value
