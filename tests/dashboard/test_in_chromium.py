"""The dashboard in a real browser: clicks, keys, deep links, news while a run goes on, nothing from elsewhere."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from bilevel.store.folder import RunFolder

NO_PLAYWRIGHT = "playwright is not installed (it is in the extra `dev`)"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; `apt-get install chromium` has one"),
]


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)  # large: not to collect tests
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A page that notes what it asks for and what goes wrong in it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


def wait_live(tab):
    tab.wait_for_selector('#pulse[data-kind="on"]')


def test_clicks_lead_from_the_runs_to_the_diff_of_a_trial(tab, browser):
    tab.goto(browser.address)
    tab.click("a.row >> text=d")
    tab.click("nav.views >> text=mechanisms")
    tab.wait_for_url("**/run/d/mechanisms")
    tab.click("main a.row >> nth=0")
    tab.wait_for_url(lambda url: not url.endswith("/mechanisms"))
    assert tab.locator("h1").inner_text().startswith(("Mechanism", "Trial"))
    tab.click("nav.views >> text=lineage")
    tab.wait_for_url("**/run/d/lineage")
    tab.click("main a.row >> nth=0")
    tab.wait_for_url("**/run/d/trial/**")
    assert tab.locator("h2", has_text="What changed").count() == 1
    assert not tab.wrong


def test_an_address_opens_the_same_page_in_another_tab(tab, chromium, browser):
    tab.goto(browser.address + "run/a/trials?which=kept")
    tab.click("main a.row >> nth=0")
    other = chromium.new_page()
    other.goto(tab.url)
    assert other.locator("h1").inner_text() == tab.locator("h1").inner_text()
    other.close()


def test_keys_do_what_clicks_do(tab, browser):
    tab.goto(browser.address + "run/a")
    tab.keyboard.press("2")
    tab.wait_for_url("**/run/a/trials")
    tab.keyboard.press("j")
    tab.keyboard.press("j")
    tab.keyboard.press("k")
    assert tab.evaluate("document.activeElement === document.querySelectorAll('main a.row')[0]")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/run/a/trial/**")
    first = tab.url
    tab.keyboard.press("[")
    tab.wait_for_url(lambda url: url != first)  # until it is loaded: before that a page hears no keys
    tab.keyboard.press("u")
    tab.wait_for_url("**/trials?level=inner")
    tab.keyboard.press("c")
    tab.wait_for_url("**/run/a/claims")
    tab.keyboard.press("?")
    assert tab.locator("dialog[open]").is_visible()
    tab.keyboard.press("Escape")
    tab.wait_for_selector("dialog[open]", state="detached")
    tab.keyboard.press("0")
    tab.wait_for_url(browser.address)
    assert not tab.wrong


def test_a_key_counts_as_soon_as_the_help_is_closed(tab, browser):
    tab.goto(browser.address + "run/a")
    press = """key => document.querySelector("dialog button").dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true }))"""
    tab.keyboard.press("?")
    tab.evaluate(press, "c")  # while it is open keys are its own
    tab.keyboard.press("Escape")
    tab.wait_for_selector("dialog[open]", state="detached")
    assert tab.url == browser.address + "run/a"
    tab.evaluate(press, "c")  # Chromium moves the focus out of a closed dialog a moment later
    tab.wait_for_url("**/run/a/claims")


def test_arrow_keys_lead_through_the_timeline(tab, browser):
    tab.goto(browser.address + "run/d/timeline")
    wait_live(tab)
    lanes = tab.locator("svg.lanes").first
    assert (
        tab.locator("svg.lanes a[tabindex='0']").count() == 2
    )  # one for each picture: Tab leads into it, not through it
    lanes.locator("a").first.focus()
    here = "document.activeElement.getAttribute('href')"
    first = tab.evaluate(here)
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(here) != first
    told = tab.locator(".told").first
    assert told.inner_text() == tab.evaluate("document.activeElement.querySelector('title').textContent")
    tab.keyboard.press("Home")
    assert tab.evaluate(here) == first
    tab.keyboard.press("ArrowDown")
    assert "level 1" in told.inner_text() and tab.evaluate(here) != first
    target = tab.evaluate(here)
    tab.keyboard.press("Enter")
    tab.wait_for_url("**" + target)
    assert not tab.wrong


def test_ticked_runs_stand_side_by_side(tab, browser):
    tab.goto(browser.address)
    for key in ("a", "d"):
        tab.check(f'input[value="{key}"]')
    tab.click("text=side by side")
    tab.wait_for_url("**/compare?run=a&run=d")
    assert tab.locator("svg.chart polyline").count() == 2


def test_a_page_renews_itself_while_a_run_goes_on(tab, making, runs, tmp_path):
    with making.serving(runs / "a", tmp_path) as found:
        command = ["run", "a", "--task", "sphere", "--researcher", "random", "--trials", "20000", "--folder", "going"]
        search = subprocess.Popen([sys.executable, "-m", "bilevel", *command], cwd=tmp_path, stdout=subprocess.DEVNULL)
        try:
            tab.goto(found.address)
            tab.click("a.row >> text=going", timeout=60_000)  # it appears by itself
            tab.wait_for_selector(".state >> text=running", timeout=60_000)
            tab.wait_for_selector(".point", timeout=60_000)
            tab.evaluate("window.same = true")
            before = tab.locator(".point").count()
            tab.wait_for_function("n => document.querySelectorAll('.point').length > n", arg=before, timeout=60_000)
            search.send_signal(signal.SIGINT)
            tab.wait_for_selector(".state >> text=stopped", timeout=60_000)
            assert tab.evaluate("window.same") and not tab.wrong
        finally:
            search.kill()
            search.wait(timeout=60)


def test_what_is_being_read_stays_while_the_page_renews(tab, making, config, tmp_path):
    path = making.run(tmp_path / "live", config, [making.trial(n, 1.0 - n / 100, keep=True) for n in range(40)])
    with making.serving(path) as found:
        tab.goto(found.address + "run/live/trials")
        wait_live(tab)
        tab.keyboard.press("j")
        tab.keyboard.press("j")
        here = tab.evaluate("document.activeElement.getAttribute('href')")
        tab.evaluate("scrollTo(0, 300)")
        folder = RunFolder.open(path)
        folder.store.add_trial("root", making.trial(40, 0.5, keep=True))
        folder.close()
        tab.wait_for_selector("text=41 trials")
        assert tab.evaluate("document.activeElement.getAttribute('href')") == here and tab.evaluate("scrollY") == 300


def test_a_server_that_comes_back_is_caught_up_with(tab, making, config, tmp_path):
    path = making.run(tmp_path / "live", config, [making.trial(0, 1.0, keep=True)])
    with making.serving(path) as found:
        port = int(found.address.rsplit(":", 1)[1].strip("/"))
        tab.goto(found.address + "run/live/trials")
        wait_live(tab)
    tab.wait_for_selector('#pulse[data-kind="off"]')
    folder = RunFolder.open(path)
    folder.store.add_trial("root", making.trial(1, 0.5, keep=True))
    folder.close()
    with making.serving(path, port=port):
        tab.wait_for_selector("text=2 trials", timeout=30_000)
        wait_live(tab)


def test_nothing_is_loaded_from_elsewhere_and_nothing_that_is_shown_runs(tab, making, config, tmp_path):
    bad = making.hostile
    trials = [
        making.trial(0, 1.0, keep=True),
        making.trial(1, 0.5, said=bad, keep=True),
        making.trial(2, None, said=bad),
    ]
    with making.serving(making.run(tmp_path / "hostile", config, trials, state=bad)) as found:
        views = ("", "/trials", "/timeline", "/lineage", "/parameters", "/mechanisms", "/calls", "/costs", "/claims",
                 "/trial/1")  # fmt: skip
        for view in views:
            tab.goto(f"{found.address}run/hostile{view}")
            wait_live(tab)
            assert tab.evaluate("window.owned") is None and tab.locator("main img").count() == 0
        assert tab.asked and all(url.startswith(found.address) for url in tab.asked)
        blocked = tab.evaluate("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')")
        assert blocked == "refused"
        assert any("Content Security Policy" in said for said in tab.wrong)


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_readable_and_fit_the_screen(chromium, browser, scheme, width):
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    tab = context.new_page()
    for view in ("", "/trials", "/timeline", "/lineage", "/parameters", "/mechanisms", "/costs", "/claims"):
        tab.goto(f"{browser.address}run/d{view}")
        found = tab.evaluate(CONTRASTS)
        assert found and min(found.values()) >= 4.5, (view, json.dumps(found))
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    context.close()


# The contrast of each kind of text with the ground of the page (W3C, WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const light = (said) => said.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor), found = {};
  for (const kind of ["h1", "main p", "main td", "main th", ".soft", ".mark", ".mark.kept", ".mark.failed", ".state",
                      "nav.views a", "#pulse", "figcaption", "text.tick", "text.come", "text.gone"]) {
    const one = document.querySelector(kind);
    if (!one) continue;
    const style = getComputedStyle(one), ink = light(kind.startsWith("text") ? style.fill : style.color);
    found[kind] = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  }
  return found;
}"""


