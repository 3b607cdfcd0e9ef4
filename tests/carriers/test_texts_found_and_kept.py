"""Prompts, skills and memory rules end to end: the right one is found and kept, a useless one is refused or inert.

The model is a function of its prompt. Left alone it makes x0 larger, which is wrong; where it reads "prefer smaller
values" it makes one parameter after the other smaller, which is right.
"""

import datetime
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from researcher_server import number_in, values
from runs import fingerprints, model_of

from bilevel.carrying import carrier_of
from bilevel.codec import content_hash
from bilevel.hosting import Hosting
from bilevel.offering import offers
from bilevel.recipe import Outer, SandboxTable
from bilevel.researchers.library import Known
from bilevel.shelf.record import Measurement, Record, written

RIGHT = "Prefer smaller values than the parent has."


def drafted(prompt):
    """A step up of x0; a step down of the next parameter where the prompt says so and no lesson says otherwise."""
    number = number_in(prompt)
    if "Prefer smaller" not in prompt or "Prefer larger" in prompt:
        return values({"x0": round(4.0 + number / 100, 4)})
    name = ("x0", "x2", "x1", "x3")[number % 4]
    found = re.search(rf"^- {name} = (\S+): number from (\S+) to ([\d.e-]+)", prompt, re.MULTILINE)
    now, low, high = map(float, found.groups())
    step = now - 0.15 * (high - low) if low < 0 else now / 4
    return values({name: round(max(step, low), 6)})


def learned(prompt):
    told = len(re.findall(r"^#\d+|^- #\d+", prompt, re.M))
    lessons = [("method", "Prefer larger values.", 0.3), ("works", RIGHT, 0.9)]
    return {
        "lessons": [
            {"kind": kind, "summary": f"Seen after {told}: {kind}", "rule": rule, "confidence": sure, "trials": [1]}
            for kind, rule, sure in lessons
        ]
    }


def write(carriers, offers, *, cycles, trials=5, lessons=False, more=""):
    for name, text in offers.items():
        Path(name).write_text(text)
    Path("texts.toml").write_text(
        f"""
name = "texts"
title = "a test"
task = "sphere:noise=0,crash=false"
[inner]
researcher = "llm"
lessons = {json.dumps(lessons)}
[[outer]]
level = "mechanisms"
researcher = "library"
carriers = {json.dumps(carriers)}
offers = {json.dumps([f"./{name}" for name in offers])}
start = "fork"
trials = {trials}
cycles = {cycles}
proof_share = 0.0
{more}
[models]
default = {json.dumps(model_of("compatible"))}
backoff = 0.01
"""
    )
    return ("run", "texts.toml", "--folder", "run")


@pytest.fixture
def ran(serve, bilevel, bilevel_json):
    def go(*args, **options):
        server = serve(says={"draft": drafted, "lessons": learned})
        done = bilevel(*write(*args, **options))
        assert done.code == 0, done.err
        return server, done, {one["name"]: one for one in bilevel_json("status", "run")["mechanisms"]}

    return go


