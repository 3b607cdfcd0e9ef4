"""What a run claims, and what is looked at beside its objective: as in claims.json, `show --front` and status."""

import html
import json
import re

import in_process
import pytest

TASK = """
from bilevel.guardrails import Guardrail
from bilevel.objective import Further, Objective
from bilevel.space import Candidate, Float, Space
from bilevel.tasks.function import FunctionTask


def measured(params, seed):
    size, off = params["size"], seed % 7 / 1000
    loss, delay = params["rate"] ** 2 + 1 / (0.2 + size) + off, 30 * params["rate"] + off
    return {"loss": loss, "bytes": 100 * size, "delay": delay}


task = FunctionTask(
    "two aims", measured, Space({"rate": Float(0.0, 1.0), "size": Float(0.0, 1.0)}),
    Candidate({"rate": 0.5, "size": 0.5}),
    Objective(
        "loss", guardrails=(Guardrail("bytes", at_most=80.0), Guardrail("delay", worse_by_at_most=0.2)),
        also=(Further("bytes", "kB"),),
    ),
    "h",
)
"""
RECIPE = (
    'name = "st"\ntitle = "t"\ntask = "gpt-table"\n'
    '[inner]\nresearcher = "stuck"\ntrials = 8\nmechanisms = ["orthogonal", "restart"]\n'
)


def words(answer):
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with two objectives and guardrails, and one that claims changes and mechanisms."""
    folder = tmp_path_factory.mktemp("weighed")
    (folder / "two_aims.py").write_text(TASK)
    (folder / "st.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for args in (
            ("run", "a", "--task", "python:two_aims:task", "--researcher", "random", "--trials", 24, "--folder", "two"),
            ("run", "st.toml", "--seed", 3, "--folder", "claiming"),
            ("confirm", "claiming", "--mechanism", "orthogonal", "--pairs", 2, "--trials", 3),
        ):
            done = in_process.run(*args, cwd=folder)
            assert done.returncode == 0, done.stderr
        yield folder


@pytest.fixture(scope="module")
def pages(folder, making):
    with making.serving(folder) as found:
        yield found


def test_each_claim_stands_there_with_effect_evidence_and_status(pages, folder):
    stated = json.loads((folder / "claiming" / "claims.json").read_text())["claims"]
    assert {"answer", "change", "mechanism", "whole loops"} <= {one["kind"] for one in stated}
    page = pages.get("/run/claiming/claims")
    said = words(page)
    for one in stated:
        assert one["status"] in said and one["subject"].split(" ")[0].partition("#")[2] in said
        assert one["effect"] is None or f"{one['effect']:+.4g}" in said
        assert one["e_value"] is None or f"{one['e_value']:.3g}" in said
        assert one["low"] is None or f"[{one['low']:+.4g}, " in said
        assert one["kind"] not in ("change", "whole loops") or one["claim"].removesuffix(" helps") in said
    assert page.text.count('class="effect" height="22"') == sum(one["effect"] is not None for one in stated[1:])
    assert "claims.json" in said and "bilevel verify" in said


def test_a_run_that_is_not_over_says_that_its_file_comes_later(making, config, tmp_path):
    trials = [making.trial(0, 1.0, keep=True), making.trial(1, 0.5, keep=True)]
    with making.serving(making.run(tmp_path / "early", config, trials)) as found:
        said = words(found.get("/run/early/claims"))
        assert "provisional" in said and "written when the run has ended" in said and "best was" not in said


def test_the_front_is_that_of_the_command(pages, folder):
    front = json.loads(in_process.run("show", "two", "--front", "--json", cwd=folder).stdout)
    page = pages.get("/run/two/objectives")
    said = words(page)
    assert f"{len(front['points'])} of {front['measured']} candidates" in said and f"{front['volume']:.6g}" in said
    for point in front["points"]:
        assert f"{point['values']['loss']:.6g}" in said and f"{point['values']['bytes']:.6g}" in said
    assert page.text.count('<circle class="best"') == len(front["points"]) + 1  # and one in the legend
    on_it = page.text.count('<circle class="best"') + len(re.findall('<circle class="(?:behind|start)"', page.text))
    assert on_it == front["measured"] + 3


def test_guardrails_say_who_broke_which_and_by_how_much(pages, folder):
    status = json.loads(in_process.run("status", "two", "--json", cwd=folder).stdout)
    trials = json.loads(in_process.run("show", "two", "--json", cwd=folder).stdout)
    page = pages.get("/run/two/objectives")
    said = words(page)
    stopped = [one for one in trials if one["status"] == "guardrail"]
    assert stopped
    listed = page.text[page.text.index("Broken by") :]
    for one in stopped:
        assert f">{one['number']}</a>" in listed
        _, value, bound = re.search(r"(\w+) is ([\d.]+).*?(?:more|worse) than ([\d.]+)", one["reason"]).groups()
        assert value in listed and bound in listed
    for one in status["guardrails"]:
        assert one["text"] in said
    assert page.text.count('class="cross"') >= len(stopped) and page.text.count('class="bound"') == 2


def test_only_a_run_that_weighs_something_leads_there(pages):
    assert 'data-key="o"' in pages.get("/run/two").text and 'data-key="o"' not in pages.get("/run/claiming").text
    assert "nothing to weigh" in pages.get("/run/claiming/objectives").text
