"""Repositories of different shapes become tasks that are checked and searched, and stay byte for byte as they were."""

import shutil
import subprocess
import sys
import tomllib

import pytest

CONSTANTS = """
    LEARNING_RATE = 0.1
    HIDDEN = 2**6
    BIAS = True
    OPTIMIZER = "sgd"
    SEED = 7
    STEPS = 40
    bonus = 0.01 if OPTIMIZER == "adam" else 0.0
    for step in range(3):
        print(f"step {step} loss {1 / (step + 1):.3f}")
    print("loss:", (LEARNING_RATE - 0.01) ** 2 + 1 / HIDDEN - bonus + SEED % 9 * 1e-9)
"""
ARGUMENTS = """
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1, help="step size")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--activation", choices=["relu", "tanh"], default="relu")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    score = 1 - (args.lr - 0.01) ** 2 - 0.01 * args.layers + 0.1 * args.wide
    print(f"epoch {args.epochs} | val_acc = {score:.5f} | lr 3")
"""


@pytest.mark.slow
def test_constants_of_a_script_are_parameters(repository, works):
    root = repository({"train.py": CONSTANTS, "README.md": "# Toy\n\nFits a line\nwith care.\n\nMore."})
    done = works(root)
    assert done.report["command"] == "python train.py"
    assert done.report["metric"]["name"] == "loss" and done.report["metric"]["goal"] == "minimize"
    found = done.report["parameters"]
    assert list(found) == ["LEARNING_RATE", "HIDDEN", "BIAS", "OPTIMIZER"]
    assert found["HIDDEN"]["power_of_two"] and found["OPTIMIZER"]["options"] == ["sgd", "adam"]
    assert tomllib.loads(done.task)["command"]["seed"] == {"constant": "SEED"}
    assert "Fits a line\nwith care." in done.brief and "More." not in done.brief
    assert done.summary["gain"] > 0 and "LEARNING_RATE" in done.summary["changes"]


@pytest.mark.slow
def test_options_of_argparse_are_parameters_switches_too(repository, works):
    done = works(repository({"main.py": ARGUMENTS}))
    task = tomllib.loads(done.task)
    assert set(task["space"]["parameters"]) == {"lr", "layers", "activation", "wide"}
    assert task["space"]["parameters"]["activation"]["options"] == ["relu", "tanh"]
    assert task["command"]["seed"] == {"argument": "--seed"}
    assert done.report["metric"]["name"] == "val_acc" and done.report["metric"]["goal"] == "maximize"
    assert done.summary["gain"] > 0


@pytest.mark.slow
def test_options_without_switches_need_no_launcher(repository, works):
    script = ARGUMENTS.replace('parser.add_argument("--wide", action="store_true")', "parser.set_defaults(wide=False)")
    done = works(repository({"main.py": script}), "--command", "python3 main.py --layers=2 --epochs 5")
    task = tomllib.loads(done.task)
    assert task["command"]["run"][:4] == ["{python}", "main.py", "--epochs", "5"]
    assert "--lr={param:lr}" in task["command"]["run"] and task["space"]["parameters"]["layers"]["default"] == 2
    assert not (done.folder / "harness").exists()
    assert done.summary["gain"] > 0


@pytest.mark.slow
def test_numbers_of_a_yaml_config_are_parameters(repository, works):
    config = """
        # what we know
        optim:
          lr: 0.1      # step size
          betas: [0.9, 0.99]
        model:
          width: 64
          bias: true
        eval:
          batch: 32
        seed: 3
    """
    script = """
        import sys

        text = open(sys.argv[1]).read()
        found = dict(line.split("#")[0].split(":") for line in text.splitlines() if ":" in line)
        lr, width = float(found["  lr"]), int(found["  width"])
        assert "# step size" in text and "seed: 3" in text
        print("perplexity=%g" % (10 + (lr - 0.01) ** 2 + 1 / width))
    """
    readme = "# Toy\n\n```sh\n$ python run_it.py conf/base.yaml\n```\n"
    done = works(repository({"conf/base.yaml": config, "run_it.py": script, "README.md": readme}))
    assert done.report["command"] == "python run_it.py conf/base.yaml"
    assert set(done.report["parameters"]) == {"optim.lr", "model.width", "model.bias"}
    assert "eval.batch" in done.report["fixed"] and "conf/base.yaml" in done.report["editable"]
    assert done.summary["gain"] > 0 and set(done.summary["changes"]) <= {"optim.lr", "model.width", "model.bias"}


