"""The environment of a run is an allow-list."""

from pathlib import Path

import pytest

from bilevel.errors import InputError
from bilevel.execution.environment import allowed, without_secrets

SCRATCH = Path("/scratch")
HOST = {"PATH": "/bin", "HOME": "/home/someone", "DATA_DIR": "/data", "SERVICE_API_KEY": "s3cret", "PYTHONPATH": "/x"}


def test_only_the_listed_names_reach_the_run():
    assert allowed(["DATA_DIR", "ABSENT"], {"MODE": "fast"}, scratch=SCRATCH, threads=2, host=HOST) == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "HOME": "/scratch",
        "TMPDIR": "/scratch",
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATA_DIR": "/data",
        "MODE": "fast",
    }


def test_the_choice_of_gpus_is_passed_and_set_values_win():
    host = HOST | {"CUDA_VISIBLE_DEVICES": "1"}
    assert allowed(scratch=SCRATCH, host=host)["CUDA_VISIBLE_DEVICES"] == "1"
    env = allowed(["DATA_DIR"], {"DATA_DIR": "/other", "PYTHONHASHSEED": "7"}, scratch=SCRATCH, host=host)
    assert (env["DATA_DIR"], env["PYTHONHASHSEED"]) == ("/other", "7")


def test_the_real_environment_is_the_default_host(monkeypatch):
    monkeypatch.setenv("SOME_PATH", "/some")
    monkeypatch.setenv("OTHER_API_KEY", "s3cret")
    env = allowed(["SOME_PATH"], scratch=SCRATCH)
    assert env["SOME_PATH"] == "/some"
    assert "s3cret" not in env.values()


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_API_KEY",
        "APIKEY",
        "HF_TOKEN",
        "hf_token",
        "CLIENT_SECRET",
        "DB_PASSWORD",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AWS_ACCESS_KEY_ID",
        "TOKEN",
    ],
)
def test_a_secret_is_refused_even_if_listed(name):
    for options in ({"pass_names": [name]}, {"set_values": {name: "x"}}):
        with pytest.raises(InputError, match=name):
            allowed(**options, scratch=SCRATCH, host={})


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "KEYBOARD", "MONKEY_DIR"])
def test_names_that_only_resemble_secrets_pass(name):
    assert allowed([name], scratch=SCRATCH, host={name: "1"})[name] == "1"


def test_a_password_in_a_url_is_refused():
    with pytest.raises(InputError, match="HTTPS_PROXY") as caught:
        allowed(["HTTPS_PROXY"], scratch=SCRATCH, host={"HTTPS_PROXY": "http://me:hunter2@proxy:80"})
    assert "hunter2" not in str(caught.value)
    assert allowed(["HTTPS_PROXY"], scratch=SCRATCH, host={"HTTPS_PROXY": "http://proxy:80"})["HTTPS_PROXY"]


@pytest.mark.parametrize(
    "options", [{"set_values": {"": "x"}}, {"set_values": {"A=B": "x"}}, {"threads": 0}, {"set_values": {"A": "x\0y"}}]
)
def test_what_cannot_be_an_environment_is_refused(options):
    with pytest.raises(InputError):
        allowed(**options, scratch=SCRATCH, host={})


def test_a_secret_that_is_named_twice_is_passed():
    host = {"HUB_TOKEN": "t0ken", "HTTPS_PROXY": "http://me:hunter2@proxy:80"}
    env = allowed(list(host), scratch=SCRATCH, host=host, secret_ok=list(host))
    assert {name: env[name] for name in host} == host
    with pytest.raises(InputError, match="env_secret_ok"):
        allowed(["HUB_TOKEN"], scratch=SCRATCH, host=host, secret_ok=["HTTPS_PROXY"])


def test_the_values_of_secrets_are_replaced_by_their_names():
    values = {"A_TOKEN": "abcd", "B_TOKEN": "abcdef", "C_TOKEN": "x"}
    assert without_secrets("x abcd abcdef x", values) == "x [A_TOKEN] [B_TOKEN] x"
