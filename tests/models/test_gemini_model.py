"""`GeminiModel` and `VertexModel`: addresses, versions, credentials, and a real server on loopback."""

import asyncio
import base64
import json
import sys
import traceback
import warnings
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from podium import Agent, tool
from podium.core.deltas import TextDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    MalformedReply,
    Overloaded,
    PermissionDenied,
    RateLimited,
)
from podium.core.messages import ModelRequest, Settings, user
from podium.models import resolve
from podium.models.gemini import GeminiModel, VertexModel
from podium.models.transport import HttpTransport, forbid_real_calls

from .loopback import Exchange, serving

KEY = "AIzaSy-test-0123456789abcdef"
TOKEN = "ya29.test-0123456789abcdef"
ASK = ModelRequest([user("hi")])
FIXTURES = Path(__file__).parent / "fixtures" / "gemini"
GOOGLE = "https://generativelanguage.googleapis.com"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    names = ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_API_VERSION",
             "GOOGLE_VERTEX_BASE_URL", "GOOGLE_VERTEX_ACCESS_TOKEN", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION",
             "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT", "HTTP_PROXY", "HTTPS_PROXY",
             "ALL_PROXY"]  # fmt: skip
    for name in names:
        for each in (name, f"{name}_FILE", name.lower()):
            monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-login"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def said(text: str, finish: str | None = "STOP") -> dict:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish}
    return {"candidates": [candidate], "modelVersion": "m-1"}


def event(text: str, finish: str | None = None) -> bytes:
    return b"data: " + json.dumps(said(text, finish)).encode() + b"\r\n\r\n"


async def says_hello(exchange: Exchange) -> None:
    await exchange.answer(200, json.dumps(said("hello")).encode(), content_type="application/json")


class Wire:
    """A network that answers every request alike and remembers it."""

    def __init__(self, status: int = 200, body: bytes | None = None) -> None:
        self.seen: list[httpx2.Request] = []
        self._answer = (status, json.dumps(said("hello")).encode() if body is None else body)
        self.transport = HttpTransport(mock=httpx2.MockTransport(self._handle))

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        return httpx2.Response(self._answer[0], content=self._answer[1], headers={"content-type": "application/json"})

    @property
    def url(self) -> str:
        return str(self.seen[-1].url)

    def header(self, name: str) -> str | None:
        return self.seen[-1].headers.get(name)


async def ask(model, *, stream: bool = False):
    try:
        return await model.request(ASK, (lambda delta: None) if stream else None)
    finally:
        await model.aclose()


# ------------------------------------------------------------------------------------------------------------ gemini


async def test_a_request_carries_the_key_and_the_body_and_gives_the_reply():
    async with serving(says_hello) as server:
        model = GeminiModel(
            "gemini-3-flash", base_url=server.url, api_key=KEY + "\n", headers={"X-Team": "blue"}, api_version="v1"
        )
        reply = await model.request(ModelRequest([user("hi")], settings=Settings(max_output_tokens=5)))
        await model.aclose()
    (seen,) = server.exchanges
    assert (model.name, reply.message.text, reply.model) == ("gemini:gemini-3-flash", "hello", "m-1")
    assert seen.path == "/v1/models/gemini-3-flash:generateContent"
    assert (seen.headers["x-goog-api-key"], seen.headers["x-team"]) == (KEY, "blue")
    assert seen.body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 5},
    }