@pytest.mark.slow
def test_a_target_of_a_makefile_is_found_and_its_measurement_protected(repository, works):
    files = {
        "Makefile": "VERBOSE ?= 0\nall: bench\n\nbench: solution.py\n\t@python3 bench.py $(VERBOSE)\n",
        "solution.py": "DEPTH = 5\n\ndef answer():\n    return 100 - DEPTH\n",
        "bench.py": "import solution\nRUNS = 5\nprint('Requests per second:', solution.answer(), '[#/sec]')\n",
        "tests/test_solution.py": "def test(): pass\n",
        "LICENSE": "MIT\n",
    }
    done = works(repository(files, git=True))
    assert done.report["command"] == "make -s bench"
    assert done.report["editable"] == ["solution.py"]
    shut = done.report["protected"]
    assert shut["bench.py"] == "looks like the measurement" and {"Makefile", "LICENSE", "tests/**"} <= set(shut)
    assert done.report["metric"]["name"] == "Requests per second" and done.report["metric"]["goal"] == "maximize"
    assert list(done.report["parameters"]) == ["DEPTH"] and done.summary["gain"] > 0


@pytest.mark.parametrize("stale", [False, True], ids=["not-there-before", "there-before"])
@pytest.mark.slow
def test_a_json_file_that_appeared_holds_the_metric(repository, works, stale):
    script = """
        import json, os
        RATE = 0.5
        os.makedirs("out", exist_ok=True)
        with open("out/metrics.json", "w") as file:
            json.dump({"epochs": 3, "test": {"f1": 1 - (RATE - 0.1) ** 2}, "note": "x"}, file)
        print("done")
    """
    files = {"experiment.py": script, **({"out/metrics.json": '{"test": {"f1": 0.999}}'} if stale else {})}
    done = works(repository(files))
    assert done.report["metric"]["name"] == "test.f1" and done.report["metric"]["goal"] == "maximize"
    assert done.report["metric"]["value"] == pytest.approx(0.84)
    assert ("exclude" in tomllib.loads(done.task)["source"]) is stale
    assert done.summary["gain"] > 0


@pytest.mark.slow
def test_lines_of_json_and_a_number_on_stderr(repository, works):
    script = """
        import json, sys
        LR = 0.5
        for step in range(3):
            print(json.dumps({"step": step, "eval": {"bpb": 2 + (LR - 0.1) ** 2 + 1 / (step + 1)}}))
        print("oops", file=sys.stderr)
    """
    done = works(repository({"train.py": script}))
    assert done.report["metric"] == {
        "name": "eval.bpb", "value": pytest.approx(2.493333), "goal": "minimize",
        "read": {"read": "json-line", "key": "eval.bpb"},
    }  # fmt: skip
    assert done.summary["gain"] > 0


@pytest.mark.slow
def test_a_number_that_goes_to_stderr_alone_is_read(repository, works):
    script = "import sys\nLR = 0.5\nprint('working')\nprint('final loss =', (LR - 0.1) ** 2, file=sys.stderr)\n"
    done = works(repository({"train.py": script}))
    assert done.report["metric"]["name"] == "final loss" and done.summary["gain"] > 0