def test_a_run_of_five_thousand_trials_opens_and_stays_live(tab, making, config, tmp_path):
    path = making.run(tmp_path / "long", config, [making.trial(0, 1.0, keep=True)])
    folder = RunFolder.open(path)
    folder.store._connection.execute("PRAGMA synchronous = OFF")
    for number in range(1, 5000):
        folder.store.add_trial("root", making.trial(number, 1.0 + number * 7919 % 101 / 100))
    with making.serving(path) as found:
        tab.goto(found.address + "run/long")
        wait_live(tab)
        assert 900 <= tab.locator(".point").count() <= 1300
        folder.store.add_trial("root", making.trial(5000, 0.0625, keep=True))
        tab.wait_for_selector("text=5001, of which", timeout=20_000)
        tab.wait_for_selector("text=0.0625", timeout=60_000)
    folder.close()


def test_a_run_is_steered_with_the_token_and_not_without(tab, chromium, making, runs, tmp_path):
    """A run is paused, guided past its end and stopped from a page; a tab without the token sees no button."""
    command = ["run", "a", "--task", "sphere", "--researcher", "random", "--trials", "200000", "--folder", "steered"]
    search = subprocess.Popen([sys.executable, "-m", "bilevel", *command], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        with making.serving(runs / "a", tmp_path, token="secret") as found:
            tab.goto(found.address + "#token=secret")
            tab.click("a.row >> text=steered", timeout=60_000)
            tab.wait_for_selector(".state >> text=running", timeout=60_000)
            assert "secret" not in tab.url
            tab.click("nav.views >> text=steering")
            tab.click("button[value=pause]")
            tab.wait_for_selector("output >> text=act 1: pause")
            tab.wait_for_selector(".state >> text=paused", timeout=60_000)
            tab.wait_for_selector("td >> text=taken up before trial")
            tab.click("button[value=pause]")
            tab.wait_for_selector("output >> text=is paused already")
            other = chromium.new_page()
            other.goto(tab.url)
            assert other.locator("form.hand").count() > 0
            assert other.locator("button[value=stop] >> visible=true").count() == 0
            send = "(body) => fetch('/run/steered/steer', {method: 'POST', body}).then(answer => answer.status)"
            refused = other.evaluate(send, "kind=stop")
            assert refused == 403
            other.close()
            tab.click("button[value=resume]")
            tab.wait_for_selector(".state >> text=running", timeout=60_000)
            tab.select_option("select[name=what] >> nth=0", index=0)
            tab.click("button[value=freeze]")
            tab.wait_for_selector("td >> text=freeze", timeout=60_000)
            tab.click("button[value=stop]")
            tab.wait_for_selector(".state >> text=stopped", timeout=60_000)
            assert search.wait(timeout=60) == 3
            assert all(url.startswith(found.address) for url in tab.asked)
            assert [said for said in tab.wrong if "422" not in said] == []
    finally:
        search.kill()
        search.wait(timeout=60)
