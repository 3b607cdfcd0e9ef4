"""What the pages say: every view of every kind of run, from the same records as the terminal."""

import html
import json
import re
from dataclasses import replace

import in_process
import pytest

from bilevel.call import Call, CallKey, Message, Reply, Request
from bilevel.dashboard.charts import Line, overlaid
from bilevel.space import Candidate, Change
from bilevel.store.folder import RunFolder
from bilevel.trial import Pending, Proposal

VIEWS = ["", "/trials", "/timeline", "/lineage", "/parameters", "/mechanisms", "/calls", "/costs", "/steering",
         "/claims"]  # fmt: skip


def words(answer):
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


def sound(answer):
    """A page that loads nothing from elsewhere and runs nothing of its own."""
    assert answer.status == 200, answer.text[:300]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    loaded = re.findall(
        r'<(?:script|link|img|iframe|object|embed|use|image)\b[^>]*?(?:src|href)="([^"]*)"', answer.text
    )
    assert loaded and all(target.startswith("/") and not target.startswith("//") for target in loaded)
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<[^>]+\s(?:style|on[a-z]+)\s*=", answer.text)
    assert answer.text.count("<h1>") == 1
    return answer


@pytest.mark.parametrize("key", ["a", "d"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_run_has_an_address_of_its_own(browser, key, view):
    page = sound(browser.get(f"/run/{key}{view}"))
    assert page.text.count('aria-current="page"') == 1 and "not there" not in page.text


def test_every_link_of_the_pages_leads_somewhere(browser):
    seen, open_ = set(), ["/"]
    while open_ and len(seen) < 160:
        path = open_.pop(0)
        seen.add(path)
        page = browser.get(path)
        assert page.status == 200, (path, page.text[-400:])
        links = {html.unescape(found) for found in re.findall(r'<a [^>]*?href="(/[^"]*)"', page.text)}
        open_ += sorted(links - seen - set(open_))
    assert any("/trial/" in path for path in seen) and any("/mechanism?" in path for path in seen)


def test_the_overview_says_what_status_says(browser, runs):
    status = json.loads(in_process.run("status", "d", "--json", cwd=runs).stdout)
    said = words(browser.get("/run/d/mechanisms"))  # waits for the summary
    for mechanism in status["mechanisms"]:
        assert mechanism["name"] in said and (mechanism["gain"] is None or f"{mechanism['gain']:+.4g}" in said)
    said = words(browser.get("/run/d"))
    for value in (status["baseline"], status["best"]):
        assert f"{value:.6g}" in said
    for name in status["changes"]:
        assert name in said


def test_a_trial_shows_what_changed_and_why(browser, runs):
    shown = json.loads(in_process.run("show", "a", "--trial", "3", "--json", cwd=runs).stdout)
    said = words(sound(browser.get("/run/a/trial/3?branch=root")))
    assert shown["decision"]["reason"] in said and shown["proposal"]["why"] in said
    for name, change in shown["changes"].items():
        assert name in said and repr(change["new"]) in said


def test_a_mechanism_shows_its_source_ladder_and_ledger(browser, runs):
    name = json.loads(in_process.run("status", "d", "--json", cwd=runs).stdout)["mechanisms"][0]["name"]
    said = words(sound(browser.get(f"/run/d/mechanism?name={name}")))
    shown = json.loads(in_process.run("show", "d", "--mechanism", name, "--json", cwd=runs).stdout)["trials"][0]
    assert shown["source"].splitlines()[0] in said and "door" in said and "decisive" in said


def test_two_runs_stand_side_by_side(browser):
    page = sound(browser.get("/compare?run=a&run=d"))
    assert page.text.count("<polyline") == 2 and "x0" in words(page)
    assert browser.get("/compare?run=a&run=nobody").status == 404


def test_runs_with_other_tasks_get_no_common_picture(making, runs, config, tmp_path):
    config["recipe"]["task"] = "gpt-table"
    run = making.run(tmp_path / "other", config, [making.trial(0, 1.0)])
    with making.serving(runs / "a", run) as found:
        page = found.get("/compare?run=a&run=other")
    assert "cannot be compared" in page.text and "<polyline" not in page.text


def test_an_empty_run_says_so_in_every_view(making, config, tmp_path):
    run = making.run(tmp_path / "empty", config)
    with making.serving(run) as found:
        for view in VIEWS:
            page = sound(found.get(f"/run/empty{view}"))
            assert 'class="nothing"' in page.text
        assert "empty" in sound(found.get("/")).text
        assert "bilevel resume" not in sound(found.get("/run/empty")).text
    stopped = making.run(tmp_path / "stopped", config, state="stopped")
    with making.serving(stopped) as found:
        assert f"bilevel resume {stopped}" in sound(found.get("/run/stopped")).text


def test_failures_are_shown_and_never_a_number(making, config, tmp_path):
    trials = [making.trial(0, 1.0, keep=True), *(making.trial(number, None, said="boom") for number in (1, 2))]
    with making.serving(making.run(tmp_path / "failing", config, trials, state="finished")) as found:
        for view in VIEWS:
            sound(found.get(f"/run/failing{view}"))
        assert found.get("/run/failing").text.count('class="point failed"') == 2
        listed = words(found.get("/run/failing/trials?which=failed"))
        assert "2 trials" in listed and "exit" in listed
        one = words(found.get("/run/failing/trial/1"))
        assert "boom" in one and "none" in one


def test_what_models_and_programs_wrote_is_text(making, config, tmp_path):
    bad = making.hostile
    trials = [
        making.trial(0, 1.0, keep=True),
        making.trial(1, 0.5, said=bad, keep=True),
        making.trial(2, None, said=bad),
    ]
    request = Request((Message("system", bad), Message("user", bad)))
    call = Call(1, CallKey("k", 1), "inner", "root", 1, bad, bad, request, Reply(bad, bad, reasoning=bad))
    with making.serving(making.run(tmp_path / "hostile", config, trials, [call], state=bad)) as found:
        pages = ["/", *(f"/run/hostile{view}" for view in VIEWS), "/run/hostile/trial/1", "/run/hostile/trial/2",
                 "/run/hostile/call/1", "/compare?run=hostile"]  # fmt: skip
        shown = 0
        for path in pages:
            page = sound(found.get(path))
            assert "<script>" not in page.text and "<img" not in page.text and "\u202e" not in page.text
            shown += "window.owned" in html.unescape(page.text)
        assert shown >= 5
        for path in ("/run/%3Cscript%3E", "/run/hostile/%3Cscript%3E", "/run/hostile/mechanism?name=%3Cscript%3E"):
            page = found.get(path)
            assert page.status == 404 and "<script>" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/run/nobody",
        "/run/a/nowhere",
        "/run/a/trial/999",
        "/run/a/trial/x",
        "/run/a/trial/%C2%B2",
        "/run/a/call/1",
        "/run/a/call/0",
        "/run/a/call/%C2%B2",
        "/compare",
    ],
)
def test_an_address_of_nothing_is_said_to_be_one(browser, path):
    page = browser.get(path)
    assert page.status == 404 and 'class="nothing"' in page.text and "Traceback" not in page.text


