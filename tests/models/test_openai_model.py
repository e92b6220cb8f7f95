"""`OpenAIModel` and its transport against a real server on loopback."""

import asyncio
import gc
import gzip
import json
import subprocess
import sys
import traceback
import warnings

import httpx2
import pytest

from podium.core.deltas import TextDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    MalformedReply,
    ModelError,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
    RateLimited,
)
from podium.core.messages import ModelRequest, Settings, user
from podium.models import OpenAIModel
from podium.models.transport import (
    HttpTransport,
    allow_real_calls,
    forbid_real_calls,
    is_loopback,
    real_calls_allowed,
    retry_after,
    shown,
)

from .loopback import Exchange, serving

KEY = "sk-test-0123456789abcdef"
ASK = ModelRequest([user("hi")])
HANG = ModelRequest([user("hi")], settings=Settings(extra={"hang": True}))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def reply_body(text: str = "hello") -> bytes:
    return json.dumps({"model": "m-1", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


def event(delta: dict, finish: str | None = None) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


async def says_hello(exchange: Exchange) -> None:
    await exchange.answer(200, reply_body(), content_type="application/json")


async def hangs(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def ask(handler, request: ModelRequest = ASK, *, emit=None, **options):
    async with serving(handler) as server:
        model = OpenAIModel("m", base_url=server.url, api_key=KEY, **options)
        try:
            return await model.request(request, emit)
        finally:
            await model.aclose()


async def test_a_request_carries_the_key_and_the_body_and_gives_the_reply():
    async with serving(says_hello) as server:
        model = OpenAIModel("m", base_url=server.url + "/", api_key=KEY + "\n", headers={"X-Team": "blue"})
        reply = await model.request(ModelRequest([user("hi")], settings=Settings(max_output_tokens=5)))
        await model.aclose()
    (seen,) = server.exchanges
    assert model.name == "openai:m"
    assert reply.message.text == "hello"
    assert seen.path == "/v1/chat/completions"
    assert (seen.headers["authorization"], seen.headers["x-team"]) == (f"Bearer {KEY}", "blue")
    assert seen.body == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


async def test_requests_one_after_another_share_a_connection():
    async with serving(says_hello) as server:
        model = OpenAIModel("m", base_url=server.url)
        for _ in range(3):
            await model.request(ASK)
        await model.aclose()
    assert (len(server.exchanges), server.connections) == (3, 1)


async def test_models_given_one_transport_share_connections_and_do_not_close_them():
    async with serving(says_hello) as server:
        transport = HttpTransport()
        for name in ("a", "b"):
            model = OpenAIModel(name, base_url=server.url, transport=transport)
            await model.request(ASK)
            await model.aclose()
        await transport.aclose()
    assert server.connections == 1


async def test_key_and_address_come_from_the_environment_and_an_empty_key_means_none(monkeypatch):
    async with serving(says_hello) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        for model in (OpenAIModel("m"), OpenAIModel("m", api_key="")):
            await model.request(ASK)
            await model.aclose()
    assert [seen.headers.get("authorization") for seen in server.exchanges] == [f"Bearer {KEY}", None]


async def test_a_proxy_of_the_environment_is_not_used_for_loopback(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await ask(says_hello)).message.text == "hello"


async def test_other_machines_are_reached_through_the_proxy_of_the_environment(monkeypatch):
    async with serving(says_hello) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        model = OpenAIModel("m", base_url="http://models.example/v1", api_key=KEY)
        with allow_real_calls():
            assert (await model.request(ASK)).message.text == "hello"
        await model.aclose()
    assert [exchange.path for exchange in server.exchanges] == ["http://models.example/v1/chat/completions"]


async def test_a_key_of_the_environment_is_not_sent_in_the_clear_to_another_machine(monkeypatch):
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("authorization"))
        return httpx2.Response(200, content=reply_body())

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    for url, key in (("http://box.lan/v1", None), ("https://box.lan/v1", None), ("http://box.lan/v1", "given")):
        await OpenAIModel("m", base_url=url, api_key=key, transport=transport).request(ASK)
    await transport.aclose()
    assert seen == [None, f"Bearer {KEY}", "Bearer given"]


async def test_without_a_key_the_official_address_is_not_called_and_the_error_says_what_to_do():
    with pytest.raises(AuthenticationFailed, match=r'OPENAI_API_KEY.*base_url.*"offline"'):
        await OpenAIModel("gpt").request(ASK)


@pytest.mark.parametrize(
    ("url", "official"),
    [
        (None, True),
        ("https://eu.api.openai.com/v1", True),
        ("https://box.lan/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
    ],
)
async def test_only_openai_itself_is_told_the_organization_and_given_a_cache_key(monkeypatch, url, official):
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=reply_body())

    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    settings = Settings(max_output_tokens=5)
    model = OpenAIModel("m", base_url=url, api_key=KEY, transport=transport)
    await model.request(ModelRequest([user("hi")], agent="shop", settings=settings))
    await transport.aclose()
    body = json.loads(seen[0].content)
    assert (seen[0].headers.get("openai-organization") == "org-1") is official
    assert (seen[0].headers.get("openai-project") == "proj-1") is official
    assert ("prompt_cache_key" in body) is official
    assert ("max_completion_tokens" in body) is official
    assert ("max_tokens" in body) is not official


async def test_the_cache_key_can_be_asked_for_and_refused():
    for choice in (True, False):
        async with serving(says_hello) as server:
            model = OpenAIModel("m", base_url=server.url, cache_key=choice)
            await model.request(ModelRequest([user("hi")], agent="shop"))
            await model.aclose()
        assert ("prompt_cache_key" in server.exchanges[0].body) is choice


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://h/v1", "http://", ""])
def test_an_address_that_cannot_be_one_is_refused_at_once(url):
    with pytest.raises(ConfigurationError, match="base_url"):
        OpenAIModel("m", base_url=url)


def test_a_key_that_no_header_can_carry_is_refused_without_being_repeated():
    with pytest.raises(ConfigurationError) as caught:
        OpenAIModel("m", api_key="sk-abc\ndef")
    assert "abc" not in str(caught.value)


async def test_the_query_of_the_address_is_kept():
    async with serving(says_hello) as server:
        model = OpenAIModel("m", base_url=f"{server.url}?api-version=1")
        await model.request(ASK)
        await model.aclose()
    assert server.exchanges[0].path == "/v1/chat/completions?api-version=1"


# ---------------------------------------------------------------------------------------------------------- streams


async def test_a_stream_is_handed_on_piece_by_piece_while_it_comes():
    received = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        assert exchange.body["stream_options"] == {"include_usage": True}
        await exchange.begin_stream()
        await exchange.piece(event({"content": "one "}))
        await received.wait()  # the second piece is sent only after the first has reached the subscriber
        await exchange.piece(event({"content": "two"}, "stop") + b"data: [DONE]\n\n")
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
    reply = await ask(says_hello, emit=deltas.append)
    assert (reply.message.text, "".join(delta.text for delta in deltas)) == ("hello", "hello")


async def test_a_connection_lost_in_the_middle_of_a_stream_is_malformed_with_what_came():
    async def handler(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.piece(event({"content": "half of it"}))
        exchange.drop()

    with pytest.raises(MalformedReply) as caught:
        await ask(handler, emit=lambda _: None)
    assert caught.value.data["partial"] == "half of it"


async def test_a_connection_lost_after_the_last_piece_does_no_harm():
    async def handler(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.piece(event({"content": "all of it"}, "stop"))
        exchange.drop()

    assert (await ask(handler, emit=lambda _: None)).message.text == "all of it"


# --------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("emit", [None, lambda _: None])
async def test_a_rate_limit_tells_how_long_to_wait_and_is_not_retried(emit):
    async with serving(
        lambda exchange: exchange.answer(429, b'{"error": {"message": "x"}}', retry_after="7")
    ) as server:
        model = OpenAIModel("m", base_url=server.url)
        with pytest.raises(RateLimited) as caught:
            await model.request(ASK, emit)
        await model.aclose()
    assert caught.value.data["retry_after"] == 7.0
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"oh no", Overloaded),
        (400, b"<h1>Bad</h1>", BadRequest),
        (302, b"", BadRequest),
        (200, b"pong", MalformedReply),
    ],
)
async def test_a_plain_text_answer_becomes_an_error_that_names_the_server(status, body, kind):
    with pytest.raises(kind, match=r"http://127\.0\.0\.1"):
        await ask(lambda exchange: exchange.answer(status, body, content_type="text/plain"))


async def test_a_body_larger_than_the_limit_is_not_read_to_its_end():
    async def handler(exchange: Exchange) -> None:
        await exchange.begin_stream("application/json")
        while True:
            await exchange.piece(b" " * 65536)

    with pytest.raises(MalformedReply, match="larger than 256 KiB"):
        await ask(handler, transport=HttpTransport(max_body=256 * 1024))


async def test_the_limit_counts_what_a_compressed_body_unpacks_to():
    packed = gzip.compress(b" " * 2_000_000)
    with pytest.raises(MalformedReply, match="larger"):
        await ask(
            lambda exchange: exchange.answer(200, packed, content_encoding="gzip"),
            transport=HttpTransport(max_body=1_000_000),
        )


async def test_an_endless_error_body_is_cut():
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await exchange.piece(b"oh no " * 1000)

    with pytest.raises(Overloaded, match="oh no"):
        await ask(handler)


async def test_a_server_that_never_answers_is_left_at_the_timeout():
    with pytest.raises(ModelTimeout, match=r"0\.05 seconds"):
        await ask(hangs, HANG, timeout=0.05)


async def test_the_timeout_of_the_request_goes_before_that_of_the_model():
    settings = Settings(timeout=0.05, extra={"hang": True})
    with pytest.raises(ModelTimeout):
        await ask(hangs, ModelRequest([user("hi")], settings=settings), timeout=60)


async def test_cancelling_a_request_closes_its_connection():
    async with serving(hangs) as server:
        model = OpenAIModel("m", base_url=server.url)
        task = asyncio.create_task(model.request(HANG))
        await asyncio.wait_for(server.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 5)
        await model.aclose()


async def test_a_server_that_is_not_there_is_transient_and_names_the_address():
    with pytest.raises(Overloaded, match=r"cannot connect to http://127\.0\.0\.1:9/v1"):
        await OpenAIModel("m", base_url="http://127.0.0.1:9/v1").request(ASK)


async def test_settings_that_are_not_json_are_refused():
    with pytest.raises(BadRequest, match="extra"):
        await OpenAIModel("m", base_url="http://127.0.0.1:9").request(
            ModelRequest([user("x")], settings=Settings(extra={"x": object()}))
        )


@pytest.mark.parametrize("emit", [None, lambda _: None])
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_the_key_appears_in_no_error_representation_or_traceback(status, emit):
    async def echoes(exchange: Exchange) -> None:
        said = json.dumps({"error": {"message": f"you sent {exchange.headers['authorization']} {KEY[3:]}"}})
        await exchange.answer(status, said.encode(), content_type="application/json")

    async with serving(echoes) as server:
        model = OpenAIModel("m", base_url=server.url.replace("://", "://me:hunter22@"), api_key=KEY)
        with pytest.raises(ModelError) as caught:
            await model.request(ASK, emit)
        await model.aclose()
    shown_to_people = "".join(traceback.format_exception(caught.value)) + repr(caught.value.data) + repr(model)
    assert KEY not in shown_to_people
    assert "hunter22" not in shown_to_people


# ------------------------------------------------------------------------------------------------- waiting and guard

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
NOW = 1795255200.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "30", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", "date": "Sat, 21 Nov 2026 10:00:05 GMT"}, 4.0),
        ({"retry-after": "Sat, 21 Nov 2020 10:00:09 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e9"}, 86400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_a_wait_is_read_from_seconds_or_a_date(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST."])
def test_loopback_is_recognised(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.evil.com", "localhost.evil.com", "10.0.0.1", "127.0.0.1.evil.com", ""])
def test_what_only_looks_like_loopback_is_not(host):
    assert not is_loopback(host)


def test_an_address_is_shown_without_user_password_and_query():
    assert shown("https://me:pw@h.example:8443/v1?key=abc#x") == "https://h.example:8443/v1"


async def test_forbidden_real_calls_are_not_made_and_the_error_tells_how_to_allow_them():
    before = real_calls_allowed()
    with forbid_real_calls("unit tests", hosts=["allowed.example"]):
        assert not real_calls_allowed()
        with pytest.raises(PermissionDenied, match=r"unit tests.*allow_real_calls"):
            await OpenAIModel("m", api_key=KEY).request(ASK)
        assert (await ask(says_hello)).message.text == "hello"
        with allow_real_calls():
            assert real_calls_allowed()
        assert not real_calls_allowed()
    assert real_calls_allowed() is before


def test_a_model_nobody_closes_leaves_no_warning_and_no_open_connection_behind():
    closed = []

    async def main() -> None:
        async with serving(says_hello) as server:
            await OpenAIModel("m", base_url=server.url).request(ASK)
            model = OpenAIModel("n", base_url=server.url)
            kept.append(model)
            await model.request(ASK)
            closed.append(server)

    kept: list[OpenAIModel] = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
        asyncio.run(main())
        gc.collect()
    assert [str(each.message) for each in seen] == []


def test_one_model_serves_one_event_loop_after_another():
    async def main(model_at) -> str:
        async with serving(says_hello) as server:
            return (await model_at(server.url).request(ASK)).message.text

    transport = HttpTransport()
    make = lambda url: OpenAIModel("m", base_url=url, transport=transport)
    assert [asyncio.run(main(make)) for _ in range(3)] == ["hello"] * 3


def test_importing_the_package_and_building_a_model_loads_no_http_client():
    code = (
        "import sys, podium.models as m; m.OpenAIModel('x', api_key='k'); m.ScriptedModel([]); m.OfflineModel(); "
        "m.resolve('openai:y'); print([n for n in ('httpx2', 'pydantic', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
