"""Azure OpenAI: addresses, credentials and content filters. Its addressing is that of the official SDK."""

import asyncio
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    ContentFiltered,
    ModelError,
    Overloaded,
)
from podium.core.messages import ModelRequest, Settings, Thinking, assistant, system, user
from podium.models import resolve
from podium.models.azure import AzureOpenAIModel
from podium.models.transport import HttpTransport

FIXTURES = Path(__file__).parent / "fixtures"
CHAT = (FIXTURES / "openai-chat/azure.json").read_bytes()
RESPONSES = (FIXTURES / "openai-responses/azure.json").read_bytes()
HOST = "https://res.openai.azure.com"
KEY = "azure-key-0123456789"
ASK = ModelRequest([user("hi")])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("API_KEY", "API_KEY_FILE", "AD_TOKEN", "AD_TOKEN_FILE", "ENDPOINT"):
        monkeypatch.delenv(f"AZURE_OPENAI_{name}", raising=False)
    monkeypatch.delenv("OPENAI_API_VERSION", raising=False)
    # Whatever is installed on this machine: these tests bring their own.
    monkeypatch.setitem(sys.modules, "azure.identity", None)


class Azure:
    """A transport that answers like Azure, and remembers what it was asked."""

    def __init__(self, status: int = 200, body: bytes | None = None) -> None:
        self.requests: list[httpx2.Request] = []
        self.status = status
        self.body = body
        self.mock = httpx2.MockTransport(self.answer)
        self.transport = HttpTransport(mock=self.mock)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        body = self.body or (RESPONSES if request.url.path.endswith("/responses") else CHAT)
        return httpx2.Response(self.status, content=body, headers={"content-type": "application/json"})

    async def seen(self, request: ModelRequest = ASK, *, deployment: str = "chat-1", **more: Any) -> httpx2.Request:
        """What a model with these options sends."""
        options: dict[str, Any] = {"endpoint": HOST, "api_key": KEY, **more}
        model = AzureOpenAIModel(deployment, transport=self.transport, **options)
        await model.request(request)
        await self.transport.aclose()
        return self.requests[-1]


# -------------------------------------------------------------------------------------------------------- addresses

V1 = f"{HOST}/openai/v1/chat/completions"
DATED = f"{HOST}/openai/deployments/chat-1/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, V1),
        ({"endpoint": f"{HOST}/"}, V1),
        ({"endpoint": f"{HOST}/openai"}, V1),
        ({"endpoint": f"{HOST}/openai/v1/"}, V1),
        ({"endpoint": V1}, V1),
        ({"endpoint": None, "base_url": HOST}, V1),
        ({"api_version": "v1"}, V1),
        ({"api_version": "preview"}, f"{V1}?api-version=preview"),
        ({"api_version": "2024-10-21"}, DATED),
        ({"endpoint": f"{HOST}/openai/deployments/chat-1"}, V1),
        ({"endpoint": DATED}, DATED),
        ({"endpoint": DATED, "api_version": "2025-01-01"}, DATED.replace("2024-10-21", "2025-01-01")),
        (
            {"endpoint": "https://gate.example/team/a?tenant=x"},
            "https://gate.example/team/a/openai/v1/chat/completions?tenant=x",
        ),
        ({"endpoint": "https://gate.example/my-openai"}, "https://gate.example/my-openai/openai/v1/chat/completions"),
        (
            {"endpoint": "https://r.services.ai.azure.com/api/projects/p"},
            "https://r.services.ai.azure.com/api/projects/p/openai/v1/chat/completions",
        ),
        ({"api": "responses"}, f"{HOST}/openai/v1/responses"),
        ({"api": "responses", "api_version": "2025-04-01"}, f"{HOST}/openai/responses?api-version=2025-04-01"),
    ],
)
async def test_an_endpoint_and_an_api_version_make_the_address(options, url):
    seen = await Azure().seen(**options)
    assert str(seen.url) == url
    assert json.loads(seen.content)["model"] == "chat-1"


