"""The timeline: a row for each worker by the clock where times were taken down, else what it says instead."""

import html
import re

import pytest

from bilevel.dashboard.lanes import lasting
from bilevel.dashboard.shifts import busy, shifts
from bilevel.stints import Stint
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader

STINTS = [  # two workers, and after a night a second session
    Stint("root", 0, 0, 1000.0, 1010.0),
    Stint("root", 1, 0, 1010.0, 1030.0),
    Stint("root", 2, 1, 1012.0, 1040.0),
    Stint("root", 3, 0, 9000.0, 9060.0, 2),
]


def words(answer):
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


def test_sessions_stand_behind_each_other_and_what_is_between_is_left_out():
    found = shifts(STINTS)
    assert found.work == 100.0 and found.length == pytest.approx(102.0) and len(found.sessions) == 2
    assert found.at(1, 1000.0) == 0.0 and found.at(1, 1040.0) == 40.0
    assert found.at(2, 9000.0) == pytest.approx(42.0) and found.at(2, 9060.0) == pytest.approx(102.0)


def test_a_worker_is_busy_while_it_measures_and_waits_in_between():
    own = [one for one in STINTS if one.worker == 0]
    assert (busy(own).trials, busy(own).seconds, busy(own).idle) == (3, 90.0, 0.0)
    late = [Stint("root", 7, 0, 1035.0, 1036.0), *own]
    assert busy(late).idle == 5.0  # the night between two sessions is no waiting
    assert busy([]).seconds == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (1.234, "1.23 s"), (59.7, "59.7 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_a_length_of_time_in_words(seconds, said):
    assert lasting(seconds) == said


def test_each_worker_has_a_row_and_each_trial_a_stretch_by_the_clock(making, config, tmp_path):
    config["recipe"]["workers"] = 2
    path = making.run(tmp_path / "timed", config)
    for session in (1, 2):
        folder = RunFolder.open(path)
        for one in STINTS:
            if one.session == session:
                folder.store.worked(one)
                score = None if one.number == 2 else 1.0 - one.number / 10
                folder.store.add_trial("root", making.trial(one.number, score, keep=score is not None))
        if session == 2:
            folder.store.add_trial("root", making.trial(4, None))  # refused: nobody measured it
        folder.close()
    with making.serving(path) as found:
        page = found.get("/run/timed/timeline")
    said = words(page)
    workers = page.text[: page.text.index("<h2>Levels</h2>")]
    assert workers.count('class="lane"') == 2 and "worker 1" in said and "worker 2" in said
    assert len(re.findall('class="piece kept"', workers)) == 3 and len(re.findall('class="piece failed"', workers)) == 1
    assert workers.count('tabindex="0"') == 2  # the first stretch, and the table
    assert "without times: 1 trial" in said and "2 sessions" in said and workers.count('class="seam"') == 1
    assert "90 %" in said and "28 %" in said and "59 %" in said and "1 min 30 s" in said
    first = re.search(r'<rect class="piece kept" x="([\d.]+)%" width="([\d.]+)%"', workers)
    assert [float(each) for each in first.groups()] == pytest.approx([0.0, 100 * 10 / 102], abs=0.01)


def test_a_run_without_times_says_so_and_shows_the_order(making, config, tmp_path):
    with making.serving(making.run(tmp_path / "old", config, [making.trial(n, 1.0) for n in range(3)])) as found:
        page = found.get("/run/old/timeline")
    assert "only the order below" in words(page) and page.text.count('class="piece') == 3


def test_very_many_trials_are_a_bounded_number_of_stretches(making, config, tmp_path):
    path = making.run(tmp_path / "long", config)
    folder = RunFolder.open(path)
    folder.store._connection.execute("PRAGMA synchronous = OFF")
    for number in range(1500):
        folder.store.worked(Stint("root", number, 0, 10.0 * number, 10.0 * number + 9))
        folder.store.add_trial("root", making.trial(number, 1.0, keep=number == 700))
    folder.close()
    with making.serving(path) as found:
        workers = found.get("/run/long/timeline").text.split("<h2>Levels</h2>")[0]
    assert 500 < workers.count('class="piece') <= 600 and workers.count('class="piece kept"') == 1
    assert "3 trials, 1 kept, 0 without a score" in workers


def test_a_real_run_has_its_workers_in_the_picture(browser, runs):
    store = Reader(runs / "d")
    stints = store.stints()
    store.close()
    workers = browser.get("/run/d/timeline").text.split("<h2>Levels</h2>")[0]
    assert stints and workers.count('class="piece') == len(stints)