SKILL = "---\nwhen: {when}\nclaims:\n{claims}\n---\n{body}\n"
OFFERED = {
    "prompt": (
        {"polite.prompt.md": "Be polite to everybody.", "downhill.prompt.md": RIGHT},
        "prompt:polite", "prompt:downhill",
    ),
    "skill": (
        {
            "never.skill.md": SKILL.format(when="failed >= 1", claims="", body=RIGHT),
            "downhill.skill.md": SKILL.format(
                when="stuck >= 1", claims="- larger x0 is better\n- smaller x2 is better in [-5, 5]", body=RIGHT
            ),
        },
        "skill:never", "skill:downhill",
    ),
    "memory": (
        {"all.memory.md": "---\nmost: 99\n---\n", "sure.memory.md": "---\nconfidence: 0.6\n---\n"},
        "memory:all", "memory:sure",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("carrier", OFFERED)
def test_the_right_text_is_kept_and_a_useless_one_is_inert(ran, bilevel, bilevel_json, carrier):
    offers, useless, right = OFFERED[carrier]
    server, done, found = ran([carrier], offers, cycles=3, lessons=carrier == "memory")
    assert found[right]["kept"] and not found[useless]["kept"], found
    assert "inert" in found[useless]["reason"]
    ledger = found[right]["ledger"]["advise"]
    assert ledger["decisive"] > 0 and found[useless].get("ledger", {}).get("advise", {}).get("decisive", 0) == 0
    assert right in done.out
    asked = len(server.bodies)
    server.close()
    replayed = bilevel("replay", "run")
    assert replayed.code == 0 and "byte for byte" in replayed.out and len(server.bodies) == asked


def test_a_claim_that_the_trials_contradict_is_shown_as_such_to_the_researcher_and_to_people(ran, bilevel_json):
    offers, _, _ = OFFERED["skill"]
    server, done, _ = ran(["skill"], {"downhill.skill.md": offers["downhill.skill.md"]}, cycles=2)
    told = next(prompt for prompt in server.prompts("draft") if "Advice from skill downhill" in prompt)
    assert "[1 of its 2 claims contradicted by the trials] Prefer smaller values" in told
    assert "CONTRADICTED by trials #1, #2, #3, #4, #5: larger x0 is better" in told
    assert "smaller x2 is better in [-5, 5] (not tested yet)" in told
    larger, smaller = bilevel_json("status", "run")["beliefs"]["skill:downhill"]
    assert larger.startswith("CONTRADICTED by trials #") and smaller.startswith("smaller x2 is better in [-5, 5] (")
    assert f"claims of skill:downhill\n  {larger}\n  {smaller}" in done.out


def test_a_text_is_listed_shown_checked_and_taken_out_of_a_run_into_the_next_one(ran, bilevel, bilevel_json):
    offers, _, right = OFFERED["skill"]
    ran(["skill"], {"downhill.skill.md": offers["downhill.skill.md"]}, cycles=2)
    done = bilevel("mechanisms", "export", "run", right)
    assert done.code == 0 and Path("mechanisms/downhill.skill.md").read_text() == offers["downhill.skill.md"], done.err
    listed = bilevel("mechanisms", "list").out
    assert right in listed and "skill:wide_steps" in listed
    shown = bilevel("mechanisms", "show", right)
    assert shown.code == 0 and "1 fork" in shown.out and "larger x0 is better" in shown.out, shown.said
    assert bilevel("mechanisms", "check", right).code == 0
    Path("bad.skill.md").write_text("Look.")
    refused = bilevel("mechanisms", "check", "./bad.skill.md")
    assert refused.code != 0 and "a skill has a line `when:`" in refused.out
    assert "cannot be rehearsed: a text works through" in bilevel("mechanisms", "rehearse", right).err
    write(["skill"], {}, cycles=1, trials=2)
    text = (
        Path("texts.toml")
        .read_text()
        .replace('researcher = "llm"\n', f'researcher = "llm"\nmechanisms = ["{right}"]\n')
    )
    Path("texts.toml").write_text(text)
    again = bilevel("run", "texts.toml", "--folder", "again")
    assert again.code == 0 and f"mechanism {right}, in force from the first trial" in again.out


def test_the_library_chooses_among_all_that_the_level_may_change(ran):
    _, _, found = ran(["code", "prompt", "skill"], {}, cycles=2, trials=5)
    (name,) = found
    assert name in ("prompt:untried_first", "skill:wide_steps")


def test_a_text_that_helped_before_is_tried_first_in_a_warm_start(serve, bilevel, bilevel_json):
    serve(says={"draft": drafted, "lessons": learned})
    text, folder = OFFERED["skill"][0]["downhill.skill.md"], Path("mechanisms")
    folder.mkdir()
    (folder / "downhill.skill.md").write_text(text)
    evidence = Measurement(
        family="sphere", task="sphere", harness="h", control="without it", effect=0.2, low=0.1, high=0.3, forks=4,
        told=4, verdict="helped", e_value=3.0, evaluations=40, date=datetime.date(2026, 1, 1), arms=("a" * 64,),
        gains=(0.2,) * 4, spreads=(0.1,) * 4,
    )  # fmt: skip
    record = Record(source_hash=content_hash(text), evidence=(evidence,))
    (folder / "downhill.skill.toml").write_text(written(record))
    done = bilevel(*write(["skill"], {}, cycles=2, trials=1), "--warm")
    assert done.code == 0 and "skill:downhill (9" in done.out, done.err
    (first,) = bilevel_json("status", "run")["mechanisms"]
    assert (first["name"], first["source"]) == ("skill:downhill", text)
    assert "the library says of skill:downhill" in first["why"]


REFUSED = {
    "a.prompt.md": ("Set x0 to 2.5.", "line 1 of the prompt gives a value for x0"),
    "b.prompt.md": ("Fill {{this}} in.", "leave out {{...}}"),
    "inner_system.prompt.md": ("No places.", "needs exactly the places {{format}}, {{manner}}"),
    "c.skill.md": ("Say it.", "a skill has a line `when:`"),
    "d.skill.md": ("---\nwhen: on tuesdays\n---\nSay it.", "'on tuesdays' cannot be read"),
    "e.skill.md": ("---\nwhen: always\nclaims:\n- x9 does not matter\n---\nSay it.", "'x9', which is no parameter"),
    "f.memory.md": ("---\nmost: many\n---\n", "most: a whole number"),
}


def test_texts_that_cannot_be_used_are_refused_at_the_door_with_the_reason(ran, bilevel):
    offers = {name: text for name, (text, _) in REFUSED.items()}
    more = f"drafts = 1\nredrafts = {len(offers) - 1}"
    _, done, found = ran(["prompt", "skill", "memory"], offers, cycles=2, trials=1, more=more)
    climbs = {climb["mechanism"]: climb for one in found.values() for climb in one["refused"]}
    for name, (_, said) in REFUSED.items():
        label, carrier = name.removesuffix(".md").split(".")
        climb = climbs[f"{carrier}:{label}"]
        assert (climb["rung"], climb["outcome"]) == ("door", "refused") and said in climb["reason"]
    assert not any(one["kept"] for one in found.values()) and "level 2 changes: prompt, skill, memory" in done.out


def test_the_model_is_asked_as_ever_where_no_text_is_in_force(ran):
    server, _, _ = ran(["prompt"], OFFERED["prompt"][0], cycles=1, trials=2)
    before = server.bodies
    Path("run").rename("other")
    server, _, _ = ran(["code"], {}, cycles=1, trials=2)
    assert server.bodies == before


@pytest.mark.parametrize(
    ("line", "other", "said"),
    [
        ('researcher = "llm"\nlessons', 'researcher = "coordinate"\nlessons', "'coordinate' has no place for"),
        (
            'carriers = ["skill"]',
            'carriers = ["prompt"]',
            "'skill:mine' is skill, and the level's carriers are: prompt",
        ),
        ("./mine.skill.md", "./gone.skill.md", "there is no mechanism file"),
        ("./mine.skill.md", "skill:gone", "there is no text 'skill:gone'"),
        ("./mine.skill.md", "./mine.md", "the name of its file says what carries it"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_the_way_out(serve, bilevel, line, other, said):
    serve()
    args = write(["skill"], {"mine.skill.md": "---\nwhen: always\n---\nLook."}, cycles=1)
    text = Path("texts.toml").read_text()
    assert line in text
    Path("texts.toml").write_text(text.replace(line, other))
    Path("mine.md").write_text("Look.")
    done = bilevel(*args)
    assert done.code != 0 and said in done.err, done.said


@pytest.mark.slow
def test_a_run_that_stopped_while_a_text_was_on_trial_goes_on_to_the_run_that_would_have_been(serve, bilevel):
    offers, _, _ = OFFERED["skill"]
    server = serve(says={"draft": drafted, "lessons": learned})
    args = write(["skill"], {"downhill.skill.md": offers["downhill.skill.md"]}, cycles=2)
    assert bilevel(*args, "--max-tokens", 18 * 8).code == 0
    assert len(fingerprints("run")) < 4 and 0 < len(server.bodies) < 12
    assert bilevel("resume", "run", "--max-tokens", 10**6).code == 0
    resumed, asked = fingerprints("run"), sorted(server.bodies)
    Path("run").rename("stopped")
    server = serve(says={"draft": drafted, "lessons": learned})
    assert bilevel(*args).code == 0
    assert fingerprints("run") == resumed and sorted(server.bodies) == asked


def test_what_the_library_knows_of_other_carriers_is_not_offered():
    level = {"level": "mechanisms", "researcher": "library"}
    warm = {name: Known("x", 0.9, "likely") for name in ("skill:mine", "mine")}
    for carriers in (("code",), ("skill",), ("code", "skill")):
        given = offers(Outer(**level, carriers=carriers), {}, warm, Hosting(SandboxTable()))
        assert {carrier_of(name) for name in given["entries"]} == set(carriers)
        assert {carrier_of(name) for name in given["warm"]} == set(carriers)
