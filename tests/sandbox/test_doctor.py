"""`bilevel doctor` says what a machine offers and how to get what is missing, and never shows a key."""

import json
import os
import subprocess
import sys

import pytest

from bilevel.doctor import file_system
from bilevel.sandbox import levels

SECRET = "sk-this-is-a-secret-0123456789"


def doctor(folder, *options, **env):
    return subprocess.run(
        [sys.executable, "-m", "bilevel", "doctor", *options], cwd=folder, env={**os.environ, "COLUMNS": "160", **env},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    (folder / ".git").mkdir()
    (folder / ".env").write_text(f"ANTHROPIC_API_KEY={SECRET}\n")
    return doctor(folder, "--json", OPENAI_API_KEY=SECRET), folder


def test_the_level_of_the_sandbox_is_told(told):
    done, _ = told
    assert done.returncode == 0, done.stderr
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert findings["sandbox"]["found"] == levels.describe(levels.best())
    assert findings["sandbox"]["state"] == ("note" if levels.best() == "limits" else "ok")
    for level in set(levels.LEVELS) - set(levels.available()):
        assert findings[f"sandbox, {level}"]["fix"]


def test_keys_are_named_and_never_shown(told):
    done, folder = told
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert "OPENAI_API_KEY (environment)" in findings["keys of language models"]["found"]
    assert "ANTHROPIC_API_KEY (.env)" in findings["keys of language models"]["found"]
    assert findings[".env"]["found"] == str(folder / ".env")
    assert SECRET not in done.stdout + done.stderr


def test_whatever_is_not_in_order_has_a_way_out(told):
    findings = json.loads(told[0].stdout)
    assert {"python", "run folder", "file system", "disk", "cores", "gpu", "git", "numpy"} <= {
        f["subject"] for f in findings
    }
    assert all(finding["state"] in ("ok", "note", "problem") for finding in findings)
    assert all(finding["fix"] for finding in findings if finding["state"] != "ok")
    assert all(finding["found"] for finding in findings)


def test_it_leaves_nothing_behind(told):
    assert sorted(path.name for path in told[1].iterdir()) == [".env", ".git"]


@pytest.mark.slow
def test_people_get_a_line_each(tmp_path):
    done = doctor(tmp_path)
    assert done.returncode == 0 and "sandbox: " in done.stdout and "\x1b[" not in done.stdout
    assert all(line.startswith(("ok ", "note ", "problem ", "        way out:")) for line in done.stdout.splitlines())


def test_a_network_file_system_is_recognised(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / / rw - ext4 /dev/vda rw\n"
        f"23 22 0:2 / {tmp_path} rw shared:1 - nfs4 server:/x rw\n"
        f"24 22 0:3 / {tmp_path}-else rw - xfs /dev/vdb rw\n"
    )
    assert file_system(tmp_path / "runs", mounts) == "nfs4"
    assert file_system(tmp_path.parent, mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "missing") == ""