@pytest.mark.parametrize(
    ("model", "options", "environment", "url"),
    [
        ("gemini-3-flash", {}, {}, f"{GOOGLE}/v1/models/gemini-3-flash:generateContent"),
        ("models/gemini-3-flash", {}, {}, f"{GOOGLE}/v1/models/gemini-3-flash:generateContent"),
        ("tunedModels/mine", {}, {}, f"{GOOGLE}/v1/tunedModels/mine:generateContent"),
        ("gemini-flash-latest", {}, {}, f"{GOOGLE}/v1beta/models/gemini-flash-latest:generateContent"),
        ("gemini-flash-latest", {"api_version": "v1"}, {}, f"{GOOGLE}/v1/models/gemini-flash-latest:generateContent"),
        ("g", {}, {"GOOGLE_GENAI_API_VERSION": "beta"}, f"{GOOGLE}/v1beta/models/g:generateContent"),
        ("g", {}, {"GOOGLE_GENAI_API_VERSION": "v1beta1"}, f"{GOOGLE}/v1beta/models/g:generateContent"),
        ("g", {"api_version": "v1"}, {"GOOGLE_GENAI_API_VERSION": "beta"}, f"{GOOGLE}/v1/models/g:generateContent"),
        ("g", {"base_url": "https://h/p/"}, {}, "https://h/p/v1/models/g:generateContent"),
        ("g", {"base_url": "https://h/v1alpha?k=1"}, {}, "https://h/v1alpha/models/g:generateContent?k=1"),
        ("g", {}, {"GOOGLE_GEMINI_BASE_URL": "https://env"}, "https://env/v1/models/g:generateContent"),
        ("g", {"base_url": "https://a"}, {"GOOGLE_GEMINI_BASE_URL": "https://b"}, "https://a/v1/models/g:generateContent"),
    ],
)  # fmt: skip
async def test_where_a_request_goes(model, options, environment, url, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wire = Wire()
    await ask(GeminiModel(model, api_key=KEY, transport=wire.transport, **options))
    assert wire.url == url


async def test_a_stream_is_asked_for_by_its_own_address_and_handed_on_piece_by_piece():
    received = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.piece(event("one "))
        await received.wait()  # the second piece is sent only after the first has reached the subscriber
        await exchange.piece(event("two", "STOP"))
        await exchange.piece(b"")

    deltas = []

    def emit(delta) -> None:
        deltas.append(delta)
        received.set()

    async with serving(handler) as server:
        model = GeminiModel("g", base_url=f"{server.url}beta?k=1")
        reply = await model.request(ASK, emit)
        await model.aclose()
    assert server.exchanges[0].path == "/v1beta/models/g:streamGenerateContent?k=1&alt=sse"
    assert deltas == [TextDelta("one "), TextDelta("two", offset=4)]
    assert reply.message.text == "one two"


async def test_a_connection_lost_in_mid_stream_is_an_error_with_what_came():
    async def handler(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.piece(event("half of"))
        exchange.drop()

    async with serving(handler) as server:
        with pytest.raises(MalformedReply) as caught:
            await ask(GeminiModel("g", base_url=server.url), stream=True)
    assert caught.value.data["partial"] == "half of"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GEMINI_API_KEY": "one"}, "one"),
        ({"GOOGLE_API_KEY": "two"}, "two"),
        ({"GEMINI_API_KEY": "one", "GOOGLE_API_KEY": "two"}, "one"),
    ],
)
async def test_the_key_comes_from_the_environment_or_a_file_at_each_request(
    environment, expected, monkeypatch, tmp_path
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wire = Wire()
    model = GeminiModel("g", transport=wire.transport)
    await model.request(ASK)
    assert wire.header("x-goog-api-key") == expected
    for name in environment:
        monkeypatch.delenv(name)
    (tmp_path / "key").write_text("rotated\n")
    monkeypatch.setenv("GOOGLE_API_KEY_FILE", str(tmp_path / "key"))
    await model.request(ASK)
    assert wire.header("x-goog-api-key") == "rotated"


async def test_without_a_key_google_is_not_called_and_another_server_is_called_without():
    wire = Wire()
    with pytest.raises(AuthenticationFailed, match=r'GEMINI_API_KEY.*"offline"'):
        await ask(GeminiModel("g", transport=wire.transport))
    assert wire.seen == []
    await ask(GeminiModel("g", base_url="https://gateway", transport=wire.transport))
    await ask(GeminiModel("g", headers={"Authorization": "Bearer mine"}, transport=wire.transport))
    assert [request.headers.get("x-goog-api-key") for request in wire.seen] == [None, None]


async def test_a_key_of_the_environment_is_not_sent_in_the_clear_to_another_machine(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    wire = Wire()
    for key in (None, "given"):
        await ask(GeminiModel("g", base_url="http://box.lan", api_key=key, transport=wire.transport))
    assert [request.headers.get("x-goog-api-key") for request in wire.seen] == [None, "given"]


@pytest.mark.parametrize("name", ["", " ", "../x", "a?b", "a b", "/a", "a:generateContent", "a%2f"])
def test_a_name_that_would_lead_elsewhere_is_refused(name):
    for kind in (GeminiModel, VertexModel):
        with pytest.raises(ConfigurationError):
            kind(name)


@pytest.mark.parametrize(
    "options", [{"base_url": "h"}, {"api_version": "one"}, {"api_key": "a\nb"}, {"headers": {"a": "\n"}}]
)
def test_what_cannot_be_used_is_refused_at_once(options):
    with pytest.raises(ConfigurationError):
        GeminiModel("g", **options)


async def test_a_quota_error_is_rate_limited_with_the_wait_and_never_repeats_the_key():
    body = (FIXTURES / "quota.json").read_bytes().replace(b"Quota exceeded", f"{KEY} exceeded".encode())
    wire = Wire(429, body)
    with pytest.raises(RateLimited) as caught:
        await ask(GeminiModel("g", api_key=KEY, transport=wire.transport))
    assert caught.value.data["retry_after"] == 34.074824224
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(GeminiModel("g", api_key=KEY, base_url="https://u:pw@h"))


async def test_the_check_shows_the_model_which_costs_nothing():
    wire = Wire(body=b'{"name": "models/g"}')
    model = GeminiModel("g", api_key=KEY, transport=wire.transport)
    assert "HTTP 200" in await model.check()
    assert (wire.seen[0].method, wire.url) == ("GET", f"{GOOGLE}/v1/models/g")
    denied = GeminiModel(
        "g", api_key=KEY, transport=Wire(400, b'{"error": {"message": "API key not valid"}}').transport
    )
    with pytest.raises(AuthenticationFailed):
        await denied.check()


async def test_an_agent_uses_tools_in_parallel_and_its_signed_calls_go_back_with_their_results():
    @tool(effect="read")
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def handler(exchange: Exchange) -> None:
        if len(exchange.body["contents"]) == 1:
            calls = [{"functionCall": {"name": "add", "args": {"a": n, "b": 1}}} for n in (1, 2)]
            body = said("")
            body["candidates"][0]["content"]["parts"] = [{**calls[0], "thoughtSignature": "U0lH"}, calls[1]]
        else:
            body = said("2 and 3")
        await exchange.answer(200, json.dumps(body).encode(), content_type="application/json")

    async with serving(handler) as server:
        model = GeminiModel("gemini-3-flash", base_url=server.url)
        result = await Agent("adder", model=model, tools=[add], system_prompt="Add.").run("1+1 and 2+1")
        await model.aclose()
    assert result.output == "2 and 3"
    _, calls, results = server.exchanges[1].body["contents"]
    assert [part.get("thoughtSignature") for part in calls["parts"]] == ["U0lH", None]
    assert [part["functionResponse"]["response"] for part in results["parts"]] == [{"output": "2"}, {"output": "3"}]
    assert [part["functionResponse"]["id"] for part in results["parts"]] == [
        part["functionCall"]["id"] for part in calls["parts"]
    ]


# ------------------------------------------------------------------------------------------------------------ vertex

PLACE = "publishers/google/models/g:generateContent"


@pytest.mark.parametrize(
    ("model", "options", "url"),
    [
        ("g", {}, f"https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/{PLACE}"),
        ("g", {"location": "us-central1"},
         f"https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-central1/{PLACE}"),
        ("g", {"location": "eu"}, f"https://aiplatform.eu.rep.googleapis.com/v1beta1/projects/p/locations/eu/{PLACE}"),
        ("g", {"project": "q", "api_version": "v1"},
         f"https://aiplatform.googleapis.com/v1/projects/q/locations/global/{PLACE}"),
        ("acme/g", {},
         f"https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/{PLACE.replace('google', 'acme')}"),
        ("projects/1/locations/us/endpoints/2", {"location": "us"},
         "https://aiplatform.us.rep.googleapis.com/v1beta1/projects/1/locations/us/endpoints/2:generateContent"),
        ("endpoints/2", {},
         "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/endpoints/2:generateContent"),
        ("g", {"base_url": "https://gateway/vertex"},
         f"https://gateway/vertex/v1beta1/projects/p/locations/global/{PLACE}"),
        ("g", {"base_url": "https://gateway/v1"}, f"https://gateway/v1/projects/p/locations/global/{PLACE}"),
    ],
)  # fmt: skip
async def test_where_a_request_to_vertex_goes(model, options, url, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    wire = Wire()
    vertex = VertexModel(model, token=TOKEN, transport=wire.transport, **options)
    await ask(vertex)
    assert (vertex.name, wire.url, wire.header("authorization")) == (f"vertex:{model}", url, f"Bearer {TOKEN}")
    await ask(vertex, stream=True)
    assert wire.url == url.replace(":generateContent", ":streamGenerateContent?alt=sse")


async def test_vertex_reads_address_place_version_and_token_from_the_environment(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "asia-east1")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1beta")  # as the Gemini API calls it
    monkeypatch.setenv("GOOGLE_VERTEX_ACCESS_TOKEN", TOKEN)
    wire = Wire()
    await ask(VertexModel("g", transport=wire.transport))
    assert wire.url == f"https://asia-east1-aiplatform.googleapis.com/v1beta1/projects/p/locations/asia-east1/{PLACE}"
    assert wire.header("authorization") == f"Bearer {TOKEN}"
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "http://box.lan")
    await ask(VertexModel("g", transport=wire.transport))
    assert wire.url == f"http://box.lan/v1beta1/projects/p/locations/asia-east1/{PLACE}"
    assert wire.header("authorization") is None  # not in the clear to another machine


async def test_an_api_key_alone_is_express_mode_and_with_a_project_only_another_credential(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "us-central1")
    wire = Wire()
    await ask(VertexModel("g", api_key=KEY, transport=wire.transport))
    assert wire.url == f"https://aiplatform.googleapis.com/v1beta1/{PLACE}"
    assert (wire.header("x-goog-api-key"), wire.header("authorization")) == (KEY, None)
    await ask(VertexModel("g", api_key=KEY, project="q", transport=wire.transport))
    assert wire.url == f"https://us-central1-aiplatform.googleapis.com/v1beta1/projects/q/locations/us-central1/{PLACE}"


async def test_a_token_may_be_a_function_which_is_asked_for_each_request():
    given = iter(["one", "two", "three"])

    async def later() -> str:
        return next(given)

    wire = Wire()
    for token in (lambda: next(given), later, lambda: later()):
        await ask(VertexModel("g", token=token, project="p", transport=wire.transport))
    assert [request.headers["authorization"] for request in wire.seen] == ["Bearer one", "Bearer two", "Bearer three"]


def broken_token() -> str:
    raise OSError(f"no such helper {TOKEN}")


@pytest.mark.parametrize("token", [broken_token, lambda: "", lambda: 5])
async def test_a_function_that_gives_no_token_is_an_error_without_secrets(token):
    with pytest.raises(AuthenticationFailed, match="token=") as caught:
        await ask(VertexModel("g", token=token, project="p", transport=Wire().transport))
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "options",
    [
        {"location": "evil.com/"},
        {"location": "US"},
        {"project": "a/b"},
        {"project": ""},
        {"api_key": "a", "token": "b"},
    ],
)
def test_a_place_that_would_lead_elsewhere_is_refused(options):
    with pytest.raises(ConfigurationError):
        VertexModel("g", **options)


async def test_without_a_project_or_with_a_bad_one_nothing_is_sent(monkeypatch):
    wire = Wire()
    with pytest.raises(BadRequest, match="GOOGLE_CLOUD_PROJECT"):
        await ask(VertexModel("g", token=TOKEN, transport=wire.transport))
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "evil.com/x")
    with pytest.raises(BadRequest, match="location"):
        await ask(VertexModel("g", token=TOKEN, project="p", transport=wire.transport))
    assert wire.seen == []


