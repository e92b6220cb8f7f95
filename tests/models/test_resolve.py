"""Names of models, and what is said of names that are not known."""

import pytest

import podium.models
from podium.core.errors import ConfigurationError
from podium.models import OfflineModel, OpenAIModel, resolve


def test_known_names_become_models_without_a_key_or_a_network(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert isinstance(resolve("offline"), OfflineModel)
    model = resolve("openai:qwen3:8b", base_url="http://localhost:11434/v1")
    assert isinstance(model, OpenAIModel)
    assert model.name == "openai:qwen3:8b"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody:x", r'unknown provider .nobody.*"offline", "anthropic:NAME"'),
        ("gpt-5.4", "openai:gpt-5.4"),
        ("openai:", "names a provider but no model"),
        ("openai", "names a provider but no model"),
        ("vllm:qwen3", r"openai:qwen3 with base_url=http://localhost:8000/v1"),
        ("claude:opus", "did you mean anthropic:opus"),
        ("claude-sonnet-5-5", "anthropic:claude-sonnet-5-5"),
        ("", "unknown model"),
        ("offline:x", "unknown provider"),
    ],
)
def test_other_names_are_refused_with_what_to_write_instead(name, says):
    with pytest.raises(ConfigurationError, match=says):
        resolve(name)


def test_the_offline_model_takes_no_server():
    with pytest.raises(ConfigurationError, match="base_url"):
        resolve("offline", base_url="http://localhost:1/v1")


def test_the_package_shows_its_names_and_has_no_others():
    assert dir(podium.models) == [
        "AzureOpenAIModel",
        "ClaudeModel",
        "FallbackModel",
        "GeminiModel",
        "OfflineModel",
        "OllamaModel",
        "OpenAIModel",
        "OpenAIResponsesModel",
        "ScriptedModel",
        "VertexModel",
        "resolve",
    ]
    assert all(callable(getattr(podium.models, name)) for name in dir(podium.models))
    with pytest.raises(AttributeError):
        podium.models.MistralModel  # noqa: B018 - the access is the test


def test_the_models_take_the_names_that_people_look_for():
    claude = podium.ClaudeModel(api_key="k", model="claude-sonnet-5-5")
    gemini = podium.GeminiModel(api_key="k", model="gemini-3.8-flash")
    ollama = podium.OllamaModel(model_name="qwen3", host="http://localhost:11434")
    assert [model.name for model in (claude, gemini, ollama)] == [
        "anthropic:claude-sonnet-5-5",
        "gemini:gemini-3.8-flash",
        "ollama:qwen3",
    ]
