"""Names, options and addresses: what is wrong is said before anything is asked."""

import subprocess
import sys

import pytest

pytest.importorskip("pydantic_ai")

from asking import QUESTION, SECRET
from servers import ScriptedServer
from wires import answer

from bilevel.call import LanguageModel, Watch
from bilevel.errors import InputError, MissingExtra
from bilevel.llm import Keys, ModelOptions, Prices, connect, options_from, providers
from bilevel.llm.building import exists
from bilevel.llm.directory import ALIASES, all_providers

LOCAL = ("ollama", "vllm", "llamacpp", "compatible")


@pytest.mark.parametrize("name", ["", "gpt-5", "openai:", ":gpt-5", "openai:gpt-5,", "  "])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(InputError, match="provider:model"):
        connect(name, keys=Keys({"OPENAI_API_KEY": SECRET}))


def test_a_provider_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"did you mean 'openai'") as caught:
        connect("opnai:gpt-5", keys=Keys())
    assert "deepseek" in str(caught.value)
    assert "compatible:MODEL" in str(caught.value)


@pytest.mark.parametrize("provider", [p.name for p in all_providers() if p.first_class and not p.local])
def test_a_missing_key_is_told_with_its_variable_and_the_file(provider):
    with pytest.raises(InputError, match=r"\.env") as caught:
        connect(f"{provider}:some-model", keys=Keys())
    listed = next(p for p in all_providers() if p.name == provider)
    assert all(variable in str(caught.value) for variable in listed.keys)


def test_a_key_that_cannot_be_one_is_refused_without_showing_it():
    with pytest.raises(InputError, match="cannot be a key") as caught:
        connect("openai:gpt-5", keys=Keys({"OPENAI_API_KEY": "sk-abcdef ghijkl"}))
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize("provider", LOCAL)
def test_local_servers_need_no_key(serve, provider):
    server: ScriptedServer = serve("compatible")
    variable = "OPENAI_COMPATIBLE_BASE_URL" if provider == "compatible" else f"{provider.upper()}_BASE_URL"
    model = connect(f"{provider}:some-model", ModelOptions(), Keys({variable: server.url}))
    reply = model.complete(QUESTION, 1, Watch())
    assert reply.text == "ok"
    assert reply.model.startswith(f"{provider}:")
    assert reply.money is None
    body = server.requests[0].body
    assert (body["model"], body["max_tokens"], body["seed"]) == ("some-model", 300, 1)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize("provider", LOCAL)
def test_local_servers_enforce_a_schema(serve, provider):
    server: ScriptedServer = serve("compatible", ["{}"])
    model = connect(f"{provider}:some-model", ModelOptions(base_url=server.url), Keys())
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    request = type(QUESTION)(QUESTION.messages, schema)
    model.complete(request, 1, Watch())
    sent = server.requests[0].body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"]["properties"]["a"]["type"] == "integer"


def test_a_compatible_server_needs_an_address():
    with pytest.raises(InputError, match="OPENAI_COMPATIBLE_BASE_URL"):
        connect("compatible:m", keys=Keys())


@pytest.mark.parametrize(
    "url", ["ftp://user:hunter2@host/v1", "http://", "host:8000/v1", "http://[::1", "http://h:x/v1"]
)
def test_an_address_must_be_one_and_shows_no_password(url):
    with pytest.raises(InputError, match="http://HOST:PORT/v1") as caught:
        connect("compatible:m", ModelOptions(base_url=url), Keys())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("provider", [p.name for p in all_providers() if p.first_class])
def test_every_first_class_address_can_be_set_by_its_variable(provider):
    listed = next(p for p in all_providers() if p.name == provider)
    keys = Keys({listed.urls[0]: "http://127.0.0.1:9/x", **dict.fromkeys(listed.keys, SECRET)})
    assert connect(f"{provider}:m", keys=keys).base_url == "http://127.0.0.1:9/x"
    chosen = ModelOptions(base_url="http://127.0.0.1:9/y")
    assert connect(f"{provider}:m", chosen, keys).base_url == "http://127.0.0.1:9/y"


def test_glm_and_minimax_follow_the_key_or_the_region():
    def url(name, **values):
        return connect(name, keys=Keys(values)).base_url

    assert "api.z.ai" in url("glm:glm-4.6", ZAI_API_KEY=SECRET)
    assert "bigmodel.cn" in url("zai:glm-4.6", ZHIPUAI_API_KEY=SECRET)
    assert "minimax.io" in url("minimax:MiniMax-M2", MINIMAX_API_KEY=SECRET)
    assert "minimaxi.com" in url("minimax:MiniMax-M2", MINIMAX_API_KEY=SECRET, MINIMAX_REGION="china")
    with pytest.raises(InputError, match="MINIMAX_REGION must be global or china"):
        url("minimax:MiniMax-M2", MINIMAX_API_KEY=SECRET, MINIMAX_REGION="mars")


