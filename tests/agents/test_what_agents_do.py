"""What an agent does is taken back by content, typed where it is not taken, and gone afterwards: real processes."""

import os
import threading
from pathlib import Path

import pytest

from bilevel.agents import AgentLimits
from bilevel.call import Finish, Message, Request, Watch
from bilevel.errors import InputError, Stopped

CHANGED = {"model.py"}
SMALL = AgentLimits(60.0, disk_bytes=64 << 20, disk_files=2_000, output_bytes=1 << 20)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---- what is taken ----


def test_a_change_comes_back_as_the_text_of_the_file(ask):
    done = ask("good")
    assert set(done.files) == CHANGED and "SLOPE = 1.5" in done.files["model.py"]
    assert done.answer["proposal"] == {"why": "the slope is too steep", "predicted_gain": 0.5}
    assert done.answer["refused"] == [] and done.answer["ended"] == "exit code 0"
    assert done.reply.finish is Finish.STOP and done.reply.model == "agent:scripted_agent.py"
    assert done.reply.money is None and done.reply.tokens_out == 0


def test_a_new_file_is_taken_where_the_task_allows_one(ask):
    assert set(ask("new_file").files) == {"parts/more.py", "parts/shape.py"}


def test_an_agent_gets_a_repository_with_one_commit_of_all_files(ask):
    seen = ask("reports_repository").files["parts/shape.py"]
    files = "README.md data.py model.py parts/fixed.py parts/shape.py"
    assert f"FACTS = ['', 'where this trial starts\\n', {files!r}]" in seen


def test_edits_of_an_earlier_call_are_there_uncommitted_and_taken_with_the_rest(ask):
    edited = {"parts/more.py": "Y = 2\n"}
    done = ask("reports_repository", edited=edited)
    assert "?? parts/more.py" in done.files["parts/shape.py"]
    assert done.files["parts/more.py"] == "Y = 2\n"


def test_the_briefing_is_a_file_and_the_places_are_filled_in(ask):
    seen = ask("reports_briefing", "{briefing}", "'{prompt}'").files["parts/shape.py"]
    assert "SEEN = 'Make it better.'" in seen
    assert "('BRIEFING.md', 'Read the file BRIEFING.md in this folder" in seen


def test_usage_and_last_words_are_read_where_the_agent_prints_them(ask):
    reply = ask("says_usage").reply
    assert (reply.tokens_in, reply.tokens_out, reply.money) == (120, 7, 0.25)
    assert '"said":"Done: halved the slope."' in reply.text


def test_only_the_allowed_variables_are_in_its_environment(ask, monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "SECRET_WORD", "GIT_DIR", "PYTHONPATH"):
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.setenv("HOME", "/home/of-somebody")
    seen = ask("reports_environment", ANTHROPIC_API_KEY="value-of-ANTHROPIC_API_KEY").files["parts/shape.py"]
    assert "value-of-ANTHROPIC_API_KEY" in seen
    for word in ("value-of-OPENAI", "SECRET_WORD", "GIT_DIR", "PYTHONPATH", "of-somebody"):
        assert word not in seen


# ---- what is not ----


def test_protected_and_other_files_are_refused_and_the_rest_is_taken(ask):
    done = ask("protected")
    assert set(done.files) == CHANGED
    assert done.kinds == {"protected": ["data.py"], "not editable": ["README.md", "elsewhere.txt"]}


def test_deletions_are_told_and_change_nothing(ask):
    done = ask("deletes_all")
    assert done.files == {} and done.reply.finish is Finish.REFUSED
    assert done.kinds["deleted"] == ["README.md", "data.py", "model.py", "parts/fixed.py", "parts/shape.py"]


def test_a_working_copy_that_is_gone_is_told(ask):
    done = ask("deletes_its_folder")
    assert done.files == {} and "gone" in done.answer["refused"][0]["why"]


def test_a_working_copy_that_was_replaced_by_a_link_is_not_followed(ask, tmp_path):
    outside = tmp_path / "outside"
    (outside / "parts").mkdir(parents=True)
    (outside / "model.py").write_text("SLOPE = 0.1\n")
    (outside / "work").mkdir()
    outside.chmod(0o750)
    for behaviour in ("replaces_its_folder", "replaces_all"):
        done = ask(behaviour, outside)
        assert done.files == {} and "replaced" in done.answer["refused"][0]["why"]
    assert (outside / "model.py").read_text() == "SLOPE = 0.1\n"
    assert (outside / "work").is_dir() and outside.stat().st_mode & 0o777 == 0o750


