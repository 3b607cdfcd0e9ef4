"""A page of documentation: what is measured, what must not be lost, and a search without any model."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilevel import prose
from bilevel.lab import Bench, Lab
from bilevel.researchers.page_rules import PageRules, edits
from bilevel.space import Candidate
from bilevel.tasks.page import clarity, page
from bilevel.testing import check_researcher, check_task
from bilevel.trial import Status

PIECES = ("# A\n", "## B\n", "\n", "\n\n", "One two three. Four, and the five.\n", "- a\n- b\n",
          "```\nx = 1\n\n```\n", "|a|\n", "no end of line", "\t code\n", "~~~\nopen\n")  # fmt: skip


def run(task, text):
    return task.run(Candidate(files={name: text for name in task.texts}), Bench(Lab(), "full", 0, 1))


def text_of(task):
    return next(iter(task.texts.values()))


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_the_blocks_of_a_text_are_the_text(text):
    assert "".join(block.text + block.gap for block in prose.blocks(text)) == text


def test_the_task_and_the_researcher_keep_their_contracts():
    assert check_task(page()) == []
    assert check_researcher(PageRules(), page()) == []


def test_every_single_edit_of_the_rules_keeps_facts_and_links_unless_it_cuts():
    text = text_of(page())
    for edit in edits(text):
        found = prose.lost(text, edit.text)
        assert (found["facts_lost"], found["links_lost"]) == (0, 0), edit.what
    assert len({edit.kind for edit in edits(text)}) > 5
    assert not any(edit.kind == "cut" for edit in edits(text, cuts=False))


@pytest.mark.parametrize(
    ("old", "new", "name", "count"),
    [
        ("It takes 340 ms.", "It takes long.", "facts_lost", 1),
        ("Set `SIZE` to 5.", "Set the size to 5.", "facts_lost", 1),
        ("See [a](b.md) and https://c.org/d.", "See a.", "links_lost", 2),
        ("```\nrun 1\n```\n", "```\nrun 2\n```\n", "facts_lost", 1),
        ("1. one\n2. two\n", "- one\n- two\n", "facts_lost", 0),
        ("It takes 340 ms, see [a](b.md).", "See [here](b.md): 340 ms.", "facts_lost", 0),
    ],
)
def test_what_an_edit_lost_is_counted(old, new, name, count):
    assert prose.lost(old, new)[name] == count


def test_what_loses_a_fact_a_link_or_the_half_of_the_text_is_never_kept(bilevel, tmp_path):
    task, text = page(), text_of(page())
    half = text[: len(text) // 2]
    found = run(task, half)
    assert found.status is Status.OK and found.metrics["links_lost"] > 0 and found.metrics["length"] < 0.7
    (tmp_path / "cutting.py").write_text(CUTTING)
    done = bilevel(
        "run", "a", "--task", "page", "--researcher", "python:cutting:Cutting", "--trials", 3, "--folder", "r"
    )
    assert done.returncode == 0, done.stderr
    trials = json.loads(bilevel("show", "r", "--json").stdout)
    assert [trial["status"] for trial in trials] == ["ok", "guardrail", "guardrail", "guardrail"]
    assert not any(trial["keep"] for trial in trials[1:])
    assert "facts_lost" in trials[1]["reason"]


CUTTING = '''
from dataclasses import dataclass

from bilevel.space import Candidate
from bilevel.trial import Proposal


@dataclass(frozen=True)
class Cutting:
    """Makes the page short and plain, whatever it says."""

    name: str = "cutting"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        text = "# Cache\\n\\nThe cache is good. " + "It is good. " * view.number
        return [Proposal(Candidate(files=dict.fromkeys(parent.files, text)), "short", self.name)]
'''


def test_the_scores_say_what_they_are_called_after():
    plain = "# A\n\nThe cat sat on the mat. It was warm. The dog came in and sat down too.\n"
    heavy = "# A\n\nThe feline individual was subsequently, in order to utilize accommodation, situated horizontally.\n"
    assert clarity(plain)["ease"] > clarity(heavy)["ease"]
    assert clarity(plain)["directness"] == 100 > clarity(heavy)["directness"]
    long = "# A\n\n" + "word " * 60 + "end.\n"
    assert (
        clarity(long)["sentences"] < clarity(long.replace("word word word word ", "One two three four. "))["sentences"]
    )
    assert clarity("# A\n\n#### B\n\n" + plain)["sections"] < clarity("# A\n\n## B\n\n" + plain)["sections"]
    assert clarity("# A\n\n```\ncode only\n```\n")["clarity"] < 100


def test_a_search_without_a_model_ends_with_a_better_page_that_lost_nothing(bilevel, tmp_path):
    done = bilevel("run", "page", "--trials", 15, "--folder", "r", "--json")
    assert done.returncode == 0, done.stderr
    best = json.loads(bilevel("best", "r", "--json").stdout)
    text = text_of(page())
    assert best["score"] > clarity(text)["clarity"] + 5
    assert bilevel("best", "r", "--apply", "out").returncode == 0
    new = (tmp_path / "out" / "caching.md").read_text("utf-8")
    assert clarity(new)["clarity"] == best["score"] and prose.lost(text, new)["facts_lost"] == 0
    assert bilevel("diff", "r").stdout.startswith("--- a/caching.md")
    assert bilevel("replay", "r").returncode == 0


def test_a_page_of_ones_own_and_the_researcher_where_nobody_is_named(bilevel, tmp_path):
    (tmp_path / "mine.md").write_text("# Mine\n\nIt is very good, and the cat is able to see 3 mice.\n")
    done = bilevel("run", "a", "--task", "page:file=mine.md", "--trials", 3, "--folder", "r")
    assert done.returncode == 0 and "researcher page_rules" in done.stdout, done.stderr
    refused = bilevel("run", "a", "--task", "page:file=none.md")
    assert refused.returncode == 2 and "'none.md' cannot be read" in refused.stderr
    for name in ("page_rules", "workflow"):
        refused = bilevel("run", "a", "--task", "sphere", "--researcher", name)
        assert refused.returncode == 2 and f"researcher '{name}' revises texts" in refused.stderr


def test_where_no_edit_is_left_pages_are_made_from_the_beginning(tmp_path, bilevel):
    (tmp_path / "mine.md").write_text("# Mine\n\nThe cat is very able, and the dog is quite big. It is really red.\n")
    done = bilevel("run", "a", "--task", "page:file=mine.md", "--trials", 12, "--folder", "r")
    assert done.returncode == 0, done.stderr
    whys = bilevel("show", "r", "--trial", 12).stdout
    assert "from the beginning" in whys or "nothing to propose" in whys
