"""The server: loopback only, reading only, live; and the command that starts it."""

import http.client
import os
import shutil
from urllib.parse import urlsplit

import in_process
import pytest

from bilevel.dashboard.importance import importance, ranked
from bilevel.dashboard.records import Remembering, arm_of
from bilevel.dashboard.server import HOST
from bilevel.space import Choice, Float
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader


def listen(browser, path, **headers):
    """What ends a waiting connection for news, and what reads the next piece of it."""
    place = urlsplit(browser.address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")

    def next_id():
        while True:
            line = answer.readline()
            assert line, "the server ended the connection"
            if line.startswith(b"id: "):
                return line[4:].strip().decode()

    def leave():
        answer.close()
        connection.close()

    return leave, next_id


def events_of(page):
    return page.text.split('data-events="')[1].split('"')[0].replace("&amp;", "&")


def test_it_listens_on_loopback_only(browser):
    assert HOST == "127.0.0.1" and urlsplit(browser.address).hostname == "127.0.0.1"


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8425", "127.0.0.1.evil.example", "", "0.0.0.0"])
def test_another_name_for_it_is_refused(browser, name):
    assert browser.get("/", Host=name).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(browser, method):
    assert browser.get("/run/a", method=method).status == 501


def test_a_server_without_a_token_takes_no_act(browser):
    answer = browser.get("/run/a/steer", method="POST", Origin=browser.address.rstrip("/"), Authorization="Bearer ")
    assert answer.status == 403 and "bilevel serve --steer" in answer.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_that_cannot_be_read_is_answered(browser, method):
    answer = browser.get("/run/a/trials?" + "&".join(f"a{n}=1" for n in range(601)), method=method)
    assert answer.status == 400 and "the address cannot be read" in answer.text


def test_head_has_the_headers_and_no_body(browser):
    answer = browser.get("/run/a", method="HEAD")
    assert answer.status == 200 and answer.text == "" and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_style_and_program_of_the_pages_are_the_servers_own(browser):
    for path, kind in (
        ("/dashboard.css", "text/css"),
        ("/dashboard.js", "text/javascript"),
        ("/favicon.svg", "image/"),
    ):
        answer = browser.get(path)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        assert "http://" not in answer.text.replace("http://www.w3.org/", "") and "@import" not in answer.text
    assert browser.get("/..%2fserver.py").status == 404


def test_news_come_while_a_run_goes_on(making, config, tmp_path):
    path = making.run(tmp_path / "live", config, [making.trial(0, 1.0, keep=True)])
    with making.serving(path) as found:
        page = found.get("/run/live")
        leave, next_id = listen(found, events_of(page))
        folder = RunFolder.open(path)
        folder.store.add_trial("root", making.trial(1, 0.25, keep=True))
        first = next_id()
        assert "0.25" in found.get("/run/live").text
        leave()
        folder.store.add_trial("root", making.trial(2, 0.125, keep=True))  # nobody listens
        again, next_id = listen(found, "/events?run=live", **{"Last-Event-ID": first})
        assert next_id() != first  # what was missed is told at once
        again()
        folder.close()
        assert "0.125" in found.get("/run/live/trials").text


def joined(browser, path):
    """Wait for news as soon as there is room; gives what ends that. A page that was left is noticed a little later."""
    assert 200 in (browser.get(path, method="HEAD").status for _ in range(20_000))
    return listen(browser, path)[0]


def test_pages_that_were_left_make_room_for_others(making, runs, monkeypatch):
    monkeypatch.setattr("bilevel.dashboard.server.MOST_WAITING", 2)
    with making.serving(runs / "a") as found:
        for _ in range(4):
            waiting = [joined(found, "/events?run=a") for _ in range(2)]
            assert found.get("/events?run=a", method="HEAD").status == 503  # as long as both wait
            for leave in waiting:
                leave()
        joined(found, "/events?run=a")()


def test_a_run_that_appears_later_is_shown(making, config, tmp_path):
    making.run(tmp_path / "runs" / "one", config)
    with making.serving(tmp_path / "runs") as found:
        assert "/run/two" not in found.get("/").text
        making.run(tmp_path / "runs" / "two", config)
        assert "/run/two" in found.get("/").text


def test_runs_of_one_name_get_names_of_their_own(making, config, tmp_path):
    paths = [making.run(tmp_path / name / "run", config) for name in ("x", "y")]
    with making.serving(*paths) as found:
        assert {found.get(f"/run/{key}").status for key in ("run", "run-2")} == {200}


def test_rows_say_what_the_whole_trials_say(runs):
    for name in ("a", "d"):
        whole, light = Reader(runs / name), Remembering(runs / name)
        for branch in whole.branches():
            for trial, row in zip(whole.trials(branch.id), light.rows(branch), strict=True):
                assert (row.number, row.score, row.keep, row.contends) == (
                    trial.number, trial.score, trial.decision.keep, trial.contends
                )  # fmt: skip
                assert row.status == trial.status.value and row.evaluations == trial.cost.evaluations
                assert row.changes == {key: (c.old, c.new) for key, c in trial.changes.items()}
                assert set(row.files) == set(trial.candidate.files_changed_from(trial.parent))
                assert light.plain(row.candidate).params == dict(trial.candidate.params)
            assert light.trials(branch.id) == whole.trials(branch.id)
        whole.close()
        light.close()


def test_what_was_read_is_kept_however_few_trials_a_reader_keeps(runs, monkeypatch):
    monkeypatch.setattr("bilevel.store.reader.KEPT", 2)
    light = Remembering(runs / "a")
    first, again = light.trials("root"), light.trials("root")
    assert len(first) > 2 and all(one is other for one, other in zip(first, again, strict=True))
    light.close()


def test_an_arm_is_that_of_the_outermost_fork():
    assert [arm_of(name) for name in ("root", "root/0.only", "root/2.control", "root/1.challenger/3.only")] == [
        "", "", "control", "challenger"
    ]  # fmt: skip


def test_importance_is_a_share_of_what_the_scores_differ():
    domain, values = Float(0.0, 1.0), [n / 100 for n in range(100)]
    alone = importance(values, values, domain)
    noise = importance(values, [n * 7919 % 101 for n in range(100)], domain)
    assert alone > 0.9 and noise < 0.15
    assert importance([0.5] * 100, values, domain) is None and importance(values[:5], values[:5], domain) is None
    assert importance(values, [1.0] * 100, domain) is None
    options = Choice(("a", "b"))
    assert importance(["a", "b"] * 50, [1.0, 2.0] * 50, options) == pytest.approx(1.0)
    assert ranked([3.0, 1.0, 3.0]) == [2.5, 1.0, 2.5]


@pytest.mark.parametrize("args", [["nowhere"], ["."]])
def test_where_there_is_no_run_the_command_says_so(args, tmp_path):
    done = in_process.run("serve", *args, cwd=tmp_path)
    assert done.returncode == 2 and "bilevel run" in done.stderr


def test_a_port_that_is_taken_is_said_with_the_way_out(browser, runs):
    port = urlsplit(browser.address).port
    done = in_process.run("serve", "a", "--port", port, cwd=runs)
    assert done.returncode == 2 and "--port" in done.stderr


def test_a_run_leads_to_its_report_or_says_what_writes_one(making, runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "a")
    with making.serving(tmp_path) as found:
        page = found.get("/run/a")
        assert "/report/a" not in page.text and f"bilevel report {tmp_path / 'a'}" in page.text
        assert found.get("/report/a").status == 404 and "bilevel report" in found.get("/report/a").text
        assert found.get("/report/nobody").status == 404 and found.get("/report/..%2fa").status == 404
        assert in_process.run("report", "a", "--no-plots", cwd=tmp_path).returncode == 0
        page = found.get("/run/a")
        assert 'href="/report/a"' in page.text and "records have come since" not in page.text
        report = found.get("/report/a")
        assert report.status == 200 and report.text == (tmp_path / "a" / "report.html").read_text()
        policy = report.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'") and "script" not in policy
        os.utime(tmp_path / "a" / "report.html", (0, 0))
        assert "records have come since" in found.get("/run/a").text