def test_a_run_that_cannot_be_opened_stands_in_the_list_with_the_reason(making, runs, config, tmp_path):
    config["recipe"]["task"] = "python:no_such_module:task"
    run = making.run(tmp_path / "elsewhere", config)
    with making.serving(runs / "a", run) as found:
        page = found.get("/")
        assert "not readable" in page.text and "no_such_module" in page.text and 'href="/run/a"' in page.text
        assert "no_such_module" in found.get("/run/elsewhere").text


def test_a_long_run_is_a_page_of_bounded_size(making, config, tmp_path):
    trials = [making.trial(0, 1.0, keep=True)]
    trials += [making.trial(n, 1.0 + (n * 7919 % 101) / 100, said="") for n in range(1, 1500)]
    path = making.run(tmp_path / "long", config, trials[:1])
    folder = RunFolder.open(path)
    folder.store._connection.execute("PRAGMA synchronous = OFF")
    for trial in trials[1:]:
        folder.store.add_trial("root", trial)
    folder.close()
    with making.serving(path) as found:
        page = sound(found.get("/run/long"))
        assert page.text.count('class="point') == 901 and "without a point of their own: " in page.text
        listed = found.get("/run/long/trials?page=15")
        assert listed.text.count('class="row"') == 100 and "page 15 of 15" in listed.text


def test_curves_side_by_side_all_end_within_the_picture():
    flat = [Line(f"run{n}", ((0, -7.0 - n / 10),), 9) for n in range(4)]
    drawn = overlaid([*flat, Line("best", ((0, -7.0), (4, 0.9)), 9)], "")
    heights = {
        name: float(points.split(",")[-1]) for name, points in re.findall(r'class="(\w+)" points="(.*?)"', drawn)
    }
    assert heights["best"] < 100 < 800 < heights["run0"] < heights["run3"] < 1000, "not as high as the next one"
    many = [Line(f"run{n}", ((0, -1e6 * (n == 0)), (1, n / 100)), 9) for n in range(40)]
    heights = [float(points.split(",")[-1]) for points in re.findall(r'points="(.*?)"', overlaid(many, ""))]
    assert heights[0] - heights[-1] > 800, "one first value that is far off takes no room"


def test_a_run_in_the_middle_of_its_search_says_what_is_under_way_and_what_comes(making, config, tmp_path):
    path = making.run(tmp_path / "going", config, [making.trial(0, 1.0, keep=True), making.trial(1, 0.5)])
    new, changes = Candidate({}, {"tabu": "..."}), {"domain": Change("", "a long one"), "order": Change((), ("tabu",))}
    author = "library (selected by rules from a library, not invented)"
    folder = RunFolder.open(path)  # a process is at work on it
    try:
        folder.set_meta("state", "running")
        folder.store.add_pending("root", Pending(2, 2, Candidate(), Proposal(new, author=author), (), changes))
        with making.serving(path) as found:
            page, claims = words(sound(found.get("/run/going"))), words(sound(found.get("/run/going/claims")))
        folder.set_meta("state", "stopped")
    finally:
        folder.close()
    assert "Under way" in page and "+ tabu" in page and "a long one" not in page and "selected by rules" not in page
    assert "The search goes on: its answer is measured on fresh seeds when it has ended" in claims
    assert "None is measured apart yet." in claims and "No claim stage" not in claims
    with making.serving(path) as found:
        assert "No claim stage" in words(sound(found.get("/run/going/claims")))


def test_the_best_of_each_parameter_is_that_of_the_best_seen(making, config, tmp_path):
    lucky = replace(making.trial(2, 0.1), beside="root#1")  # measured for another trial's sake: it claims nothing
    path = making.run(tmp_path / "lucky", config, [making.trial(0, 1.0, keep=True), making.trial(1, 0.5), lucky])
    with making.serving(path) as found:
        page = words(sound(found.get("/run/lucky/parameters")))
        assert "0.5" in words(sound(found.get("/run/lucky")))
    row = page.split("score over value")[1].split()
    assert row[0] == "x0" and "3" in row and row[row.index("3") + 1 :][:2] == ["0.0", "1.0"]
