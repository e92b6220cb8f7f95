"""`OllamaModel` against a real server on loopback: addresses, keys, streams, and what it says when nothing runs."""

import asyncio
import socket

import httpx2
import pytest
from ollama._client import _parse_host  # type: ignore[reportPrivateUsage]

from podium.core.deltas import TextDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    MalformedReply,
    Overloaded,
    RateLimited,
)
from podium.core.messages import ModelRequest, user
from podium.models import resolve
from podium.models.ollama import OllamaModel
from podium.models.ollama.addresses import base_of
from podium.models.transport import HttpTransport

from .loopback import Exchange, serving
from .test_ollama import DONE, fixture, line

KEY = "ollama-key-0123456789"
ASK = ModelRequest([user("hi")])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY", "OLLAMA_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


async def says_paris(exchange: Exchange) -> None:
    await exchange.answer(200, fixture("text.json"), content_type="application/json; charset=utf-8")


async def ask(handler, *, emit=None, **options):
    async with serving(handler) as server:
        model = OllamaModel("qwen3:8b", server.url.removesuffix("/v1"), **options)
        try:
            return await model.request(ASK, emit)
        finally:
            await model.aclose()


# -------------------------------------------------------------------------------------------------------- addresses

SDK_HOSTS = [
    "",
    "1.2.3.4",
    ":56789",
    "1.2.3.4:56789",
    "http://1.2.3.4",
    "https://1.2.3.4",
    "https://1.2.3.4:56789",
    "example.com",
    "example.com:56789",
    "http://example.com",
    "example.com/path",
    "https://example.com:56789/path/",
    "[0001:002:003:0004::1]",
    "[0001:002:003:0004::1]:56789",
    "https://[0001:002:003:0004::1]:56789/path",
]


@pytest.mark.parametrize("host", SDK_HOSTS)
def test_a_host_means_what_it_means_to_the_official_client(host):
    assert httpx2.URL(base_of(host).geturl()) == httpx2.URL(_parse_host(host))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104  (nothing is bound)
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("::1", "http://[::1]:11434"),
        ('"box.lan"', "http://box.lan:11434"),
        ("http://box:11434/v1", "http://box:11434"),
        ("http://box:11434/v1/", "http://box:11434"),
        ("http://box/ollama/api/chat", "http://box/ollama"),
        ("https://ollama.com/api", "https://ollama.com"),
        ("https://me:secret@box/", "https://me:secret@box"),
    ],
)
def test_what_people_paste_is_understood(host, url):
    assert base_of(host).geturl() == url


@pytest.mark.parametrize("host", ["ftp://box", "box:port", "[::1", "bo x", "box:0", "box:99999"])
@pytest.mark.parametrize("name", ["host", "base_url"])
def test_an_address_that_cannot_be_one_is_refused_at_once(host, name):
    with pytest.raises(ConfigurationError, match="host must be like"):
        OllamaModel("m", **{name: host})


def test_two_servers_for_one_model_are_refused():
    with pytest.raises(ConfigurationError, match="leave one of them out"):
        OllamaModel("m", "box", base_url="http://other")
    OllamaModel("m", "box", base_url="http://box:11434")


@pytest.mark.parametrize("think", ["hard", 1.5, "true"])
def test_an_unknown_way_to_think_is_refused(think):
    with pytest.raises(ConfigurationError, match="low, medium, high, max"):
        OllamaModel("m", think=think)


# --------------------------------------------------------------------------------------------------------- requests


async def test_name_and_host_alone_are_enough():
    async with serving(says_paris) as server:
        model = OllamaModel("qwen3:8b", server.url.removeprefix("http://").removesuffix("/v1"))
        reply = await model.request(ASK)
        await model.aclose()
    (seen,) = server.exchanges
    assert (model.name, seen.path) == ("ollama:qwen3:8b", "/api/chat")
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "hi"}],
        "truncate": False,
        "stream": False,
    }
    assert reply.model == "qwen3:8b"


@pytest.mark.parametrize("given", ["argument", "environment", "file", "empty"])
async def test_the_key_comes_from_the_argument_the_environment_or_a_file(given, monkeypatch, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    if given == "file":
        monkeypatch.setenv("OLLAMA_API_KEY_FILE", str(tmp_path / "key"))
    elif given != "argument":
        monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    async with serving(says_paris) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        model = resolve("ollama:qwen3:8b", api_key={"argument": KEY, "empty": ""}.get(given))
        await model.request(ASK)
        await model.aclose()  # type: ignore[attr-defined]
    assert server.exchanges[0].headers.get("authorization") == (None if given == "empty" else f"Bearer {KEY}")


async def test_a_key_of_the_environment_is_not_sent_in_the_clear_to_another_machine(monkeypatch):
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("authorization"))
        return httpx2.Response(200, content=fixture("text.json"))

    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    for host, key in (("box.lan", None), ("https://box.lan", None), ("box.lan", "given")):
        await OllamaModel("m", host, api_key=key, transport=transport).request(ASK)
    await transport.aclose()
    assert seen == [None, f"Bearer {KEY}", "Bearer given"]