async def test_the_check_of_vertex_shows_the_model():
    wire = Wire(body=b'{"name": "publishers/google/models/g"}')
    assert "HTTP 200" in await VertexModel("g", token=TOKEN, project="p", transport=wire.transport).check()
    assert wire.url == "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/g"


# ----------------------------------------------------------------------------------------------- default credentials


@pytest.fixture(scope="module")
def private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


@pytest.fixture
def login(monkeypatch, tmp_path, private_key):
    def log_in(token_uri: str) -> None:
        account = {
            "type": "service_account", "project_id": "of-the-account", "private_key_id": "1",
            "private_key": private_key, "client_email": "a@of-the-account.iam.gserviceaccount.com",
            "client_id": "1", "token_uri": token_uri, "quota_project_id": "payer",
        }  # fmt: skip
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))

    return log_in


def issuing(lifetimes: list[int]):
    """A handler like Google's token endpoint: each token lives for the next of `lifetimes`, in seconds."""
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = await reader.readexactly(int(head.lower().partition("content-length:")[2].partition("\r\n")[0]))
        lifetime = lifetimes[min(count, len(lifetimes) - 1)]
        count += 1
        answer = json.dumps({"access_token": f"{TOKEN}{count}", "expires_in": lifetime, "token_type": "Bearer"})
        if lifetime < 0 or b"assertion=" not in body:
            answer = json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        status = "400 Bad Request" if lifetime < 0 else "200 OK"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n"
            f"connection: close\r\n\r\n{answer}".encode()
        )
        await writer.drain()
        writer.close()

    return handler