async def test_endpoint_and_version_come_from_the_environment_unless_they_are_given(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://other.openai.azure.com")
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    azure = Azure()
    assert str((await azure.seen(endpoint=None)).url) == DATED.replace("res.", "other.")
    assert str((await azure.seen()).url) == DATED
    assert str((await azure.seen(endpoint=f"{HOST}/openai/v1")).url) == V1
    assert str((await azure.seen(api_version="v1")).url) == V1


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("version", ["2024-10-21", "2025-03-01-preview"])
@pytest.mark.parametrize("deployment", ["chat-1", "gpt 4/o"])
async def test_the_dated_surface_is_asked_as_the_sdk_asks_it(api, version, deployment):
    azure = Azure()
    theirs = AsyncAzureOpenAI(
        azure_endpoint=HOST,
        api_version=version,
        api_key=KEY,
        http_client=httpx2.AsyncClient(transport=azure.mock),
        max_retries=0,
    )
    if api == "chat":
        await theirs.chat.completions.create(model=deployment, messages=[{"role": "user", "content": "hi"}])
    else:
        content = [{"type": "input_text", "text": "hi"}]
        await theirs.responses.create(
            model=deployment,
            input=[{"type": "message", "role": "user", "content": content}],  # type: ignore[arg-type,list-item]
            store=False,
            include=["reasoning.encrypted_content"],
        )
    await theirs.close()
    await azure.seen(api=api, api_version=version, deployment=deployment)
    same_request(*azure.requests)


async def test_the_v1_surface_is_asked_as_the_sdk_asks_it():
    azure = Azure()
    theirs = AsyncOpenAI(
        base_url=f"{HOST}/openai/v1",
        api_key="token",
        http_client=httpx2.AsyncClient(transport=azure.mock),
        max_retries=0,
    )
    await theirs.chat.completions.create(model="chat-1", messages=[{"role": "user", "content": "hi"}])
    await theirs.close()
    await azure.seen(api_key=None, credential=lambda: "token")
    same_request(*azure.requests)


async def test_a_token_is_sent_as_the_sdk_sends_it():
    azure = Azure()
    theirs = AsyncAzureOpenAI(
        azure_endpoint=HOST,
        api_version="2024-10-21",
        azure_ad_token_provider=lambda: "token",
        http_client=httpx2.AsyncClient(transport=azure.mock),
        max_retries=0,
    )
    await theirs.chat.completions.create(model="chat-1", messages=[{"role": "user", "content": "hi"}])
    await theirs.close()
    await azure.seen(api_key=None, credential=lambda: "token", api_version="2024-10-21")
    same_request(*azure.requests)


def same_request(theirs: httpx2.Request, ours: httpx2.Request) -> None:
    assert (ours.method, str(ours.url)) == (theirs.method, str(theirs.url))
    assert json.loads(ours.content) == json.loads(theirs.content)
    for name in ("api-key", "authorization", "content-type"):
        assert ours.headers.get(name) == theirs.headers.get(name)


async def test_both_wires_give_the_reply_with_the_model_that_answered():
    for api in ("chat", "responses"):
        azure = Azure()
        model = AzureOpenAIModel("chat-1", endpoint=HOST, api_key=KEY, api=api, transport=azure.transport)
        reply = await model.request(ASK)
        assert model.name == "azure:chat-1"
        assert (reply.message.text, (reply.model or "").startswith("gpt-5.4-mini")) == ("Hello from Azure.", True)


async def test_the_listing_of_models_proves_the_credentials():
    azure = Azure()
    model = AzureOpenAIModel("chat-1", endpoint=HOST, api_key=KEY, transport=azure.transport)
    assert "HTTP 200" in await model.check()
    assert str(azure.requests[0].url) == f"{HOST}/openai/v1/models"
    assert azure.requests[0].headers["api-key"] == KEY


def test_the_model_is_found_by_name():
    model = resolve("azure:chat-1", base_url=HOST, api_key=KEY)
    assert isinstance(model, AzureOpenAIModel)
    assert repr(model) == f"AzureOpenAIModel('chat-1', endpoint='{HOST}')"


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"endpoint": "res.openai.azure.com"}, "https://"),
        ({"endpoint": HOST, "base_url": HOST}, "one of them"),
        ({"endpoint": HOST, "api_key": KEY, "credential": lambda: "t"}, "one of them"),
        ({"endpoint": HOST, "api": "assistants"}, "'chat' or 'responses'"),
        ({"endpoint": f"{HOST}/openai/deployments/other/chat/completions"}, "azure:other"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(options, remedy):
    with pytest.raises(ConfigurationError, match=remedy):
        AzureOpenAIModel("chat-1", **options)


async def test_without_an_endpoint_the_error_says_how_to_give_one():
    with pytest.raises(BadRequest, match="AZURE_OPENAI_ENDPOINT"):
        await AzureOpenAIModel("chat-1", api_key=KEY).request(ASK)


# ------------------------------------------------------------------------------------------------------------- body


async def body_of(**options) -> dict:
    return json.loads((await Azure().seen(ModelRequest([system("s"), user("x")]), **options)).content)


async def test_the_cache_key_is_sent_to_the_v1_surface_unless_it_is_told_not_to_be():
    assert "prompt_cache_key" in await body_of()
    assert "prompt_cache_key" in await body_of(api="responses")
    assert "prompt_cache_key" not in await body_of(api_version="2024-10-21")
    assert "prompt_cache_key" not in await body_of(cache_key=False)
    assert "prompt_cache_key" in await body_of(api_version="2025-04-01", cache_key=True)


async def test_the_options_of_both_wires_reach_the_body():
    limit = ModelRequest([user("x")], settings=Settings(max_output_tokens=5))
    assert json.loads((await Azure().seen(limit)).content)["max_completion_tokens"] == 5
    assert json.loads((await Azure().seen(limit, max_tokens_field="max_tokens")).content)["max_tokens"] == 5
    body = await body_of(api="responses", store=True, encrypted_reasoning=False, reasoning_summary="auto")
    assert (body["store"], body["reasoning"]) == (True, {"summary": "auto"})
    assert "include" not in body


async def test_reasoning_of_azure_goes_back_to_azure_and_that_of_openai_does_not():
    signature = '{"id":"rs_1","encrypted_content":"x","pieces":[]}'
    kinds = []
    for provider in ("azure", "openai-responses"):
        request = ModelRequest([user("x"), assistant(Thinking("", signature, provider), "ok"), user("y")])
        body = json.loads((await Azure().seen(request, api="responses")).content)
        kinds.append([item["type"] for item in body["input"]])
    assert kinds == [["message", "reasoning", "message", "message"], ["message", "message", "message"]]


# ------------------------------------------------------------------------------------------------------ credentials


class Token:
    def __init__(self, token: str, seconds: float) -> None:
        self.token = token
        self.expires_on = int(time.time() + seconds)


class Credential:
    """As `azure-identity` has them; sync."""

    def __init__(self, seconds: float = 3600) -> None:
        self.seconds = seconds
        self.asked: list[tuple[str, ...]] = []
        self.closed = False

    def get_token(self, *scopes: str) -> Token:
        self.asked.append(scopes)
        return Token(f"token-{len(self.asked)}", self.seconds)

    def close(self) -> None:
        self.closed = True


class AsyncCredential(Credential):
    async def get_token(self, *scopes: str) -> Token:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().get_token(*scopes)


async def async_text() -> str:
    await asyncio.sleep(0)
    return "token-1"


@pytest.mark.parametrize(
    "credential",
    [
        Credential(),
        AsyncCredential(),
        lambda: "token-1",
        lambda: Token("token-1\n", 3600),
        async_text,
        lambda: async_text(),
    ],
)
async def test_a_credential_may_be_an_object_or_a_function_sync_or_not(credential):
    seen = await Azure().seen(api_key=None, credential=credential)
    assert seen.headers["authorization"] == "Bearer token-1"
    assert "api-key" not in seen.headers


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"AZURE_OPENAI_API_KEY": "k"}, ("api-key", "k")),
        ({"AZURE_OPENAI_AD_TOKEN": "t"}, ("authorization", "Bearer t")),
        ({"AZURE_OPENAI_AD_TOKEN": "t", "AZURE_OPENAI_API_KEY": "k"}, ("authorization", "Bearer t")),
    ],
)
async def test_credentials_come_from_the_environment_as_the_sdk_reads_it(monkeypatch, environment, header):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    theirs = AsyncAzureOpenAI(azure_endpoint=HOST, api_version="v1", http_client=httpx2.AsyncClient())
    name, value = header
    assert theirs._auth_headers({"bearer_auth": True}) == {name.replace("auth", "Auth"): value}
    await theirs.close()
    seen = await Azure().seen(api_key=None)
    assert seen.headers[name] == value
    assert len({"api-key", "authorization"} & set(seen.headers)) == 1


