"""A chain of models: who answers, and what is not gone around."""

import pytest

pytest.importorskip("pydantic_ai")

from asking import QUESTION, SECRET
from wires import ERRORS

from bilevel.call import LanguageModel, Watch
from bilevel.errors import ContextOverflow, InputError, ModelUnavailable
from bilevel.llm import Fallback, Keys, ModelOptions, connect

FAST = ModelOptions(backoff=0, attempts=2)


@pytest.fixture
def chain(serve):
    """Two servers behind one chain: the first and the second model's scripts."""

    def make(first, second=("from the second",)):
        one, two = serve("deepseek", first), serve("compatible", second)
        found = {"DEEPSEEK_API_KEY": SECRET, "DEEPSEEK_BASE_URL": one.url, "VLLM_BASE_URL": two.url}
        return connect("deepseek:deepseek-chat, vllm:qwen", FAST, Keys(found)), one, two

    return make


def ask(model):
    notes = []
    reply = model.complete(QUESTION, 1, Watch(note=lambda kind, text: notes.append((kind, text))))
    return reply, notes


def test_a_chain_is_a_model_with_both_names(chain):
    model, _, _ = chain(["ok"])
    assert isinstance(model, LanguageModel)
    assert isinstance(model, Fallback)
    assert model.name == "deepseek:deepseek-chat,vllm:qwen"


def test_the_first_answers_where_it_can(chain):
    model, _, two = chain(["from the first"])
    assert ask(model)[0].text == "from the first"
    assert not two.requests


def test_the_second_answers_where_the_first_is_unavailable_and_the_reply_says_so(chain):
    model, one, _ = chain([ERRORS["deepseek"]["broken"]])
    reply, notes = ask(model)
    assert reply.text == "from the second"
    assert reply.model.startswith("vllm:")
    assert [kind for kind, _ in notes] == ["retry", "fallback"]
    assert "asking vllm:qwen" in notes[1][1]
    assert len(one.requests) == 2


def test_every_question_starts_with_the_first_again(chain):
    broken = ERRORS["deepseek"]["broken"]
    model, _, _ = chain([broken, broken, "back again"])
    assert ask(model)[0].text == "from the second"
    assert ask(model)[0].text == "back again"


@pytest.mark.parametrize(("kind", "error"), [("key", InputError), ("money", InputError), ("context", ContextOverflow)])
def test_what_is_no_outage_is_not_gone_around(chain, kind, error):
    model, _, two = chain([ERRORS["deepseek"][kind]])
    with pytest.raises(error):
        ask(model)
    assert not two.requests


def test_a_chain_of_which_none_answers_is_unavailable_and_says_why_for_each(chain):
    model, _, _ = chain([ERRORS["deepseek"]["broken"]], [ERRORS["compatible"]["broken"]])
    with pytest.raises(ModelUnavailable, match="none of the models") as caught:
        ask(model)
    assert "Service is too busy" in str(caught.value)
    assert "Loading model" in str(caught.value)


def test_a_missing_key_anywhere_in_the_chain_is_told_before_anything_is_asked():
    with pytest.raises(InputError, match="DEEPSEEK_API_KEY"):
        connect("ollama:qwen,deepseek:deepseek-chat", keys=Keys())


def test_one_address_does_not_fit_a_chain():
    with pytest.raises(InputError, match="base_url"):
        connect("ollama:a,vllm:b", ModelOptions(base_url="http://127.0.0.1:9/v1"), Keys())
