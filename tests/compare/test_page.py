"""The page of a comparison: it is whole alone, nobody's text is markup in it, its numbers are those of the report."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import in_process
import pytest

from bilevel.compare.analysis import analyse
from bilevel.compare.drawing import Scale, alike, dot, scale_of, text
from bilevel.compare.folder import open_folder
from bilevel.compare.html import page
from bilevel.compare.markdown import markdown
from bilevel.compare.resampling import Estimate
from bilevel.compare.results import Sealed

TWO = "sphere:noise=0.1,dimensions=3,gpt-table"
HOSTILE = "\"><script>alert(1)</script><img src=http://evil.example/x onerror='x'>\u202e|`"
VOID = {"meta", "br", "hr", "img", "link", "input", "line", "circle", "polyline", "polygon"}


class Read(HTMLParser):
    """What a page holds: tags with their attributes, what is not closed, and its text outside of axes."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.said, self.wrong = [], [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag != "style" and "tick" not in attrs.get("class", ""):
            self.said.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small comparison on two tasks with all that a page may show: its folder and its result."""
    place = tmp_path_factory.mktemp("page")
    options = ("--replicates", 2, "--budget", 6, "--inner-budget", 6, "--recheck", 1, "--folder", "it")
    done = in_process.run("compare", "--arms", "a,d,static", "--task", TWO, *options, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    return place / "it", analyse(open_folder(place / "it"))


def hostile(result):
    """The same result, all names of other people made as bad as they can be."""
    arms = tuple(
        replace(
            arm,
            name=f"{arm.name}{HOSTILE}",
            title=HOSTILE,
            mechanisms=tuple(replace(one, name=f"{one.name}{HOSTILE}") for one in arm.mechanisms),
        )
        for arm in result.arms
    )
    tasks = tuple(
        replace(
            task,
            name=f"{task.name}{HOSTILE}",
            objective=HOSTILE,
            arms=tuple(replace(arm, name=f"{arm.name}{HOSTILE}") for arm in task.arms),
        )
        for task in result.tasks
    )
    ranks = replace(result.ranks, average={f"{name}{HOSTILE}": rank for name, rank in result.ranks.average.items()})
    claims = tuple(replace(claim, text=f"{HOSTILE}{claim.text}") for claim in result.claims)
    return replace(
        result,
        arms=arms,
        tasks=tasks,
        ranks=ranks,
        claims=claims,
        reference=f"{result.reference}{HOSTILE}",
        task=HOSTILE,
        objective=HOSTILE,
        unit=HOSTILE,
        notes=(HOSTILE,),
        isolation=(HOSTILE,),
        analysis={HOSTILE: HOSTILE},
    )


def test_it_says_all_that_the_report_says_in_its_numbers_and_shows_it(made):
    folder, result = made
    source = (folder / "report.html").read_text()
    assert source == page(result) and len(source) < 120_000
    read = Read(source)
    said = " ".join(read.said)
    for name in ("any time", "Ranks over 2 tasks", "Keeps measured again", "What may be said of level 2", result.plan):
        assert name.lower() in said.lower()
    known = set(numbers(markdown(result))) | set(numbers(json.dumps(json.loads((folder / "result.json").read_text()))))
    assert set(numbers(said)) <= known
    for line in re.findall(r"^\| (?!---).*", (folder / "report.md").read_text(), re.M):
        for cell in re.sub(r"\\(.)", r"\1", line).strip("| ").split(" | "):
            assert cell.strip() in said or set(cell) <= set("▁▂▃▄▅▆▇█") or cell == "curve"
    shown = [attrs.get("class", "") for _, attrs in read.tags]
    assert sum(one.startswith("dot") for one in shown) == 3 + 2 + 2 * 3 + 3  # over all, differences, two tasks, keeps
    assert sum(one.startswith("band") for one in shown) == 3
    assert sum(one.startswith("lead") for one in shown) == 6


def numbers(said):
    """The numbers of a text; a sentence's end and a thousand's comma are no part of them."""
    return [found.rstrip(".,").lstrip("+") for found in re.findall(r"[-+]?\d[\d.,]*(?:e[-+]\d+)?", said)]


def test_it_loads_nothing_and_no_text_of_others_is_markup(made):
    _, result = made
    for one in (result, hostile(result)):
        source = page(one)
        read = Read(source)
        assert not read.wrong and not read.open
        tags = {tag for tag, _ in read.tags}
        assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
        for tag, attrs in read.tags:
            assert not any(name.startswith("on") or name in ("src", "srcset", "style") for name in attrs)
            assert tag == "a" or "href" not in attrs
            assert attrs.get("href", "#").startswith("#")
        style = re.search(r"<style>(.*?)</style>", source, re.S)[1]
        assert "url(" not in style and "@import" not in style and "http" not in style
        policy = next(attrs for _, attrs in read.tags if attrs.get("http-equiv") == "Content-Security-Policy")
        assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert "\u202e" not in source
    assert "<script" not in source and html.escape("<script>alert(1)</script>") in source


def test_in_markdown_no_text_of_others_is_markup_or_ends_what_it_stands_in(made):
    wild = f"{HOSTILE}```\n# heading\n| a | b |\n- item **bold** [x](http://evil.example)"
    result = hostile(made[1])
    best = tuple(replace(one, arm=wild, changes=(wild,), patch=f"+{wild}\n-````x") for one in result.best)
    sealed = (Sealed(wild, wild, wild, 1, 0, 1.0, Estimate(2.0, 1.0, 3.0), 2.0),)
    source = markdown(replace(result, task=wild, best=best, sealed=sealed, notes=(wild,), environment={wild: wild}))
    plain = re.sub(r"(?ms)^(`{5,})diff\n.*?^\1$", "", source)
    assert source.count("`````diff") == len(best) and "evil.example" in plain and "\u202e" not in source
    assert not re.search(r"(?<!\\)(<|`|\*|\[|\]\()", plain)
    titles = re.findall(r"(?m)^#+ .*", plain)
    assert len(titles) == len(re.findall(r"(?m)^#+ .*", markdown(result))) + 1 + len(best)  # sealed, patches
    table = re.search(r"(?ms)^## Sealed.*?\n\n(.*?)\n\n", plain)[1].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8} and len(table) == 3
    assert not re.search(r"(?m)^(?!\||#|- |$|.*  $)", plain)  # no line begins otherwise than the program began it


def test_links_lead_somewhere_and_pictures_are_said_in_words(made):
    read = Read(page(made[1]))
    ids = {attrs["id"] for _, attrs in read.tags if "id" in attrs}
    links = [attrs["href"][1:] for tag, attrs in read.tags if tag == "a"]
    assert links and set(links) == ids
    for tag, attrs in read.tags:
        if tag == "svg" and "viewbox" not in attrs:  # but the inner part of a chart
            assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])
    scrolled = [attrs for _, attrs in read.tags if attrs.get("class") == "scroll"]
    assert scrolled and all(one["tabindex"] == "0" and one["aria-label"] for one in scrolled)


@pytest.mark.slow
def test_the_commands_that_it_names_make_the_same_plan_again(compare, bilevel, tmp_path, monkeypatch):
    assert compare("--replicates", 1, "--budget", 2, arms="a,random").code == 0
    source = html.unescape((tmp_path / "it" / "report.html").read_text())
    commands = re.search(r"<pre[^>]*>(.*?)</pre>", source, re.S)[1].splitlines()
    monkeypatch.chdir(tmp_path / "it")
    assert commands[0] == "bilevel compare --folder ." and bilevel(*commands[0].split()[1:]).code == 0
    assert commands[1] == "bilevel verify ." and bilevel(*commands[1].split()[1:]).code == 0
    subprocess.run(commands[2], shell=True, check=True)
    assert bilevel(*commands[3].split()[1:]).code == 0
    plans = [json.loads((tmp_path / name / "result.json").read_text())["plan"] for name in ("it", "again")]
    gains = [
        [arm["gains"] for arm in json.loads((tmp_path / name / "result.json").read_text())["arms"]]
        for name in ("it", "again")
    ]
    assert plans[0] == plans[1] and gains[0] == gains[1]


def test_a_comparison_without_a_number_has_a_page_too(made):
    _, result = made
    nothing = Estimate(None, None, None)
    arms = tuple(
        replace(arm, runs=0, mean=nothing, area=nothing, curve=(), band=(), against=None, survival=None)
        for arm in result.arms
    )
    source = page(replace(result, arms=arms, ranks=None, claims=(), tasks=()))
    assert not Read(source).wrong and "In short" not in source


def test_axes_have_round_labels_that_tell_values_apart():
    assert [label for _, label in Scale(-0.12, 0.31).labels] == ["0.0", "0.2"]
    assert [label for _, label in Scale(0, 30).labels] == ["0", "10", "20", "30"]
    assert [label for _, label in Scale(0, 3e6).labels] == ["0", "1e+06", "2e+06", "3e+06"]
    for low, high in ((0.0, 1e-9), (5.0, 5.0), (-3.0, -1.0)):
        scale = scale_of([low, high])
        labels = [label for _, label in scale.labels]
        assert 1 <= len(labels) <= 7 and len(set(labels)) == len(labels)
        assert all(0 <= scale.at(value) <= 1 for value in (low, high))


def test_a_bar_joins_the_longest_stretches_that_cannot_be_told_apart():
    assert alike([1.0, 1.5, 2.4, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert alike([1.0, 2.0, 3.0], 5.0) == [(0, 2)]
    assert alike([1.0, 3.0], 1.0) == [] and alike([1.0, 2.0], None) == []


def test_a_dot_without_an_interval_has_no_bar_and_no_value_has_no_dot():
    scale = Scale(0.0, 1.0)
    assert "bar" in dot(Estimate(0.5, 0.4, 0.6), scale, "k0")
    assert "bar" not in dot(Estimate(0.5, None, None), scale, "k0")
    assert "circle" not in dot(Estimate(None, None, None), scale, "k0")
    assert text("<a>\x00\u202eb") == "&lt;a&gt;\ufffd\ufffdb"


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_asking_for_anything_and_without_running_over_a_narrow_window(
    made, tmp_path, scheme
):
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed, so the page is not looked at in a browser")
    source = page(hostile(made[1]))
    free = source.replace('http-equiv="Content-Security-Policy"', 'name="was-policy"')
    assert free != source
    asked = tmp_path / "asked.html"
    asked.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe id="f" width="375" height="900" srcdoc="{html.escape(free)}">'
        "</iframe><script>f.onload = () => { const d = f.contentDocument, e = d.documentElement;"
        "document.body.dataset.found = [e.scrollWidth, e.clientWidth, d.querySelectorAll('section').length,"
        "f.contentWindow.performance.getEntriesByType('resource').length,"
        "getComputedStyle(d.body).backgroundColor].join(';'); }</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--virtual-time-budget=2000"] + ["--force-dark-mode"] * (scheme == "dark")
    done = subprocess.run([browser, *flags, "--dump-dom", asked.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    wide, window, sections, loaded, ground = found[1].split(";")
    assert int(wide) <= int(window) and 340 < int(window) <= 375
    assert int(sections) >= 10 and int(loaded) == 0
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    shown, address = tmp_path / "page.png", (made[0] / "report.html").as_uri()
    command = [browser, *flags, f"--screenshot={shown}", "--window-size=1200,1600", address]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert os.path.getsize(shown) > 20_000