def test_what_connect_gives_is_a_language_model_with_its_name():
    model = connect(" DeepSeek:deepseek-chat ", keys=Keys({"DEEPSEEK_API_KEY": SECRET}))
    assert isinstance(model, LanguageModel)
    assert model.name == "deepseek:deepseek-chat"
    assert SECRET not in repr(model)


@pytest.mark.parametrize("provider", [p.name for p in all_providers()])
def test_every_listed_provider_is_one_that_can_be_made(provider):
    ours = {"glm", "minimax", "compatible", "llamacpp"}
    assert provider in ours or exists(provider)
    assert all(name in {p.name for p in all_providers()} for name in ALIASES.values())


def test_another_provider_of_pydantic_ai_gets_the_key_that_was_found(serve):
    server: ScriptedServer = serve("compatible", ["hello"])
    keys = Keys({}, {"MOONSHOTAI_API_KEY": SECRET})
    model = connect("moonshotai:kimi-k2", ModelOptions(base_url=server.url), keys)
    assert model.complete(QUESTION, 1, Watch()).text == "hello"
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_another_provider_without_its_package_or_credentials_says_so(monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    with pytest.raises(InputError, match="cannot be set up"):
        connect("openrouter:x/y", keys=Keys()).complete(QUESTION, 1, Watch())
    with pytest.raises(InputError, match=r"pydantic-ai-slim\[bedrock\]"):
        connect("bedrock:some-model", keys=Keys({"AWS_BEARER_TOKEN_BEDROCK": SECRET})).complete(QUESTION, 1, Watch())


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("anthropic", "anthropic:claude", "anthropic"),
        pytest.param("google.genai", "google:gemini", "google", marks=pytest.mark.slow),
        pytest.param("openai", "glm:glm-4.6", "llm", marks=pytest.mark.slow),
    ],
)
def test_without_a_providers_package_its_extra_is_named(package, name, extra):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from bilevel.call import Message, Request, Watch\n"
        "from bilevel.errors import MissingExtra\n"
        "from bilevel.llm import Keys, connect\n"
        "keys = Keys(dict.fromkeys(['ANTHROPIC_API_KEY', 'GOOGLE_API_KEY', 'ZAI_API_KEY'], 'sk-0123456789'))\n"
        f"model = connect({name!r}, keys=keys)\n"
        "try: model.complete(Request((Message('user', 'x'),)), 1, Watch())\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"bilevel[{extra}]" in done.stdout


def test_without_pydantic_ai_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"bilevel\[llm\]"):
        connect("openai:gpt-5", keys=Keys({"OPENAI_API_KEY": SECRET}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nonsense": 1}, "no such option of a model: 'nonsense'"),
        ({"timeout": 0}, "more than 0"),
        ({"patience": -1}, "'patience'"),
        ({"backoff": float("nan")}, "'backoff'"),
        ({"attempts": 0}, "'attempts'"),
        ({"attempts": True}, "'attempts'"),
        ({"output_mode": "magic"}, "'prompted'"),
        ({"thinking": "hard"}, "'thinking'"),
        ({"prices": {"input_per_million": 1}}, "output_per_million"),
        ({"prices": {"input_per_million": -1, "output_per_million": 1}}, "'prices.input_per_million'"),
        ({"prices": 3}, "'prices'"),
        ({"base_url": 3}, "'base_url'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        options_from(values)


def test_options_are_read_as_a_recipe_writes_them():
    read = options_from({"timeout": 5, "prices": {"output_per_million": 2, "input_per_million": 1}})
    assert read == ModelOptions(timeout=5, prices=Prices(1.0, 2.0))


def test_the_list_says_where_a_key_is_and_never_which():
    keys = Keys({"OPENAI_API_KEY": SECRET}, {"ZHIPUAI_API_KEY": SECRET})
    listed = {info.name: info for info in providers(keys)}
    assert (listed["openai"].found, listed["openai"].source) == ("OPENAI_API_KEY", "environment")
    assert (listed["glm"].found, listed["glm"].source) == ("ZHIPUAI_API_KEY", ".env")
    assert listed["deepseek"].found == ""
    assert not listed["ollama"].needs_key
    assert SECRET not in repr(listed)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("/home/me/models/tiny.gguf", "tiny.gguf"),
        ("C:\\models\\tiny.gguf", "tiny.gguf"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    ],
)
def test_the_path_of_a_local_models_file_is_not_kept(serve, told, kept):
    server: ScriptedServer = serve("compatible", [{"body": answer("compatible", "ok") | {"model": told}}])
    model = connect("llamacpp:tiny", ModelOptions(base_url=server.url), Keys())
    assert model.complete(QUESTION, 1, Watch()).model == f"llamacpp:{kept}"


def test_importing_the_adapter_loads_no_provider():
    code = (
        "import sys, bilevel.llm\n"
        "heavy = ['pydantic_ai', 'pydantic', 'openai', 'anthropic', 'google', 'genai_prices', 'dotenv', 'httpx2']\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
