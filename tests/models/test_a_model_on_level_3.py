"""A language model on level 3: it writes mechanisms for the loop that searches mechanisms, and is told what that is."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from researcher_server import PLAN
from runs import model_of

RECIPE = """
name = "three"
title = "a test"
task = "sphere"
[inner]
researcher = "coordinate"
[claim]
on = {claim}
[models]
mechanisms = "{model}"
[[outer]]
level = "mechanisms"
researcher = "library"
trials = 3
drafts = 3
ladder = []
[[outer]]
level = "mechanisms"
researcher = "llm"
trials = {trials}
cycles = {cycles}
start = "fork"
proof_share = 0
ladder = {ladder}
"""
DOC = '"""Which draft runs."""\n\nfrom bilevel.mechanism import Mechanism\n\n\n'
HEAD = DOC + 'class Made(Mechanism):\n    domain = "order"\n\n    def propose(self, view, parent, proposals):\n'
LAST = f"```python\n{HEAD}        return tuple(reversed(proposals))\n```"
SAME = f"```python\n{HEAD}        return proposals\n```"
SETS = LAST.replace('"order"\n', '"order"\n    needs = frozenset({"numeric"})\n')
OF_MECHANISMS = "The search that you improve is itself a loop that searches mechanisms"
SAYS = {"specify": {**PLAN, "name": "last_first", "hooks": ["propose"], "changes": "which draft runs"}}


def run(serve, bilevel, says, trials=3, cycles=2, claim="true", ladder='["door"]'):
    server = serve(says={**SAYS, **says})
    Path("three.toml").write_text(
        RECIPE.format(trials=trials, cycles=cycles, model=model_of("compatible"), claim=claim, ladder=ladder)
    )
    done = bilevel("run", "three.toml", "--folder", "run", "--json")
    assert done.code == 0, done.said
    return server, json.loads(done.out)


@pytest.mark.slow
def test_what_it_writes_is_refused_or_admitted_for_level_2_measured_there_told_and_replayed(serve, bilevel):
    server, summary = run(serve, bilevel, {"generate": SETS, "repair": LAST})
    assert server.roles == ["explore", "critique", "specify", "generate", "repair"]
    assert "constructs candidates and cannot be lifted to 'mechanisms'" in server.prompts("repair")[0]
    (trial,) = [one for one in summary["mechanisms"] if one["level"] == "mechanisms-3"]
    assert trial["why"].startswith("add last_first") and trial["gain"] is not None
    life = json.loads(bilevel("mechanisms", "show", "last_first", "--run", "run", "--json").out)
    assert life["forks"][0]["on"] == "mechanisms" and life["changes"][0]["level"] == "mechanisms-3"
    calls = json.loads(bilevel("show", "run", "--calls", "--json").out)
    assert {call["level"] for call in calls} == {"mechanisms-3"} and len(calls) == 5
    claims = json.loads(Path("run/claims.json").read_text())["claims"]
    assert any("last_first helps level 2 to search mechanisms" in claim["claim"] for claim in claims)
    assert bilevel("verify", "run").code == 0
    replayed = bilevel("replay", "run")
    assert replayed.code == 0 and "byte for byte" in replayed.out and len(server.roles) == 5


@pytest.mark.slow
def test_each_round_is_told_what_a_candidate_is_there_and_an_inert_rule_is_mended_by_level_2s_own_record(
    serve, bilevel
):  # fmt: skip
    server, _ = run(serve, bilevel, {"generate": SAME, "inert": LAST}, trials=2, cycles=3, claim="false", ladder="[]")
    assert server.roles == ["explore", "critique", "specify", "generate", "inert"]
    assert all(prompt.count(OF_MECHANISMS) == 1 for prompt in server.prompts())
    inert = server.prompts("inert")[0]
    assert "last_first changed no decision" in inert and "2 calls, 0 touched, 0 decisive" in inert
    assert "The trials over which it was measured" not in inert, "those on record are level 1's, where it had no say"