@pytest.mark.slow
def test_the_last_row_of_a_table_holds_the_metric(repository, works):
    script = """
        WIDTH = 8
        print("| fold | rmse  | rows |")
        print("|------|-------|------|")
        for fold in range(3):
            print(f"| {fold}    | {1 / WIDTH + fold / 100:.3f} | 100  |")
        print(f"| mean | {1 / WIDTH + 0.01:.3f} | 300  |")
    """
    done = works(repository({"train.py": script}))
    assert done.report["metric"]["name"] == "rmse" and done.report["metric"]["value"] == 0.135
    assert done.summary["gain"] > 0


@pytest.mark.slow
def test_a_program_that_prints_a_lot_may_print_as_much_in_a_run(repository, works):
    done = works(
        repository({"train.py": "RATE = 0.5\nfor _ in range(30):\n    print('x' * 99_999)\nprint('loss:', RATE)\n"})
    )
    assert done.summary["best"] < 0.5 and "output_bytes = 24000" in done.task


def test_the_wall_time_is_a_metric_where_it_is_asked_for(repository, works):
    done = works(repository({"main.py": "SIZE = 64\nsum(range(SIZE))\nprint('ok')\n"}), "--metric", "seconds")
    assert tomllib.loads(done.task)["metrics"]["seconds"] == {"read": "seconds"}
    assert done.report["metric"]["goal"] == "minimize" and done.summary["baseline"] > 0


@pytest.mark.skipif(shutil.which("cc") is None or shutil.which("make") is None, reason="no C compiler, or no make")
@pytest.mark.slow
def test_a_c_program_timed_by_a_script(repository, works):
    files = {
        "prog.c": """
            #include <stdio.h>
            #define BLOCK 16  /* how many at once */
            #define N 1000
            int main(void) { printf("%d\\n", N / BLOCK); return 0; }
        """,
        "time.sh": """
            #!/bin/sh
            cc -O1 -o prog prog.c || exit 1
            echo "checked"
            echo "latency: $(./prog) ms"
        """,
        "README.md": "# Fast\n\nA program.\n\n    ./time.sh\n",
    }
    done = works(repository(files, git=True))
    assert done.report["command"] == "./time.sh" and done.report["editable"] == ["prog.c"]
    assert done.report["metric"]["goal"] == "minimize" and done.report["protected"]["time.sh"]
    assert list(done.report["parameters"]) == ["BLOCK"] and "BLOCK" in done.summary["changes"]