async def test_the_cloud_is_not_asked_without_a_key():
    with pytest.raises(AuthenticationFailed, match=r"OLLAMA_API_KEY.*server of your own"):
        await OllamaModel("gpt-oss:120b", "https://ollama.com").request(ASK)


async def test_options_of_the_model_go_with_every_request():
    async with serving(says_paris) as server:
        model = OllamaModel(
            "m", server.url, think="low", keep_alive=-1, truncate=True, options={"num_ctx": 8192}, headers={"X-A": "b"}
        )
        await model.request(ASK)
        await model.aclose()
    (seen,) = server.exchanges
    assert seen.headers["x-a"] == "b"
    assert {name: seen.body[name] for name in ("think", "keep_alive", "options")} == {
        "think": "low",
        "keep_alive": -1,
        "options": {"num_ctx": 8192},
    }
    assert "truncate" not in seen.body


async def test_a_stream_is_handed_on_line_by_line_while_it_comes():
    received = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        assert exchange.body["stream"] is True
        assert exchange.headers["accept"].startswith("application/x-ndjson")
        await exchange.begin_stream("application/x-ndjson")
        await exchange.piece(line({"content": "one "}))
        await received.wait()  # the second line is sent only after the first has reached the subscriber
        await exchange.piece(line({"content": "two"}) + DONE)
        await exchange.piece(b"")

    deltas = []

    def emit(delta) -> None:
        deltas.append(delta)
        received.set()

    reply = await ask(handler, emit=emit)
    assert deltas == [TextDelta("one "), TextDelta("two", offset=4)]
    assert reply.message.text == "one two"


async def test_a_server_that_does_not_stream_still_answers_a_subscriber():
    deltas = []
    reply = await ask(says_paris, emit=deltas.append)
    assert "".join(delta.text for delta in deltas) == reply.message.text


async def test_a_connection_lost_in_the_middle_is_malformed_and_lost_after_the_end_does_no_harm():
    async def cut(exchange: Exchange) -> None:
        await exchange.begin_stream("application/x-ndjson")
        await exchange.piece(line({"content": "half of it"}))
        exchange.drop()

    async def done(exchange: Exchange) -> None:
        await exchange.begin_stream("application/x-ndjson")
        await exchange.piece(line({"content": "all of it"}) + DONE)
        exchange.drop()

    with pytest.raises(MalformedReply) as caught:
        await ask(cut, emit=lambda _: None)
    assert caught.value.data["partial"] == "half of it"
    assert (await ask(done, emit=lambda _: None)).message.text == "all of it"


# --------------------------------------------------------------------------------------------------------- failures


async def test_a_model_that_is_not_there_says_how_to_get_it():
    with pytest.raises(BadRequest, match="ollama pull qwen3:8b"):
        await ask(lambda exchange: exchange.answer(404, fixture("error-404.json")))


async def test_a_rate_limit_tells_how_long_to_wait():
    with pytest.raises(RateLimited) as caught:
        await ask(lambda exchange: exchange.answer(429, fixture("error-429.json"), retry_after="7"))
    assert caught.value.data["retry_after"] == 7.0


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


async def test_when_nothing_runs_there_the_error_says_how_to_start_it():
    model = OllamaModel("m", f"127.0.0.1:{free_port()}")
    for asked in (model.request(ASK), model.check()):
        with pytest.raises(Overloaded, match=r"cannot connect to http://127\.0\.0\.1.*`ollama serve`"):
            await asked
    await model.aclose()


async def test_an_address_of_the_environment_that_cannot_be_one_fails_the_call(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "ftp://box")
    with pytest.raises(BadRequest, match="OLLAMA_HOST"):
        await OllamaModel("m").request(ASK)


async def test_the_list_of_models_proves_that_the_server_answers():
    def handler(request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("GET", "/api/tags")
        return httpx2.Response(200 if "authorization" in request.headers else 401, content=b'{"models": []}')

    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    assert "/api/tags answers HTTP 200" in await OllamaModel("m", "box", api_key=KEY, transport=transport).check()
    with pytest.raises(AuthenticationFailed, match="OLLAMA_API_KEY"):
        await OllamaModel("m", "box", transport=transport).check()
    await transport.aclose()


def test_a_representation_shows_the_address_and_no_secret():
    shown = repr(OllamaModel("m", "https://me:hunter2@box.lan", api_key=KEY))
    assert shown == "OllamaModel('m', host='https://box.lan')"
    assert repr(OllamaModel("m")) == "OllamaModel('m', host=None)"
