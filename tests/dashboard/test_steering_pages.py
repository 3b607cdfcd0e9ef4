"""Acts from a page: taken with the token and from this server's own pages only, and checked as in a terminal."""

import shutil

import pytest

from bilevel.store.folder import RunFolder

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def steered(runs, tmp_path, making):
    """A server that steers a finished run, and how to send it a form."""
    shutil.copytree(runs / "a", tmp_path / "a")
    with making.serving(tmp_path, token="secret") as found:
        origin = found.address.rstrip("/")

        def post(body="kind=budget&what=trials&value=20", path="/run/a/steer", **changed):
            headers = {"Origin": origin, "Authorization": "Bearer secret", "Content_Type": FORM, **changed}
            return found.get(path, method="POST", body=body, **headers)

        yield found, post, tmp_path / "a"


def acts_in(path):
    folder = RunFolder.read(path)
    try:
        return folder.store.acts()
    finally:
        folder.close()


def test_an_act_is_stored_with_who_and_what_and_shown(steered):
    browser, post, path = steered
    answer = post("kind=budget&what=trials&value=20&author=Ada")
    assert answer.status == 200 and answer.text.startswith("act 1: budget trials 20")
    (act,) = acts_in(path)
    assert (act.kind, act.what, act.value, act.author) == ("budget", "trials", 20.0, "Ada")
    page = browser.get("/run/a/steering").text
    assert "waits to be taken up" in page and "Ada" in page


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Authorization": None}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer secre"}, 403),
        ({"Authorization": "secret"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Content_Type": "text/plain"}, 404),
        ({"path": "/run/a"}, 404),
        ({"path": "/run/b/steer"}, 422),
        ({"body": "kind=budget&what=" + "x" * 20_000}, 413),
    ],
)
def test_whoever_may_not_steer_is_refused(steered, changed, status):
    _, post, path = steered
    assert post(**changed).status == status
    assert acts_in(path) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("kind=budget&what=trials&value=1", "is less than the 12 that"),
        ("kind=budget&what=trials&value=many", "'many' is no number"),
        ("kind=budget&what=trials&value=inf", "inf is no amount"),
        ("kind=budget&what=money&value=1e999", "inf is no amount"),
        ("kind=pause", "is finished, so 'pause' would change nothing"),
        ("kind=act", "'act' is no act"),
        ("kind=budget&path=/etc", "'path' is no act"),
        ("", "'nothing' is no act"),
    ],
)
def test_an_act_that_cannot_be_applied_is_refused_with_its_reason(steered, body, said):
    _, post, path = steered
    answer = post(body)
    assert answer.status == 422 and said in answer.text
    assert acts_in(path) == []


def test_pages_hold_no_token_and_their_forms_are_hidden(steered):
    browser, _, _ = steered
    for path in ("/", "/run/a", "/run/a/steering", "/dashboard.js"):
        assert "secret" not in browser.get(path).text
    page = browser.get("/run/a/steering").text
    assert '<div class="hands" hidden>' in page and page.count('<form class="hand"') == 3
    assert "form-action 'self'" in browser.get("/run/a/steering").headers["Content-Security-Policy"]


def test_what_waits_for_a_person_is_on_the_first_page(making, config, tmp_path):
    path = making.run(tmp_path / "waits", config, [making.trial(0, 1.0)], state="gate")
    folder = RunFolder.open(path)
    folder.set_meta("gate", {"id": "keep:root#1", "kind": "keep", "said": "<b>trial 1</b> is to be kept", "at": 0.0})
    folder.close()
    with making.serving(path) as browser:
        page = browser.get("/run/waits").text
        assert "Waits for a person since" in page and "&lt;b&gt;trial 1&lt;/b&gt; is to be kept" in page
        assert 'value="keep:root#1"' in browser.get("/run/waits/steering").text
