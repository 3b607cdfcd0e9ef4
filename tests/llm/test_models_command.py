"""`bilevel models`: the list of providers, and one question to a model."""

import json

import pytest

pytest.importorskip("pydantic_ai")

from asking import SECRET
from wires import ERRORS, TOKENS_IN, TOKENS_OUT

from bilevel.cli.models import print_models
from bilevel.llm.directory import all_providers


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No key of the machine, no `.env` of the repository, a fixed width."""
    for provider in all_providers():
        for variable in (*provider.keys, *provider.urls):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def test_the_list_names_every_provider_and_where_its_key_is(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    (tmp_path / ".env").write_text(f"DEEPSEEK_API_KEY={SECRET}\n")
    assert print_models(None, as_json=False) == 0
    text = capsys.readouterr().out
    assert "found: OPENAI_API_KEY (environment)" in text
    assert "found: DEEPSEEK_API_KEY (.env)" in text
    assert "missing: ANTHROPIC_API_KEY" in text
    assert "genai-prices" in text
    assert all(provider.name in text for provider in all_providers())
    assert SECRET not in text


def test_the_list_as_json(capsys, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    assert print_models(None, as_json=True) == 0
    text = capsys.readouterr().out
    listed = {item["name"]: item for item in json.loads(text)["providers"]}
    assert (listed["anthropic"]["found"], listed["anthropic"]["source"]) == ("ANTHROPIC_API_KEY", "environment")
    assert listed["ollama"]["base_url"] == "http://127.0.0.1:11434/v1"
    assert SECRET not in text


def test_a_model_that_answers(capsys, monkeypatch, serve):
    server = serve("deepseek", ["ok"])
    monkeypatch.setenv("DEEPSEEK_API_KEY", SECRET)
    monkeypatch.setenv("DEEPSEEK_BASE_URL", server.url)
    assert print_models("deepseek:deepseek-chat", as_json=True) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["tokens_in"], result["tokens_out"], result["error"]) == (TOKENS_IN, TOKENS_OUT, "")
    assert result["money"] > 0
    assert server.requests[0].body["max_tokens"] <= 16
    assert print_models("deepseek:deepseek-chat", as_json=False) == 0
    assert f"{TOKENS_IN} tokens in, {TOKENS_OUT} out; 0.00" in capsys.readouterr().out


def test_a_local_model_that_answers_has_no_price(capsys, monkeypatch, serve):
    monkeypatch.setenv("OLLAMA_BASE_URL", serve("compatible", ["ok"]).url)
    assert print_models("ollama:llama3.2", as_json=False) == 0
    assert "price unknown" in capsys.readouterr().out


def test_a_key_that_is_refused(capsys, monkeypatch, serve):
    server = serve("openai", [ERRORS["openai"]["key"]])
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert print_models("openai:gpt-4o-mini", as_json=False) == 4
    text = capsys.readouterr().out
    assert "failed openai:gpt-4o-mini" in text
    assert "OPENAI_API_KEY" in text
    assert SECRET not in text


@pytest.mark.parametrize("name", ["openai:gpt-5", "nonsense", "nobody:model"])
def test_a_model_that_cannot_be_asked_at_all(capsys, name):
    assert print_models(name, as_json=True) == 4
    assert json.loads(capsys.readouterr().out)["error"]
