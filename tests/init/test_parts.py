"""The parts of `bilevel init` that are pure: names, numbers in an output, options, bounds, texts of config files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bilevel.init import commands, launcher, numbers
from bilevel.init.drafting import value
from bilevel.init.flags import flags
from bilevel.init.guesses import guess
from bilevel.init.numbers import Output
from bilevel.init.tree import Tree
from bilevel.init.words import goal
from bilevel.space import Bool, Choice, Float, Int

KINDS = {"float": Float, "int": Int, "choice": Choice, "bool": Bool}


def printed(text, **more):
    return Output(text, "", 1.5, 1.0, 0, **more)


def found(text):
    return {number.name: number.value for number in numbers.everything(printed(text))}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "minimize"), ("val_bpb", "minimize"), ("Test Accuracy", "maximize"), ("error_rate", "minimize"),
        ("tokens_per_sec", "maximize"), ("seconds", "minimize"), ("eval/F1", "maximize"), ("valLoss", "minimize"),
        ("perplexity", "minimize"), ("episode_reward", "maximize"), ("negative_log_likelihood", "minimize"),
        ("brier_score", "minimize"), ("latency_ms", "minimize"), ("images/s", "maximize"), ("blurb", None),
        ("epoch", None), ("accuracy_loss", "minimize"), ("log_likelihood", "maximize"), ("cross_entropy", "minimize"),
    ],
)  # fmt: skip
def test_a_name_says_the_direction_or_nothing(name, direction):
    assert goal(name) == direction


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("loss: 3\nloss: 2.5", "loss", 2.5),
        ("Final test accuracy = 93.1%", "Final test accuracy", 93.1),
        ("epoch 3/9 | val_loss: 1e-3 | lr 0.1", "val_loss", 1e-3),
        ("step 10 loss 0.25 acc 0.5", "loss", 0.25),
        ("throughput 12.5 img/s", "throughput", 12.5),
        ('{"epoch": 1, "val": {"bpb": 2.5}}', "val.bpb", 2.5),
        ("epoch  loss  acc\n1      0.9   0.1\n2      0.5   0.7\n", "acc", 0.7),
        ("name,mse\na,1.5\nb,0.5\n", "mse", 0.5),
        ("Requests per second:    123.4 [#/sec] (mean)", "Requests per second", 123.4),
        ("elapsed: 3.5s", "elapsed", 3.5),
    ],
)
def test_numbers_are_found_in_what_programs_print(text, name, number):
    assert found(text)[name] == pytest.approx(number)


def test_a_number_is_read_by_the_very_table_that_is_written():
    output = printed("epoch 1 | val_loss: 0.5 |\nepoch 2 | val_loss: 0.25 |\n")
    number = numbers.named("val_loss", output)
    assert numbers.read_back(number, output) == 0.25
    assert numbers.read_back(number, printed("epoch 1 | val_loss: 0.5 |\nepoch 2 | val_loss: nan |\n")) is None
    assert numbers.read_back(number, printed("nothing")) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("train_loss: 1\nval_loss: 2", "val_loss"),
        ("epoch: 3\nlr: 0.1\nloss: 2", "loss"),
        ("seconds: 3\naccuracy: 0.5\nparams: 10000", "accuracy"),
        ("val_loss: 2\nval_acc: 0.5", None),
        ("total time: 3.5 s\nchecksum: 5", "total time"),
        ("a: 1\nb: 2", None),
    ],
)
def test_the_metric_is_what_clearly_is_one(text, name):
    number = numbers.clear(numbers.everything(printed(text)))
    assert (number.name if number else None) == name


def test_the_wall_time_is_named():
    assert numbers.named("seconds", printed("loss: 1")).value == 1.5
    assert numbers.named("loss", printed("x: 1")) is None


@given(st.text('ab:=,.|{}"0123456789-e \t\n', max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_output_breaks_the_reading(text):
    for number in numbers.everything(printed(text)):
        assert numbers.read_back(number, printed(text)) == number.value


@given(
    st.sampled_from(["lr", "batch_size", "dropout", "momentum", "depth", "alpha", "beta1", "x"]),
    st.one_of(
        st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9)
    ),
)
def test_a_guessed_domain_holds_the_value_it_was_guessed_from(name, number):
    guessed = guess(name, number)
    if guessed.free:
        table = dict(guessed.table)
        domain = KINDS[table.pop("type")](**table)
        assert domain.check(number) is None and guessed.why


def test_bounds_follow_names_and_values():
    assert guess("LEARNING_RATE", 3e-4).table["log"] and guess("LEARNING_RATE", 3e-4).table["low"] == 1e-5
    assert guess("BATCH_SIZE", 64).table["power_of_two"]
    assert guess("DROPOUT", 0.1).table == {"type": "float", "low": 0.0, "high": 0.9}
    assert guess("depth", 3).table == {"type": "int", "low": 1, "high": 9}
    for name in ("SEED", "EVAL_BATCHES", "NUM_EPOCHS", "LOG_EVERY", "TIME_BUDGET", "N"):
        assert not guess(name, 8).free and guess(name, 8).why


def test_options_of_argparse_and_click():
    found = flags(
        "RATE = 0.5\n"
        "p.add_argument('-l', '--learning-rate', type=float, default=RATE)\n"
        "p.add_argument('--depth', type=int, default=2 * 3)\n"
        "p.add_argument('--kind', default='a', choices=('a', 'b'))\n"
        "p.add_argument('--amp', action=argparse.BooleanOptionalAction, default=True)\n"
        "p.add_argument('--fast', action='store_true')\n"
        "p.add_argument('data')\np.add_argument('--must', required=True)\n"
        "p.add_argument('--many', nargs='+', default=1)\n"
        "p.add_argument('--warm', type=float, default=1)\n"
        "@click.option('--gamma', default=0.9)\n@click.option('--soft/--no-soft', default=False)\ndef f(): pass\n"
    )
    assert {name: flag.value for name, flag in found.items()} == {
        "learning_rate": 0.5, "depth": 6, "kind": "a", "amp": True, "fast": False, "warm": 1.0, "gamma": 0.9,
        "soft": False,
    }  # fmt: skip
    assert (
        found["amp"].off == "--no-amp"
        and found["soft"].off == "--no-soft"
        and found["learning_rate"].option[:3] == "--l"
    )
    assert flags("not python (") == {}


YAML = (
    "# top\nlr: 0.1  # step\nmodel:\n  width: 64\n  name: big\n  deep: {x: 1}\n"
    "  sizes:\n    - a: 1\nflag: false\nlr2: 1e-3\n"
)
TOML = 'title = "x"\nlr = 0.1 # step\n[model]\nwidth = 64\nsizes = [1, 2]\n[[list]]\nx = 1\n[model.deep]\nflag = true\n'
JSON = '{"lr": 0.1, "text": "lr: 5", "model": {"width": 64, "sizes": [1, {"x": 2}]}, "flag": false}'
CODE = (
    '#define BLOCK 16 // many\n#define NAME "x"\nstatic const int ROWS = 8;\npub const RATE: f64 = 0.5;\nint x = 3;\n'
)


@pytest.mark.parametrize(
    ("path", "text", "keys"),
    [
        ("a.yaml", YAML, {"lr": 0.1, "model.width": 64, "flag": False, "lr2": 1e-3}),
        ("a.toml", TOML, {"lr": 0.1, "model.width": 64, "model.deep.flag": True}),
        ("a.json", JSON, {"lr": 0.1, "model.width": 64, "flag": False}),
        ("a.c", CODE, {"BLOCK": 16, "ROWS": 8, "RATE": 0.5}),
    ],
)
def test_values_are_set_in_a_text_that_stays_as_it_was_elsewhere(path, text, keys):
    assert {".".join(leaf.keys): leaf.value for leaf in launcher.leaves(path, text)} == keys
    every = {leaf.keys: leaf.value for leaf in launcher.leaves(path, text)}
    assert launcher.edited(path, text, every) == text
    other = {keys: not old if isinstance(old, bool) else old * 2 for keys, old in every.items()}
    changed = launcher.edited(path, text, other)
    assert {leaf.keys: leaf.value for leaf in launcher.leaves(path, changed)} == other
    assert launcher.edited(path, changed, every) == text or path == "a.yaml"  # 1e-3 comes back as 0.001
    with pytest.raises(KeyError):
        launcher.edited(path, text, {("nothing",): 1})


@given(st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
))  # fmt: skip
def test_leaves_of_any_json_are_where_json_says(data):
    text = json.dumps(data)
    for leaf in launcher.leaves("x.json", text):
        here = data
        for key in leaf.keys:
            here = here[key]
        assert here == leaf.value and text[leaf.begin : leaf.end] == json.dumps(here)


@given(st.one_of(st.text(), st.dictionaries(st.text(min_size=1), st.text()), st.lists(st.text())))
def test_what_is_written_as_toml_reads_back(item):
    import tomllib

    assert tomllib.loads(f"x = {value(item)}")["x"] == item


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"README.md": "```\npip install x\nLR=3 python3 -u go.py --x 1  # slow\n```\n", "go.py": ""},
            ["{python}", "-u", "go.py", "--x", "1"],
        ),
        ({"README.md": "```\nuv run python go.py \\\n  --x 1\n```\n", "go.py": ""}, ["{python}", "go.py", "--x", "1"]),
        (
            {"pyproject.toml": "[tool.poe.tasks]\ntrain = 'python go.py'", "go.py": "", "a.py": ""},
            ["{python}", "go.py"],
        ),
        ({"package.json": '{"scripts": {"bench": "node b.js", "test": "x"}}', "b.js": ""}, ["node", "b.js"]),
        ({"package.json": '{"scripts": {"bench": "vite && b"}}'}, ["npm", "run", "--silent", "bench"]),
        ({"Cargo.toml": "", "src/main.rs": ""}, ["cargo", "run", "--release", "--quiet"]),
        ({"pkg/__init__.py": "", "pkg/__main__.py": ""}, ["{python}", "-m", "pkg"]),
        ({"train.py": "import model", "model.py": "", "setup.py": "", "test_x.py": ""}, ["{python}", "train.py"]),
        ({"only.py": ""}, ["{python}", "only.py"]),
        (
            {"Makefile": "eval: all\n\tpython e.py > out.txt\nall:\n\ttrue\n", "e.py": "", "z.py": ""},
            ["make", "-s", "eval"],
        ),
        ({"Makefile": "clean:\n\trm x\n", "bench.sh": "#!/bin/bash\n"}, ["bash", "bench.sh"]),
    ],
)  # fmt: skip
def test_commands_are_found_where_repositories_say_them(repository, files, words):
    tree = Tree.of(repository(files))
    assert list(commands.clear(commands.find(tree)).words) == words


def test_a_command_with_a_shell_is_given_to_one(repository):
    tree = Tree.of(repository({"a.py": "", "b.py": ""}))
    command = commands.given("python a.py && python3 b.py | tail -1", tree)
    assert command.words == ("sh", "-c", '"{python}" a.py && "{python}" b.py | tail -1')


def test_environments_caches_and_our_own_folders_are_no_files_of_a_tree(repository):
    files = {
        "a.py": "", ".venv/x.py": "", "env/pyvenv.cfg": "", "env/lib/y.py": "", "node_modules/z.js": "",
        "__pycache__/a.pyc": "",
        ".bilevel/task.toml": "", "runs/default-1/run.sqlite3": "", "runs/default-1/x.toml": "", "runs/mine.txt": "",
    }  # fmt: skip
    assert Tree.of(repository(files)).files == ("a.py", "runs/mine.txt")
