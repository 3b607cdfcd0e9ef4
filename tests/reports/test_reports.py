"""`bilevel report`: it says what the records say, loads nothing, and a number that was changed is found."""

import html
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import in_process
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bilevel.acts import Act
from bilevel.budget import Cost
from bilevel.compare.folder import is_comparison
from bilevel.lab import Branch
from bilevel.recipe import find
from bilevel.reporting import plots
from bilevel.reporting.document import Grid, Items, Report, Section, Words
from bilevel.reporting.making import toml
from bilevel.reporting.markdown import markdown
from bilevel.reporting.run import report_of
from bilevel.reporting.seen import seen
from bilevel.reporting.writing import PAGE, TEXT, write_run
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import append_act
from bilevel.trial import Decision, Proposal, Run, Status, Trial
from bilevel.verifying.reports import check_plots, check_report
from bilevel.verifying.tally import Tally
from bilevel.verifying.verify import verify

TASKS = Path(__file__).parents[1] / "fixtures" / "tasks"
HOSTILE = '</pre></dd><script>window.owned = 1</script><img src="http://evil.example/x" onerror="o">\u202e|`**"\''
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+")
SECTIONS = ("What was improved, and by how much", "What changed", "Which mechanisms earned it", "What failed",
            "What it cost", "Environment", "How to reproduce it")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with mechanisms, one over files with a sealed score, and a comparison of each; all with their reports."""
    root = tmp_path_factory.mktemp("reports")
    for args in (
        ("run", "d", "--task", "gpt-table", "--inner-budget", 6, "--outer-cycles", 2, "--folder", "levels"),
        ("run", "a", "--task", TASKS / "scored", "--researcher", "random", "--trials", 6, "--folder", "files"),
        ("compare", "--arms", "a,random", "--task", "sphere:noise=0.1", "--replicates", 2, "--budget", 5, "--folder",
         "both"),
        ("compare", "--arms", "a,random", "--task", TASKS / "scored", "--researcher", "random", "--replicates", 1,
         "--budget", 3, "--fresh", 1, "--seed", 1, "--folder", "sealed"),
        *(("report", name, "--no-plots") for name in ("levels", "files", "both", "sealed")),
    ):  # fmt: skip
        done = in_process.run(*args, cwd=root)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def copy(made, tmp_path):
    """A copy of one of them, to be changed."""
    return lambda name: Path(shutil.copytree(made / name, tmp_path / name))


def words(path):
    """The text of a document, as a reader sees it."""
    text = path.read_text("utf-8")
    return html.unescape(re.sub(r"<[^>]+>", " ", text)) if path.suffix == ".html" else re.sub(r"\\(.)", r"\1", text)


@pytest.mark.parametrize("name", ["levels", "files", "both", "sealed"])
def test_the_page_is_whole_alone_and_loads_nothing(made, name):
    source = (made / name / PAGE).read_text("utf-8")
    assert "default-src &#x27;none&#x27;" in source.split("<style>")[0]
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form|image|use)\b", source)
    assert not re.search(r"\b(src|srcset|style|on\w+)=|url\(|@import", re.sub(r"(?s)<pre.*?</pre>", "", source))
    assert not re.search(r'href="(?!#)', source)
    for tag in ("section", "table", "svg", "figure", "pre", "ul", "dl"):
        assert len(re.findall(f"<{tag}[ >]", source)) == source.count(f"</{tag}>")


@pytest.mark.parametrize("name", ["levels", "files"])
@pytest.mark.parametrize("document", [PAGE, TEXT])
def test_it_has_every_part_and_the_numbers_of_the_run(made, name, document):
    said = words(made / name / document)
    assert [said.index(title) for title in SECTIONS] == sorted(said.index(title) for title in SECTIONS)
    status = json.loads(in_process.run("status", made / name, "--json", cwd=made).stdout)
    claim = status["claim"]
    for number in (status["baseline"], status["best"], claim["mean"], claim["baseline"]):
        assert number is None or f"{number:.6g}" in said
    for effect in (claim["whole"]["effect"], claim["whole"]["low"], claim["whole"]["high"]):
        assert effect is None or f"{effect:+.4g}" in said
    for mechanism in status["mechanisms"]:
        assert f"{mechanism['branch']}#{mechanism['trial']}" in said and mechanism["reason"] in said
    assert status["environment"]["python"] in said and status["harness"] in said
    assert str(made) not in said


def test_files_are_shown_as_a_diff_and_the_sealed_score_is_said(made):
    answer = json.loads(in_process.run("best", made / "files", "--json", cwd=made).stdout)["params"]["GUESS"]
    status = json.loads(in_process.run("status", made / "files", "--json", cwd=made).stdout)
    secrets = [metrics["secret"] for metrics in status["claim"]["sealed"].values()]
    for document in (PAGE, TEXT):
        said = words(made / "files" / document)
        assert "-GUESS = 50" in said and f"+GUESS = {answer}" in said
        assert secrets and all(f"secret {secret:.6g}" in said for secret in secrets)


def test_a_comparison_shows_the_diff_and_the_sealed_score_of_each_arms_best_and_only_in_its_documents(made):
    folder = made / "sealed"
    kept = {}
    for arm in ("a", "random"):
        opened = RunFolder.read(folder / "replicate-01" / arm)
        kept[arm], best = (
            opened.meta("sealed"),
            json.loads(in_process.run("best", opened.path, "--json", cwd=made).stdout),
        )
        opened.close()
        assert len(kept[arm]) == 2
        for document in (PAGE, TEXT):
            said = words(folder / document)
            assert f"{arm}, replicate 1: its files, as a patch" in said
            assert re.search(rf"-GUESS = 50\s+\+GUESS = {best['params']['GUESS']}\b", said)
        score = 1000 + best["params"]["GUESS"]
        assert f"| {arm} | secret | 1 | 0 | 1050 | {score} | {score} |" in words(folder / TEXT)
        for command in (("compare", "--folder", folder), *((one, opened.path) for one in ("status", "show", "best"))):
            printed = in_process.run(*command, cwd=made)
            assert printed.returncode == 0 and not re.search(rf"\b(1050|{score})\b", printed.stdout)
    baselines = [next(run for run in runs.values() if run["metrics"] == {"secret": 1050}) for runs in kept.values()]
    assert baselines[0] == baselines[1]  # measured once, to the last digit of its time
    assert "sealed test" not in words(made / "both" / TEXT).lower()


def test_a_comparison_planned_before_there_were_sealed_scores_has_none_and_can_be_gone_on_with(copy):
    folder = copy("sealed")
    plan = json.loads((folder / "plan.json").read_text())
    assert plan.pop("sealed") is True and plan["analysis"].pop("sealed")
    shutil.rmtree(folder / "replicate-01")
    (folder / "started.json").unlink()
    (folder / "plan.json").write_text(json.dumps(plan))
    assert in_process.run("compare", "--folder", folder, cwd=folder).returncode == 0
    assert "sealed test" not in words(folder / TEXT).lower() and not verify(folder).differences


def test_ledgers_and_gains_over_controls_stand_in_it(made):
    claims = json.loads((made / "levels" / "claims.json").read_text())["claims"]
    mechanisms = [one for one in claims if one["kind"] == "mechanism"]
    said = words(made / "levels" / TEXT)
    assert mechanisms
    for one in mechanisms:
        name = one["subject"].split()[0]
        for hook, counts in one["ledger"].items():
            row = (name, hook, *(str(counts[key]) for key in ("calls", "touched", "decisive", "faults")))
            assert f"| {' | '.join(row)} |" in said


# ---- every number is one of the records ----


@pytest.mark.parametrize("name", ["levels", "files", "both", "sealed"])
def test_what_was_written_is_what_the_records_give(made, name):
    for path in (made / name, made / name / PAGE, made / name / TEXT):
        found = verify(path)
        assert not found.differences and found.checked > 50, found.differences[:3]


@pytest.mark.parametrize("name", ["levels", "files"])
@pytest.mark.parametrize("document", [PAGE, TEXT])
def test_a_number_that_was_changed_is_named_wherever_it_stands(copy, name, document):
    run = copy(name)
    path = run / document
    text = path.read_text("utf-8")
    places = [one.span() for one in NUMBER.finditer(text.partition("</style>")[2] or text)]
    begin = len(text) - len(text.partition("</style>")[2] or text)
    assert len(places) > 15
    for first, last in (places[n * len(places) // 5] for n in range(5)):
        first, last = first + begin, last + begin
        changed = text[first:last][:-1] + str((int(text[last - 1]) + 1) % 10)
        path.write_text(text[:first] + changed + text[last:], "utf-8")
        tally = Tally()
        check_report(tally, run, path)
        assert [one.stated for one in tally.differences] == [changed] or changed in tally.differences[0].stated
    done = in_process.run("verify", path, cwd=run)
    assert done.returncode == 1 and changed in done.stdout


@pytest.mark.parametrize("document", [PAGE, TEXT])
def test_so_is_one_in_the_report_of_a_comparison(copy, document):
    path = copy("both") / document
    text = path.read_text("utf-8")
    last = list(NUMBER.finditer(text))[-1]
    path.write_text(f"{text[: last.start()]}7.25{text[last.end() :]}", "utf-8")
    done = in_process.run("verify", path, cwd=path.parent)
    assert done.returncode == 1 and "7.25" in done.stdout


def test_a_sentence_that_was_added_or_left_out_is_named(copy):
    path = copy("levels") / TEXT
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:5], "- Everything helped.\n", *lines[5:-4], *lines[-3:]]), "utf-8")
    tally = Tally()
    check_report(tally, path.parent, path)
    said = [str(one) for one in tally.differences]
    assert any("Everything helped" in one for one in said) and len(said) > 1


def test_a_report_of_a_moment_before_is_said_to_be_one(copy):
    run = copy("levels")
    done = in_process.run("confirm", run, "--pairs", 1, cwd=run)
    assert done.returncode == 0, done.stderr
    found = verify(run)
    assert not found.differences and sum("made of other records" in note for note in found.notes) == 2
    assert verify(run / PAGE).differences
    assert in_process.run("report", run, "--no-plots", cwd=run).returncode == 0
    assert not verify(run / PAGE).differences


def test_a_report_may_lie_elsewhere(made, tmp_path):
    done = in_process.run("report", made / "files", "--to", tmp_path / "paper", "--no-plots", cwd=tmp_path)
    assert done.returncode == 0 and sorted(p.name for p in (tmp_path / "paper").iterdir()) == [PAGE, TEXT]
    alone = in_process.run("verify", tmp_path / "paper" / TEXT, cwd=tmp_path)
    assert alone.returncode == 2 and "--run" in alone.stderr
    beside = in_process.run("verify", tmp_path / "paper" / TEXT, "--run", made / "files", cwd=tmp_path)
    assert beside.returncode == 0, beside.stdout
    other = in_process.run("verify", tmp_path / "paper" / TEXT, "--run", made / "levels", cwd=tmp_path)
    assert other.returncode == 1 and "another run" in other.stdout


# ---- runs of every kind ----


@dataclass
class Maker:
    config: dict

    def __call__(self, path, *trials, state="running"):
        folder = RunFolder.create(path, self.config)
        folder.set_meta("state", state)
        folder.store.open_branch(Branch("root", "inner"))
        for trial in trials:
            folder.store.add_trial("root", trial)
        folder.close()
        return path


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """How a run folder is made from trials of the sphere."""
    place = tmp_path_factory.mktemp("sphere")
    done = in_process.run("run", "a", "--task", "sphere", "--trials", 1, "--folder", "it", cwd=place)
    assert done.returncode == 0, done.stderr
    return Maker(json.loads((place / "it" / "run.json").read_text()))


def trial(number, score, said="said", keep=False):
    old = Candidate({"x0": 1.0}, {"notes.md": "old\n"})
    new = Candidate({"x0": 1.0 + number}, {"notes.md": f"{said}\n" if number else "old\n"})
    status = Status.OK if score is not None else Status.EXIT
    run = Run("full", 0, status, None if score is None else {"loss": score}, Cost(evaluations=1), log=said)
    changes = new.changes_from(old)
    return Trial(number, old, Proposal(new, said, said), (run,), status, score, Decision(keep, said), changes)


def test_a_run_without_a_trial_says_so(make, tmp_path):
    run = make(tmp_path / "empty")
    with seen(run) as found:
        report = report_of(found)
    assert "No trial of" in report.short[0]
    files = write_run(run, run, False)
    assert "Nothing has been tried yet" in words(files[0]) and "not ended" in words(files[1])
    assert not verify(files[0]).differences


def test_failures_are_counted_and_quoted_and_never_a_number(make, tmp_path):
    run = make(tmp_path / "failing", trial(0, 1.0, keep=True), *(trial(n, None, f"boom {n}") for n in (1, 2)))
    page, text = write_run(run, run, False)
    assert "2 without a score" in words(text)
    row = next(line for line in words(text).splitlines() if "the program ended with an error" in line)
    assert "| 2 |" in row and "root#1" in row and "boom 1" in row
    assert page.read_text().count('class="point failed"') == 2


def test_what_models_and_programs_wrote_is_text(make, tmp_path):
    trials = [trial(0, 1.0, keep=True), trial(1, 0.5, HOSTILE, keep=True), trial(2, None, HOSTILE)]
    run = make(tmp_path / "hostile", *trials, state=HOSTILE)
    page, text = write_run(run, run, False)
    for path in (page, text):
        source = path.read_text("utf-8")
        assert "\u202e" not in source and "window.owned" in words(path)
    source = page.read_text("utf-8")
    assert "<script" not in source and "<img" not in source
    outside = re.sub(r"(?s)^```.*?^```", "", text.read_text("utf-8"), flags=re.M)
    assert not re.search(r"(?<!\\)<(script|img)", outside) and not re.search(r"(?<!\\)\*\*\"'", outside)
    tally = Tally()
    assert check_report(tally, run, page) and check_report(tally, run, text) and not tally.differences


LINES = st.lists(st.sampled_from([*"_*`~$&#;-+=.)0a |<>[]!\\", "lt", "1. ", "__", "- "]), min_size=1, max_size=12)


@settings(deadline=None)
@given(LINES.map("".join).map(str.strip).filter(bool))
def test_markdown_shows_what_was_said_and_makes_no_markup_of_it(line):
    shown = " ".join(line.split())
    report = Report(
        line, (), (), (Section("s", "s", (Words(line), Items((line,)), Grid("", (line,), ((line,),)))),), "0"
    )
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown(report))
    texts = [token for token in tokens if token.type == "inline"][:-1]  # the last line is the program's own
    assert {child.type for token in texts for child in token.children} == {"text"}
    assert [t.children[0].content for t in texts].count(shown) == 5
    assert [token.type for token in tokens].count("paragraph_open") == 3  # the words, the item, the last line


def test_the_answer_on_fresh_seeds_stands_when_the_files_of_the_task_have_changed(tmp_path):
    task = Path(shutil.copytree(TASKS / "scored", tmp_path / "scored"))
    scorer = task / "harness" / "score.py"
    noisy = scorer.read_text().replace("abs(guess - number)", "abs(guess - number - random.random())")
    scorer.write_text(f"import random\n{noisy}")
    options = ("--researcher", "random", "--trials", 4, "--folder", "run")
    done = in_process.run("run", "a", "--task", task, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = [words(path) for path in write_run(tmp_path / "run", tmp_path / "before", False)]
    assert "mean of 3 fresh seeds" in before[1] and "+GUESS" in before[1] and "have changed" not in before[1]
    best = json.loads(in_process.run("best", "run", "--json", cwd=tmp_path).stdout)["params"]["GUESS"]
    (task / "start" / "guess.py").write_text(f"GUESS = {best}\n")  # as somebody does who takes the answer over
    after = [words(path) for path in write_run(tmp_path / "run", tmp_path / "after", False)]
    for text, other in zip(before, after, strict=True):
        numbers = [re.findall(r".*fresh seeds?.*", one) for one in (text, other)]
        assert numbers[0] == numbers[1] and numbers[0]
        assert "has changed since this run" in other and "by now another" in other
    assert "mean of 3 fresh seeds" in in_process.run("status", "run", cwd=tmp_path).stdout
    task.rename(tmp_path / "elsewhere")
    gone = in_process.run("verify", "run", cwd=tmp_path)
    assert gone.returncode == 2 and f"the task of this run is no longer in '{task}'" in gone.stderr


# ---- how to make it again ----


def test_what_persons_told_the_run_stands_in_it(make, tmp_path):
    run = make(tmp_path / "steered", trial(0, 1.0, keep=True))
    append_act(run, Act(0, "guide", text="try less", levels=("inner",), author="me", at=86400.0))
    page, text = write_run(run, run, False)
    for path in (page, text):
        assert "1970-01-02 00:00:00 UTC me: guide: try less (waits to be taken up)" in words(path)
    tally = Tally()
    assert check_report(tally, run, text) and not tally.differences


@pytest.mark.parametrize("name", ["a", "d", "default", "c", "article-steps", "page"])
def test_the_recipe_of_a_report_is_one_that_runs(name, tmp_path):
    recipe = find(name).model_copy(update={"title": 'a "title"\nof \\ two lines\u202e'})
    path = tmp_path / "recipe.toml"
    path.write_text(toml(recipe.model_dump(mode="json")), "utf-8")
    assert find(str(path)) == recipe


def test_the_recipe_in_the_report_is_that_of_the_run(made, tmp_path):
    text = (made / "levels" / TEXT).read_text("utf-8")
    (tmp_path / "recipe.toml").write_text(re.search(r"(?s)```toml\n(.*?)```", text)[1], "utf-8")
    kept = json.loads((made / "levels" / "run.json").read_text())["recipe"]
    assert find(str(tmp_path / "recipe.toml")).model_dump(mode="json") == kept


# ---- plots ----


def differing_plots(folder):
    tally = Tally()
    check_plots(tally, folder, folder)
    assert not tally.notes
    return [one.where for one in tally.differences]


def test_plots_are_drawn_alike_and_one_that_was_changed_is_named(copy):
    pytest.importorskip("matplotlib")
    run = copy("levels")
    done = in_process.run("report", run, "--plots", cwd=run)
    assert done.returncode == 0, done.stderr
    assert f"wrote {run / 'plots' / 'curve.png'}" in done.stdout
    assert "](plots/curve.png)" in (run / TEXT).read_text() and (run / "plots" / "curve.svg").is_file()
    assert not differing_plots(run)
    svg = run / "plots" / "curve.svg"
    svg.write_text(svg.read_text().replace("L ", "L 1", 1))
    assert differing_plots(run) == ["plots/curve.svg"]


def test_a_comparison_has_plots_too(copy):
    pytest.importorskip("matplotlib")
    both = copy("both")
    assert is_comparison(both) and in_process.run("report", both, "--plots", cwd=both).returncode == 0
    assert {path.name for path in (both / "plots").glob("*.png")} == {"improvement.png", "curves.png"}
    (both / "plots" / "curves.png").write_bytes((both / "plots" / "curves.png").read_bytes()[:-1])
    assert differing_plots(both) == ["plots/curves.png"]


def test_where_matplotlib_is_missing_plots_are_an_error_and_the_report_is_not(copy, monkeypatch):
    monkeypatch.setattr(plots, "there", lambda: False)
    run = copy("files")
    wanted = in_process.run("report", run, "--plots", cwd=run)
    assert wanted.returncode == 2 and "bilevel[report]" in wanted.stderr
    done = in_process.run("report", run, cwd=run)
    assert done.returncode == 0 and "no plots" in done.stderr and not (run / "plots").exists()
