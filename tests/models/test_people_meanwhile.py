"""A person edits brief.md and guidance.md while a search goes on: the next question has it, and a replay too."""

import json

import pytest

pytest.importorskip("pydantic_ai")

from folder_tasks import folder_task
from researcher_server import number_in
from runs import fingerprints, model_of

MODEL = model_of("compatible")


@pytest.fixture
def edited(serve, tmp_path):
    """A task, and a model during whose answers a person edits the task's texts: {trial: {file: text or None}}."""
    task = folder_task(tmp_path / "task", brief="First brief.")

    def start(edits):
        def draft(prompt):
            number = number_in(prompt)
            for name, text in edits.pop(number, {}).items():
                if text is None:
                    (task / name).unlink()
                else:
                    (task / name).write_text(text)
            return json.dumps({"why": "because", "changes": {"SIZE": 8 + number, "DEPTH": 1 + len(prompt) % 60}})

        return task, serve(says={"draft": draft})

    return start


def test_what_a_person_writes_between_two_trials_is_in_the_next_prompt_and_on_record(edited, bilevel, bilevel_json):
    task, server = edited({
        2: {"brief.md": "Second brief.\n", "guidance.md": "Try small ones.\n"},
        4: {"guidance.md": None},
        5: {"brief.md": "Third brief.\n"},
    })  # fmt: skip
    done = bilevel("run", "a", "--task", task, "--model", MODEL, "--trials", "6", "--folder", "run")
    assert done.code == 0, done.err
    prompts = {number_in(prompt): prompt for prompt in server.prompts("draft")}
    assert [prompts[n].count("First brief.") for n in range(1, 7)] == [1, 1, 0, 0, 0, 0]
    assert [prompts[n].count("Second brief.") for n in range(1, 7)] == [0, 0, 1, 1, 1, 0]
    assert [prompts[n].count("Try small ones.") for n in range(1, 7)] == [0, 0, 1, 1, 0, 0]
    assert [prompts[n].count("Third brief.") for n in range(1, 7)] == [0, 0, 0, 0, 0, 1]
    told = [bilevel_json("show", "run", "--trial", number)["told"] for number in range(7)]
    assert told == [
        {"brief": "First brief."}, {}, {}, {"brief": "Second brief.", "guidance": "Try small ones."}, {},
        {"guidance": ""}, {"brief": "Third brief."},
    ]  # fmt: skip
    (task / "brief.md").write_text("Fourth brief.\n")
    (task / "guidance.md").write_text("And other words.\n")
    replayed = bilevel("replay", "run")
    assert replayed.code == 0, replayed.err


@pytest.mark.slow
def test_on_all_levels_a_replay_works_although_the_texts_have_changed_since(edited, bilevel):
    task, server = edited({2: {"brief.md": "Second brief.\n", "guidance.md": "Try small ones.\n"}})
    sizes = ("--inner-budget", "4", "--outer-cycles", "2", "--workers", "2")
    done = bilevel("run", "c", "--task", task, "--model", MODEL, *sizes, "--folder", "run")
    assert done.code == 0, done.err
    for role in ("settings", "explore"):
        assert "Second brief." in server.prompts(role)[0] and "Try small ones." in server.prompts(role)[0]
    (task / "brief.md").write_text("Third brief.\n")
    (task / "guidance.md").unlink()
    replayed = bilevel("replay", "run")
    assert replayed.code == 0, replayed.err


@pytest.mark.slow
def test_a_brief_that_changes_between_stop_and_resume_reaches_only_what_comes_after(serve, bilevel, tmp_path):
    task = folder_task(tmp_path / "task", brief="First brief.")
    server = serve()
    args = ("--task", task, "--model", MODEL, "--trials", "6", "--folder", "run")
    assert bilevel("run", "a", *args, "--max-tokens", "50").code == 0
    before = len(server.bodies)
    (task / "brief.md").write_text("Second brief.\n")
    assert bilevel("resume", "run", "--max-tokens", "100000").code == 0
    prompts = server.prompts()
    assert all("First brief." in prompt for prompt in prompts[:before])
    assert all("Second brief." in prompt and "First brief." not in prompt for prompt in prompts[before:])
    assert bilevel("replay", "run").code == 0
    assert len(fingerprints("run")) == 1
