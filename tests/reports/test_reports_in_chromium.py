"""A report in a real browser: it opens from a file, asks for nothing, is read in light and dark, and prints."""

import shutil

import in_process
import pytest

NO_PLAYWRIGHT = "playwright is not installed (it is in the extra `dev`)"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; `apt-get install chromium` has one"),
]
RUN, BOTH = "run", "both"
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
# The least contrast of any text with what lies behind it, after WCAG 2: (L1 + 0.05) / (L2 + 0.05).
CONTRAST = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = one => { for (; one; one = one.parentElement) {
    const found = parts(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return getComputedStyle(one).backgroundColor; }
    return 'rgb(255, 255, 255)'; };
  let least = [99, ''];
  for (const one of document.querySelectorAll('main *, footer *')) {
    if (one.closest('svg') || ![...one.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    const found = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (found < least[0]) least = [found, one.outerHTML.slice(0, 200)];
  }
  return least; }"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with mechanisms and a comparison, with their reports."""
    root = tmp_path_factory.mktemp("seen")
    for args in (
        ("run", "d", "--task", "gpt-table", "--inner-budget", 6, "--outer-cycles", 2, "--folder", RUN),
        ("compare", "--arms", "a,random", "--task", "sphere:noise=0.1,gpt-table", "--replicates", 3, "--budget", 5,
         "--folder", BOTH),
        ("report", RUN, "--no-plots"),
    ):  # fmt: skip
        done = in_process.run(*args, cwd=root)
        assert done.returncode == 0, done.stderr
    return {name: (root / name / "report.html").as_uri() for name in (RUN, BOTH)}


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)  # large: not to collect tests
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, made):
    """Open a report in a window, and note what it asks for and what goes wrong."""
    contexts = []

    def look(name, scheme="light", width=1280):
        contexts.append(chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}))
        tab = contexts[-1].new_page()
        tab.asked, tab.wrong = [], []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("console", lambda said: tab.wrong.append(said.text) if said.type == "error" else None)
        tab.goto(made[name])
        return tab

    yield look
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", [RUN, BOTH])
def test_it_opens_from_a_file_and_asks_for_nothing_and_could_not(opened, made, name):
    tab = opened(name)
    assert tab.asked == [made[name]] and not tab.wrong
    links = tab.locator("nav a")
    assert links.count() > 4
    for place in range(links.count()):
        links.nth(place).click()
        target = tab.locator(links.nth(place).get_attribute("href"))
        assert target.bounding_box()["y"] < 900 and target.inner_text()
    assert tab.asked == [made[name]]
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">')")
    tab.wait_for_function("document.images[0].complete")
    assert any("Content Security Policy" in said for said in tab.wrong)


@pytest.mark.parametrize("name", [RUN, BOTH])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark_in_a_wide_and_a_narrow_window(opened, name, scheme):
    for width in (1280, 375):
        tab = opened(name, scheme, width)
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        least, where = tab.evaluate(CONTRAST)
        assert least >= 4.5, where


@pytest.mark.parametrize("name", [RUN, BOTH])
def test_it_prints_dark_on_white_whatever_the_screen_and_whole(opened, name):
    tab = opened(name, "dark")
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS["light"]
    assert tab.evaluate(CONTRAST)[0] >= 4.5 and not tab.locator("nav").is_visible()
    cut = tab.evaluate(
        "[...document.querySelectorAll('pre, .scroll')].filter(one => one.clientHeight + 2 < one.scrollHeight).length"
    )
    assert cut == 0
    paper = tab.pdf(prefer_css_page_size=True, print_background=True)
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") > 1