async def test_a_key_may_be_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from-file\n", "utf-8")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    assert (await Azure().seen(api_key=None)).headers["api-key"] == "from-file"


async def test_a_given_credential_goes_before_the_environment_and_a_header_before_all(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "t")
    assert (await Azure().seen()).headers["api-key"] == KEY
    assert (await Azure().seen(api_key=None, credential=lambda: "c")).headers["authorization"] == "Bearer c"
    seen = await Azure().seen(api_key=None, headers={"Api-Key": "h"})
    assert (seen.headers["api-key"], "authorization" in seen.headers) == ("h", False)


async def test_nothing_secret_of_the_environment_is_sent_in_the_clear_to_another_machine(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    azure = Azure()
    with pytest.raises(AuthenticationFailed, match="https"):
        await azure.seen(api_key=None, endpoint="http://gate.example")
    with pytest.raises(AuthenticationFailed, match="https"):
        await azure.seen(api_key=None, endpoint="http://gate.example", credential=lambda: "t")
    assert not azure.requests


async def test_a_server_on_loopback_needs_no_credentials():
    seen = await Azure().seen(api_key=None, endpoint="http://127.0.0.1:4010")
    assert not {"api-key", "authorization"} & set(seen.headers)


async def test_a_token_is_asked_for_once_until_shortly_before_it_ends():
    azure, lasting, ending = Azure(), Credential(3600), Credential(-1)
    for credential in (lasting, ending):
        model = AzureOpenAIModel("m", endpoint=HOST, credential=credential, transport=azure.transport)
        for _ in range(3):
            await model.request(ASK)
    assert len(lasting.asked) == 1
    assert len(ending.asked) == 3
    assert lasting.asked[0] == ("https://cognitiveservices.azure.com/.default",)


async def test_requests_at_the_same_time_share_one_token_and_one_that_is_cancelled_does_not_spoil_it():
    azure, going, begun, asked = Azure(), asyncio.Event(), asyncio.Event(), []

    async def slow() -> Token:
        asked.append(1)
        begun.set()
        await going.wait()
        return Token("shared", 3600)

    model = AzureOpenAIModel("m", endpoint=HOST, credential=slow, transport=azure.transport)
    tasks = [asyncio.create_task(model.request(ASK)) for _ in range(5)]
    await begun.wait()
    tasks[0].cancel()
    await asyncio.sleep(0)
    going.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert [request.headers["authorization"] for request in azure.requests] == ["Bearer shared"] * 4
    assert len(asked) == 1


def test_a_model_goes_on_in_another_event_loop():
    azure, credential = Azure(), Credential(-1)
    model = AzureOpenAIModel("m", endpoint=HOST, credential=credential, transport=azure.transport)
    for _ in range(2):
        asyncio.run(model.request(ASK))
    assert len(credential.asked) == 2


class ServiceRequestError(Exception):
    """Named like the one of azure-core."""


@pytest.mark.parametrize(
    ("credential", "kind", "remedy"),
    [
        (lambda: "", AuthenticationFailed, "gave no token"),
        (lambda: None, AuthenticationFailed, "gave no token"),
        (lambda: "a\nb", BadRequest, "line ends"),
        (lambda: 1 / 0, AuthenticationFailed, r"az login.*AZURE_OPENAI_API_KEY"),
    ],
)
async def test_a_credential_that_gives_nothing_usable_says_so(credential, kind, remedy):
    with pytest.raises(kind, match=remedy):
        await Azure().seen(api_key=None, credential=credential)


async def test_a_token_service_that_cannot_be_reached_may_be_tried_again():
    def offline() -> str:
        raise ServiceRequestError("no route to host")

    with pytest.raises(Overloaded, match="no route"):
        await Azure().seen(api_key=None, credential=offline)


async def test_without_anything_the_missing_extra_is_named():
    with pytest.raises(AuthenticationFailed, match=r'AZURE_OPENAI_API_KEY.*pip install "podium\[azure\]"'):
        await Azure().seen(api_key=None)


async def test_without_a_key_the_identity_of_the_machine_is_used_and_closed_in_the_end(monkeypatch):
    made: list[Credential] = []
    identity = types.ModuleType("azure.identity")

    def default() -> Credential:
        made.append(Credential())
        return made[-1]

    identity.DefaultAzureCredential = default  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure", types.ModuleType("azure"))
    monkeypatch.setitem(sys.modules, "azure.identity", identity)
    azure = Azure()
    model = AzureOpenAIModel(
        "m", endpoint=HOST, transport=azure.transport, scope="https://cognitiveservices.azure.us/.default"
    )
    assert not made
    for _ in range(2):
        await model.request(ASK)
    await model.aclose()
    (credential,) = made
    assert azure.requests[0].headers["authorization"] == "Bearer token-1"
    assert credential.asked == [("https://cognitiveservices.azure.us/.default",)]
    assert credential.closed


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_no_credential_appears_in_an_error(status):
    options: dict[str, Any]
    for options in ({"api_key": KEY}, {"api_key": None, "credential": lambda: KEY}):
        body = json.dumps({"error": {"message": f"you sent {KEY}"}}).encode()
        with pytest.raises(ModelError) as caught:
            await Azure(status, body).seen(**options)
        assert KEY not in str(caught.value) + repr(caught.value.data)


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "status", "kind", "remedy"),
    [
        ("error-400-azure-filter", 400, ContentFiltered, "Filtered: hate, jailbreak"),
        ("error-401-azure", 401, AuthenticationFailed, "AZURE_OPENAI_API_KEY"),
        ("error-404-azure", 404, BadRequest, "deployment"),
        ("error-400-cache-key", 400, BadRequest, "cache_key=False"),
    ],
)
async def test_a_refusal_of_azure_says_what_to_do(name, status, kind, remedy):
    with pytest.raises(kind, match=remedy):
        await Azure(status, (FIXTURES / f"openai-chat/{name}.json").read_bytes()).seen()


@pytest.mark.parametrize("name", ["bad-azure-withheld.json", "bad-azure-withheld.sse"])
async def test_an_answer_that_azure_withheld_names_the_filter(name):
    with pytest.raises(ContentFiltered, match="Filtered: violence") as caught:
        await Azure(body=(FIXTURES / f"openai-chat/{name}").read_bytes()).seen()
    assert caught.value.data["filters"] == ["violence"]