@asynccontextmanager
async def issuer(lifetimes: list[int]):
    async with await asyncio.start_server(issuing(lifetimes), "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


async def test_default_credentials_are_fetched_once_for_many_requests(login, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    wire = Wire()
    async with issuer([3600]) as uri:
        login(uri)
        model = VertexModel("g", transport=wire.transport)
        await asyncio.gather(*(model.request(ASK) for _ in range(8)))
    assert {request.headers["authorization"] for request in wire.seen} == {f"Bearer {TOKEN}1"}
    assert "/projects/of-the-account/locations/global/" in wire.url
    assert wire.header("x-goog-user-project") == "payer"


async def test_default_credentials_are_fetched_again_shortly_before_they_expire(login):
    wire = Wire()
    async with issuer([10, 3600]) as uri:  # the first is too short-lived to be used again
        login(uri)
        model = VertexModel("g", transport=wire.transport)
        for _ in range(3):
            await model.request(ASK)
    assert [request.headers["authorization"][-1] for request in wire.seen] == ["1", "2", "2"]


async def test_refused_and_missing_default_credentials_are_errors_that_say_how_to_log_in(login, monkeypatch):
    wire = Wire()
    async with issuer([-1]) as uri:
        login(uri)
        with pytest.raises(AuthenticationFailed, match=r"Invalid JWT Signature.*gcloud auth application-default login"):
            await ask(VertexModel("g", transport=wire.transport))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(AuthenticationFailed, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await ask(VertexModel("g", transport=wire.transport))
    assert wire.seen == []


async def test_a_token_server_that_cannot_be_reached_may_be_tried_again(login):
    async with issuer([1]) as uri:
        login(uri)
    with pytest.raises(Overloaded, match="try again"):
        await ask(VertexModel("g", transport=Wire().transport))


async def test_no_token_is_fetched_while_real_calls_are_forbidden(login):
    login("https://oauth2.googleapis.com/token")
    with forbid_real_calls("these are tests"), pytest.raises(PermissionDenied, match="access token"):
        await ask(VertexModel("g"))


async def test_default_credentials_are_never_sent_to_a_server_that_is_not_googles(login):
    login("http://127.0.0.1:9/token")
    wire = Wire()
    await ask(VertexModel("g", project="p", base_url="https://gateway", transport=wire.transport))
    assert wire.header("authorization") is None


async def test_without_google_auth_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(BadRequest, match=r'pip install "podium\[vertex\]"'):
        await ask(VertexModel("g", project="p", transport=Wire().transport))


# --------------------------------------------------------------------------------------------------------- by name


def test_both_are_found_by_name_and_building_one_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gemini = resolve("gemini:gemini-3-flash", api_key=KEY)
        vertex = resolve("vertex:gemini-3-flash")
    assert (gemini.name, vertex.name) == ("gemini:gemini-3-flash", "vertex:gemini-3-flash")
    assert KEY not in repr(gemini)
    assert base64.b64encode(KEY.encode()).decode() not in repr(gemini)
