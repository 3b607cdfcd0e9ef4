"""The image and its compose file: read here, and the steps of the image really taken, in a fresh virtual environment.

No container is started: what needs one is not tested here.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("Dockerfile", ".dockerignore", "compose.yaml", "docs/docker.md")
SYSTEM = re.compile(r"\b(useradd|install --directory)\b")  # steps that change users of the machine


def instructions(root: Path) -> list[tuple[str, str]]:
    """(instruction, its text) of the Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"\\\n\s*", "", (root / "Dockerfile").read_text("utf-8"))
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def of(kind: str, root: Path = ROOT) -> list[str]:
    return [text for name, text in instructions(root) if name == kind]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the image: the last pattern that fits it or a folder above it says."""
    out = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, parts = line.removeprefix("!"), path.split("/")
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fits(each, pattern) for each in above):
            out = not line.startswith("!")
    return out


def fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        parts = path.split("/")
        return any(fits("/".join(parts[n:]), pattern[3:]) for n in range(len(parts)))
    own, wanted = path.split("/"), pattern.split("/")
    return len(own) == len(wanted) and all(map(fnmatchcase, own, wanted))


def pip_arguments(text: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in re.findall(r"python -m pip (install .*)", text)]


def test_what_the_image_copies_exists_and_is_let_through():
    sources = [word for text in of("COPY") for word in text.split()[:-1]]
    assert sources and not any(word.startswith("--") for word in sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()  # fmt: skip
    assert not [path for path in tracked if ignored(path)]


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "runs/a-sphere-1/run.sqlite3", "src/bilevel/__pycache__/a.pyc", "tests/x.py",
             "src/.mypy_cache/x", "mytask/.env", ".venv/bin/python"],
)  # fmt: skip
def test_nothing_else_comes_into_the_image(path):
    assert ignored(path)


def test_the_image_installs_as_the_readme_says_with_options_that_exist():
    core, project = pip_arguments((ROOT / "README.md").read_text("utf-8"))[:2]
    steps = pip_arguments("\n".join(of("RUN")))
    llm = [word.replace("core.txt", "llm.txt") for word in core]
    assert steps == [core, llm, [word for word in project if word != "-e"]]
    helped = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--help"], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    if helped.returncode == 0:  # a virtual environment may have no pip
        assert all(word in helped.stdout for step in steps for word in step if word.startswith("-"))


def test_the_image_runs_as_a_user_of_its_own_and_holds_no_secret():
    kinds = [name for name, _ in instructions(ROOT)]
    assert kinds[0] == "FROM" and "slim" in of("FROM")[0]
    assert of("USER") == ["bilevel"] and kinds.index("USER") > max(n for n, k in enumerate(kinds) if k == "RUN")
    assert json.loads(of("ENTRYPOINT")[0]) == ["bilevel"] and json.loads(of("CMD")[0]) == ["--help"]
    assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", " ".join(of("ENV") + of("ARG")))
    for step in of("RUN"):
        assert subprocess.run(["sh", "-n", "-c", step], timeout=60).returncode == 0, step


def test_no_file_names_a_registry():
    for name in OURS:
        assert set(re.findall(r"https?://([^/:\s)`]+)", (ROOT / name).read_text("utf-8"))) <= {"host.docker.internal"}


def test_the_pinned_extra_is_part_of_the_development_set():
    blocks = [
        set(re.findall(r"^[a-z0-9](?:.*\\\n)+.*\n", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))
        for name in ("llm.txt", "dev.txt")
    ]
    assert blocks[0] and blocks[0] <= blocks[1]
    names = {block.split("==")[0] for block in blocks[0]}
    assert {"pydantic-ai-slim", "python-dotenv", "openai", "cyclopts", "rich", "pydantic", "numpy"} <= names
    assert all("--hash=sha256:" in block for block in blocks[0])


def test_the_compose_file_mounts_the_task_to_read_and_the_runs_to_write():
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["bilevel"]
    mounts = {mount["target"]: mount for mount in service["volumes"]}
    workdir = of("WORKDIR")[-1]
    assert mounts[f"{workdir}/mytask"]["read_only"] is True and "read_only" not in mounts[f"{workdir}/runs"]
    assert all(mount["bind"] == {"create_host_path": False} for mount in mounts.values())
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert list(service["build"]["args"]) == ["UID"] and "UID=1000" in of("ARG")
    known = (ROOT / ".env.example").read_text("utf-8")
    assert all(name in known for name in service["environment"])
    assert service["command"] == ["run", "--task", "mytask"]


def test_what_the_page_types_exists():
    page = (ROOT / "docs" / "docker.md").read_text("utf-8")
    helped = subprocess.run(
        [sys.executable, "-m", "bilevel", "run", "--help"], capture_output=True, text=True, timeout=60
    ).stdout
    for line in re.findall(r" bilevel run .*", page):
        assert all(word in helped for word in shlex.split(line, comments=True) if word.startswith("--")), line
    assert set(re.findall(r"--build-arg ([A-Z]+)=", page)) == {text.split("=")[0] for text in of("ARG")}
    assert set(re.findall(r"\b(BILEVEL_UID|TASK|RUNS)=", page)) == {"BILEVEL_UID", "TASK", "RUNS"}


@pytest.mark.slow
def test_the_steps_of_the_image_lead_to_a_program_that_searches(tmp_path):
    """COPY and RUN, in order, of what is committed, into an empty folder and an empty virtual environment."""
    archive = tmp_path / "context.tar"
    made = subprocess.run(["git", "archive", "--output", archive, "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"not a git repository: {made.stderr}")
    context, image, venv = tmp_path / "context", tmp_path / "image", tmp_path / "venv"
    with tarfile.open(archive) as packed:
        packed.extractall(context, filter="data")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=300)
    image.mkdir()
    env = {**os.environ, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "PACKAGES": "", "PYTHONPATH": ""}
    for name, text in instructions(context):
        if name == "ENV":
            env |= dict(pair.split("=", 1) for pair in shlex.split(text))
        if name == "COPY":
            *sources, target = text.split()
            for source in sources:
                place = image / target / (Path(source).name if target.endswith("/") else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (context / source).is_dir() else shutil.copy
                copy(context / source, place)
        if name == "RUN" and not SYSTEM.search(text):
            done = subprocess.run(["sh", "-c", text], cwd=image, env=env, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, (text, done.stdout[-2000:], done.stderr[-2000:])
    shutil.rmtree(context)
    program, work = venv / "bin" / json.loads(of("ENTRYPOINT")[0])[0], tmp_path / "work"
    work.mkdir()

    def bilevel(*words: str) -> str:
        done = subprocess.run([program, *words], cwd=work, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    assert re.match(r"\d+\.\d+\.\d+", bilevel("--version").strip())
    assert "Finished" in bilevel("run", "a", "--task", "sphere", "--trials", "3")
    assert "replayed" in bilevel("replay", "runs/a-sphere-1")
    assert "ollama" in bilevel("models")
    ready = "import pydantic_ai.models.openai, dotenv"
    subprocess.run([venv / "bin" / "python", "-c", ready], cwd=work, env=env, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write")
def test_doctor_says_that_a_folder_cannot_be_written():
    done = subprocess.run(
        [sys.executable, "-m", "bilevel", "doctor", "--json"], cwd="/proc", capture_output=True, text=True, timeout=120
    )  # fmt: skip
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 4 and findings["run folder"]["found"].startswith("nothing can be written here")