def test_processes_that_are_left_behind_are_dead_when_the_call_returns(ask, tmp_path):
    done = ask("survivors", tmp_path / "pids")
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3 and not any(map(alive, pids))
    assert set(done.files) == CHANGED


def test_links_pipes_and_sockets_are_refused(ask, tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("SECRET = 1\n")
    done = ask("links", outside)
    assert set(done.files) == CHANGED
    assert done.kinds == {
        "link": ["parts/shape.py", "parts/linked.py"],
        "hard link": ["parts/hard.py"],
        "special": ["parts/pipe.py", "parts/socket.py"],
    }
    assert outside.read_text() == "SECRET = 1\n" and "SECRET" not in done.reply.text


def test_a_folder_that_became_a_link_is_not_followed(ask, tmp_path):
    outside = tmp_path / "away"
    outside.mkdir()
    (outside / "shape.py").write_text("SECRET = 1\n")
    (outside / "extra.py").write_text("SECRET = 2\n")
    done = ask("linked_folder", outside / "shape.py")
    assert set(done.files) == CHANGED and "SECRET" not in done.reply.text
    assert set(done.kinds["link"]) == {"parts", "parts/fixed.py", "parts/shape.py"}
    assert len(list(outside.iterdir())) == 2


def test_commits_are_ignored_and_the_files_count(ask):
    done = ask("commits")
    assert set(done.files) == CHANGED and list(done.kinds) == ["git"]


def test_planted_hooks_and_monitors_are_never_run(ask, tmp_path):
    planted = tmp_path / "planted"
    done = ask("rewrites_history", planted)
    assert set(done.files) == CHANGED
    assert done.kinds == {"not editable": ["hook.sh"], "git": [".git"]}
    assert not planted.exists()


def test_modes_are_no_part_of_a_candidate(ask):
    done = ask("modes")
    assert set(done.files) == CHANGED and done.kinds == {"mode": ["model.py"]}


def test_what_is_no_text_is_refused(ask):
    done = ask("not_text")
    assert set(done.files) == CHANGED
    assert set(done.kinds["not text"]) == {"parts/shape.py", "parts/null.py"}
    assert sorted(done.kinds["bad name"]) == ["parts/line\\nbreak.py", "parts/na\\udcffme.py"]


def test_a_text_that_is_too_large_is_refused(ask):
    done = ask("large_text")
    assert set(done.files) == CHANGED and done.kinds == {"too large": ["parts/shape.py"]}


def test_folders_deeper_than_a_path_are_no_trouble(ask):
    assert set(ask("deep").files) == CHANGED


# ---- limits ----


def test_an_agent_that_never_ends_is_ended_and_what_it_changed_is_taken(ask):
    done = ask("endless", limits=AgentLimits(1.0))
    assert set(done.files) == CHANGED and done.reply.finish is Finish.LENGTH
    assert done.answer["ended"] == "it was ended at its limit of 1 seconds"
    assert list(done.kinds) == ["limit"]


def test_an_agent_that_never_ends_and_changes_nothing_is_refused(ask):
    done = ask("endless_for_nothing", limits=AgentLimits(0.5))
    assert done.files == {} and done.reply.finish is Finish.REFUSED and "limit of 0.5 s" in done.answer["ended"]


@pytest.mark.parametrize(
    ("behaviour", "ended"),
    [
        ("large_file", "it was ended after writing a file of more than 67108864 bytes|it wrote more than 64 MiB"),
        ("much", "it wrote more than 64 MiB"),
        pytest.param("many_files", "it wrote more than 2000 files", marks=pytest.mark.slow),
        ("prints", "it was ended after printing more than 1048576 bytes"),
    ],
)
def test_an_agent_that_fills_the_disk_or_its_output_is_ended(ask, behaviour, ended):
    done = ask(behaviour, limits=SMALL)
    assert done.answer["ended"] in ended.split("|")
    assert done.files["model.py"] and "limit" in done.kinds
    assert len(done.reply.text) < 8 << 20


def test_a_request_to_stop_ends_the_agent_and_gives_no_reply(ask):
    watch = Watch(threading.Event())
    threading.Timer(0.3, watch.cancel.set).start()
    with pytest.raises(Stopped):
        ask("endless", watch=watch)


# ---- ends ----


def test_questions_get_the_end_of_the_input(ask):
    done = ask("asks")
    assert done.files == {} and done.reply.finish is Finish.REFUSED
    assert done.answer["ended"] == "exit code 1" and "EOFError" in done.answer["said"]
    assert set(ask("asks_and_goes_on").files) == CHANGED


@pytest.mark.parametrize(
    ("behaviour", "ended"),
    [
        ("fails_after", "exit code 1"),
        ("crashes", "it crashed with signal 11"),
        ("kills_its_supervisor", "it was killed, not by us"),
    ],
)
def test_changes_before_a_bad_end_are_taken(ask, behaviour, ended):
    done = ask(behaviour)
    assert set(done.files) == CHANGED and done.answer["ended"] == ended and done.reply.finish is Finish.STOP


def test_an_agent_that_fails_or_changes_nothing_says_so(ask):
    failed, idle = ask("fails"), ask("nothing")
    assert (failed.answer["ended"], failed.answer["said"]) == ("exit code 3", "Error: no key")
    assert (idle.answer["ended"], idle.answer["said"]) == ("exit code 0", "I could not think of anything.")
    assert failed.reply.finish is idle.reply.finish is Finish.REFUSED


def test_binary_output_becomes_text(ask):
    done = ask("prints_binary")
    assert set(done.files) == CHANGED and "last" in done.answer["said"] and "\x1b" not in done.answer["said"]
    done.reply.text.encode("utf-8")


def test_impossible_numbers_of_usage_are_left_out(ask):
    reply = ask("lies_about_usage").reply
    assert (reply.tokens_in, reply.tokens_out, reply.money) == (0, 0, None)


@pytest.mark.parametrize("behaviour", ["bad_proposal", "odd_proposal"])
def test_a_proposal_that_cannot_be_read_is_told_and_the_files_are_taken(ask, behaviour):
    done = ask(behaviour)
    assert set(done.files) == CHANGED and done.answer["proposal"] == {}
    assert done.kinds == {"proposal": ["PROPOSAL.json"]}


def test_a_proposal_that_is_a_link_is_not_followed(ask, tmp_path):
    outside = tmp_path / "secret.json"
    outside.write_text('{"why": "SECRET"}')
    done = ask("linked_proposal", outside)
    assert "SECRET" not in done.reply.text and done.kinds == {"proposal": ["PROPOSAL.json"]}


# ---- requests and commands that cannot be ----


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", "What next?"),),
        (Message("user", "What next?"), Message("user", "no JSON")),
        (Message("user", "What next?"), Message("user", "[]")),
        (Message("user", "What next?"), Message("user", '{"params": {}, "files": []}')),
        (Message("user", "What next?"), Message("user", '{"params": {}, "files": {}, "more": 1}')),
    ],
)
def test_a_question_that_is_no_briefing_is_declined_without_running_anything(agent_model, messages):
    reply = agent_model("there-is-no-such-program").complete(Request(messages), 0, Watch())
    assert reply.finish is Finish.REFUSED and "briefings only" in reply.text


def test_a_program_that_does_not_exist_is_told_beforehand_and_when_it_is_gone(agent_model):
    model = agent_model("there-is-no-such-program {prompt}")
    with pytest.raises(InputError, match="no program 'there-is-no-such-program' on the PATH"):
        model.check()
    start = Message("user", '{"params": {"SLOPE": 3.0, "SEED": 7}, "files": {}}')
    with pytest.raises(InputError, match="there-is-no-such-program"):
        model.complete(Request((Message("user", "What next?"), start)), 0, Watch())


def test_a_task_with_a_file_of_our_name_is_refused(task_folder, request):
    (task_folder / "start" / "BRIEFING.md").write_text("mine")
    with pytest.raises(InputError, match=r"the task has a file BRIEFING\.md"):
        request.getfixturevalue("ask")("good")


def test_the_task_itself_is_only_read(ask, task_folder):
    before = {path: path.read_bytes() for path in sorted(Path(task_folder).rglob("*")) if path.is_file()}
    for behaviour in ("good", "deletes_all", "modes"):
        ask(behaviour)
    assert {path: path.read_bytes() for path in sorted(Path(task_folder).rglob("*")) if path.is_file()} == before