@pytest.mark.slow
def test_a_package_in_src_is_run_by_its_own_interpreter(repository, works):
    files = {
        "pyproject.toml": '[project]\nname = "fit"\nversion = "1"\n[project.scripts]\nfit-train = "fit.cli:main"\n',
        "uv.lock": "version = 1\n",
        "src/fit/__init__.py": "",
        "src/fit/cli.py": "from fit.model import fit\n\ndef main():\n    print('score:', fit())\n",
        "src/fit/model.py": "import theirs\n\nALPHA = 0.5\n\ndef fit():\n    return theirs.ONE - (ALPHA - 0.1) ** 2\n",
        "tests/test_model.py": "def test(): pass\n",
        ".gitignore": ".venv/\n",
    }
    root = repository(files, git=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    (packages,) = (root / ".venv" / "lib").glob("python*/site-packages")
    (packages / "theirs.py").write_text("ONE = 1.0\n")
    (packages / "fit").mkdir()
    (packages / "fit" / "__init__.py").write_text("raise SystemExit('the installed one')\n")
    done = works(root)
    assert "fit.cli" in done.report["command"] and "[project.scripts]" in done.report["found"][0]["places"][0]
    assert list(done.report["parameters"]) == ["ALPHA"] and "uv.lock" in done.report["protected"]
    assert done.report["editable"] == ["src/fit/**/*.py"] and done.summary["gain"] > 0


@pytest.mark.slow
def test_ignored_data_that_the_code_names_is_linked_into_the_runs(repository, works):
    script = 'SCALE = 3.0\nrows = open("data/rows.csv").read().split()\nprint("mse:", (SCALE - float(rows[0])) ** 2)\n'
    root = repository({"train.py": script, ".gitignore": "data/\n"}, git=True)
    (root / "data").mkdir()
    (root / "data" / "rows.csv").write_text("2.0\n")
    done = works(root)
    assert tomllib.loads(done.task)["command"]["read_paths"] == ["data"] and done.summary["gain"] > 0


@pytest.mark.slow
def test_a_single_script_takes_along_what_it_imports_and_names(repository, works):
    files = {
        "fit.py": 'import helper\nGAMMA = 0.5\nopen("points.txt").read()\nprint("cost:", helper.cost(GAMMA))\n',
        "helper.py": "def cost(x):\n    return (x - 0.1) ** 2\n",
        "points.txt": "1 2 3\n",
        "unrelated.py": "raise SystemExit(1)\n",
    }
    root = repository(files)
    done = works(root, start=root / "fit.py")
    assert set(tomllib.loads(done.task)["source"]["include"]) == {"fit.py", "helper.py", "points.txt"}
    assert tomllib.loads(done.task)["name"] == "fit" and done.summary["gain"] > 0


@pytest.mark.slow
def test_the_task_may_lie_elsewhere(repository, works, tmp_path):
    root = repository({"train.py": CONSTANTS})
    done = works(root, "--out", tmp_path / "mine")
    assert done.folder == tmp_path / "mine" and not (root / ".bilevel").exists()


@pytest.mark.slow
def test_the_recipe_that_was_written_runs(repository, bilevel, tmp_path):
    root = repository({"train.py": CONSTANTS})
    assert bilevel("init", "--yes", cwd=root).returncode == 0
    assert bilevel("check", ".bilevel/recipe.toml", cwd=root).returncode == 0
    ran = bilevel("run", root / ".bilevel" / "recipe.toml", "--trials", 2, "--inner-budget", 2)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_a_training_script_with_a_fixed_evaluation_and_a_cache_in_home(repository, bilevel, tmp_path):
    files = {
        "train.py": """
            from prepare_data import evaluate
            # no command line: edit these
            MATRIX_LR = 0.04
            DEPTH = 8
            DEVICE_BATCH_SIZE = 128
            print(f"step 1 | loss: 3.0")
            print("---")
            print(f"val_bpb:          {evaluate(MATRIX_LR, DEPTH):.6f}")
            print("peak_vram_mb:     45.0")
            print("num_steps:        953")
        """,
        "prepare_data.py": """
            import os
            MAX_SEQ_LEN = 2048
            CACHE = os.path.join(os.path.expanduser("~"), ".cache", "toy")
            def evaluate(lr, depth):
                open(os.path.join(os.path.expanduser("~"), ".kernels", "log"), "a").write("x")
                return float(open(os.path.join(CACHE, "zero.txt")).read()) + (lr - 0.02) ** 2 + 1 / depth
        """,
    }
    root = repository(files, git=True)
    home = tmp_path / "home"
    (home / ".cache" / "toy").mkdir(parents=True)
    (home / ".cache" / "toy" / "zero.txt").write_text("0.5")
    failed = bilevel("init", "--yes", cwd=root, HOME=str(home))
    assert failed.returncode == 2 and "--write PATH" in failed.stderr and not (root / ".bilevel").exists()
    done = bilevel("init", "--yes", "--write", "~/.kernels", cwd=root, HOME=str(home))
    assert done.returncode == 0, done.stderr
    task = tomllib.loads((root / ".bilevel" / "task.toml").read_text())
    assert task["command"]["read_paths"] == ["~/.cache/toy"]
    assert task["candidate"]["editable"] == ["train.py"] and task["candidate"]["protected"] == ["prepare_data.py"]
    assert set(task["space"]["parameters"]) == {"MATRIX_LR", "DEPTH", "DEVICE_BATCH_SIZE"}
    assert task["objective"]["metric"] == "val_bpb"
    assert bilevel("run", "--task", ".bilevel", "--trials", 3, cwd=root, HOME=str(home)).returncode == 0
