"""`ClaudeModel`: where requests go, with which version and key, and a whole exchange with a server on loopback."""

import json
import traceback
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
    ModelError,
    Overloaded,
    RateLimited,
)
from podium.core.messages import ModelRequest, Settings, user
from podium.models import resolve
from podium.models.anthropic import ClaudeModel
from podium.models.transport import HttpTransport

from .loopback import Exchange, serving

FIXTURES = Path(__file__).parent / "fixtures" / "anthropic"
KEY = "sk-ant-api03-0123456789abcdef"
ASK = ModelRequest([user("hi")])


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("API_KEY", "API_KEY_FILE", "AUTH_TOKEN", "AUTH_TOKEN_FILE", "BASE_URL"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Network:
    """Requests as they would have left this machine."""

    def __init__(self, body: bytes | None = None) -> None:
        self.seen: list[httpx2.Request] = []
        self._body = (FIXTURES / "text.json").read_bytes() if body is None else body
        self.transport = HttpTransport(mock=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        return httpx2.Response(200, content=self._body, headers={"content-type": "application/json"})

    async def ask(self, model: str = "claude-sonnet-5-5", request: ModelRequest = ASK, **options) -> httpx2.Request:
        await ClaudeModel(model, transport=self.transport, **options).request(request)
        await self.transport.aclose()
        return self.seen[-1]


def credentials(request: httpx2.Request) -> tuple[str | None, str | None]:
    return request.headers.get("authorization"), request.headers.get("x-api-key")


async def test_a_request_goes_to_the_official_address_with_the_version_and_the_key_as_a_bearer():
    sent = await Network().ask(api_key=KEY + "\n")
    assert str(sent.url) == "https://api.anthropic.com/v1/messages"
    assert sent.headers["anthropic-version"] == "2026-10-21"
    assert credentials(sent) == (f"Bearer {KEY}", None)
    assert json.loads(sent.content)["model"] == "claude-sonnet-5-5"


async def test_a_proxy_that_reads_another_header_gets_the_key_there():
    assert credentials(await Network().ask(api_key=KEY, auth="x-api-key")) == (None, KEY)


async def test_the_key_is_found_in_the_environment_or_in_the_file_it_names(monkeypatch, tmp_path):
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    assert credentials(await Network().ask()) == ("Bearer token", None)
    # a token is a bearer's, whatever header a key would go in
    assert credentials(await Network().ask(auth="x-api-key")) == ("Bearer token", None)
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "key"))
    assert credentials(await Network().ask()) == (f"Bearer {KEY}", None)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "first")
    assert credentials(await Network().ask(auth="x-api-key")) == (None, "first")


async def test_a_rotated_key_file_is_read_again_at_the_next_request(monkeypatch, tmp_path):
    network, file = Network(), tmp_path / "key"
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(file))
    model = ClaudeModel("m", transport=network.transport)
    for key in ("one", "two"):
        file.write_text(key)
        await model.request(ASK)
    file.unlink()
    with pytest.raises(AuthenticationFailed, match="ANTHROPIC_API_KEY_FILE"):
        await model.request(ASK)
    await network.transport.aclose()
    assert [credentials(request)[0] for request in network.seen] == ["Bearer one", "Bearer two"]


async def test_a_key_of_the_environment_is_not_sent_in_the_clear_to_another_machine(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for base, key, expected in (
        ("http://box.lan", None, None),
        ("https://box.lan", None, f"Bearer {KEY}"),
        ("http://127.0.0.1:4010", None, f"Bearer {KEY}"),
        ("http://box.lan", "given", "Bearer given"),
        ("https://box.lan", "", None),
    ):
        assert credentials(await Network().ask(base_url=base, api_key=key))[0] == expected


async def test_without_a_key_the_official_address_is_not_called_and_the_error_says_what_to_do():
    network = Network()
    with pytest.raises(AuthenticationFailed, match=r'ANTHROPIC_API_KEY.*"offline"'):
        await network.ask()
    assert network.seen == []
    assert credentials(await network.ask(headers={"X-Api-Key": "own"})) == (None, "own")


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://gw.example", "https://gw.example/v1/messages"),
        ("https://gw.example/", "https://gw.example/v1/messages"),
        ("https://gw.example/v1", "https://gw.example/v1/messages"),
        ("https://gw.example/v1/messages", "https://gw.example/v1/messages"),
        ("https://gw.example/anthropic/", "https://gw.example/anthropic/v1/messages"),
        ("https://gw.example/a?team=1", "https://gw.example/a/v1/messages?team=1"),
    ],
)
async def test_an_address_may_be_given_with_or_without_what_follows_it(monkeypatch, base, url):
    assert str((await Network().ask(base_url=base)).url) == url
    monkeypatch.setenv("ANTHROPIC_BASE_URL", base)
    assert str((await Network().ask()).url) == url


async def test_the_version_before_brings_temperature_back():
    warm = ModelRequest([user("hi")], settings=Settings(temperature=0.5))
    with pytest.raises(BadRequest, match=r"temperature: version 2026-10-21.*2023-06-01"):
        await Network().ask(api_key=KEY, request=warm)
    for options in ({"version": "2023-06-01"}, {"headers": {"Anthropic-Version": "2023-06-01"}}):
        sent = await Network().ask("claude-sonnet-4-6", api_key=KEY, request=warm, **options)
        assert sent.headers["anthropic-version"] == "2023-06-01"
        assert json.loads(sent.content)["temperature"] == 0.5


async def test_options_of_the_model_reach_the_body():
    body = json.loads((await Network().ask(api_key=KEY, show_thinking=True)).content)
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    "options",
    [{"base_url": "localhost:1"}, {"base_url": ""}, {"auth": "basic"}, {"api_key": "a\nb"}, {"version": "ä"}],
)
def test_what_cannot_be_used_is_refused_at_once(options):
    with pytest.raises(ConfigurationError):
        ClaudeModel("m", **options)


def test_the_model_is_found_by_its_name():
    model = resolve("anthropic:claude-sonnet-5-5", base_url="https://u:pw@gw.example/v1?k=1")
    assert isinstance(model, ClaudeModel)
    assert model.name == "anthropic:claude-sonnet-5-5"
    assert repr(model) == "ClaudeModel('claude-sonnet-5-5', base_url='https://gw.example/v1')"


async def test_the_free_listing_tells_whether_the_key_works():
    network = Network(b'{"data": []}')
    told = await ClaudeModel("m", api_key=KEY, transport=network.transport).check()
    await network.transport.aclose()
    assert (network.seen[0].method, str(network.seen[0].url)) == ("GET", "https://api.anthropic.com/v1/models")
    assert credentials(network.seen[0]) == (f"Bearer {KEY}", None)
    assert "HTTP 200" in told


# ---------------------------------------------------------------------------------------------------------- loopback


async def asked(handler, emit=None, request: ModelRequest = ASK):
    async with serving(handler) as server:
        model = ClaudeModel("claude-sonnet-5-5", base_url=server.url, api_key=KEY)
        try:
            return await model.request(request, emit)
        finally:
            await model.aclose()


async def test_a_stream_is_handed_on_piece_by_piece_and_asked_for_as_one():
    async def handler(exchange: Exchange) -> None:
        assert exchange.path == "/v1/messages"
        assert exchange.body["stream"] is True
        await exchange.begin_stream()
        recorded = (FIXTURES / "text.sse").read_bytes()
        for start in range(0, len(recorded), 97):
            await exchange.piece(recorded[start : start + 97])
        await exchange.piece(b"")

    deltas = []
    reply = await asked(handler, deltas.append)
    assert deltas == [TextDelta("Grüße"), TextDelta(" 👋 from", offset=5), TextDelta(" Claude.", offset=12)]
    assert reply.message.text == "Grüße 👋 from Claude."


async def test_a_connection_lost_in_the_middle_is_malformed_and_after_the_reason_does_no_harm():
    def handler(name: str):
        async def answer(exchange: Exchange) -> None:
            await exchange.begin_stream()
            await exchange.piece((FIXTURES / name).read_bytes())
            exchange.drop()

        return answer

    with pytest.raises(MalformedReply) as caught:
        await asked(handler("bad-truncated.sse"), lambda _: None)
    assert caught.value.data["partial"] == "Half of it"
    assert (await asked(handler("refusal.sse"), lambda _: None)).finish == "refusal"


async def test_an_agent_calls_its_tool_and_sends_thoughts_back_unchanged():
    @tool(effect="read")
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"sun in {city}"

    async def handler(exchange: Exchange) -> None:
        name = "thinking.json" if len(exchange.body["messages"]) == 1 else "text.json"
        await exchange.answer(200, (FIXTURES / name).read_bytes(), content_type="application/json")

    async with serving(handler) as server:
        model = ClaudeModel("claude-sonnet-5-5", base_url=server.url)
        agent = Agent("guide", model=model, tools=[weather], system_prompt="Be brief.")
        result = await agent.run("Weather in Zürich?")
        await model.aclose()
    assert result.output == "Grüße 👋 from Claude."
    first, second = (exchange.body for exchange in server.exchanges)
    _, answer, results = second["messages"]
    assert answer["content"] == json.loads((FIXTURES / "thinking.json").read_bytes())["content"]
    (found,) = results["content"]
    assert (found["tool_use_id"], found["content"]) == ("toolu_01Zurich", "sun in Zürich")
    assert found["cache_control"] == {"type": "ephemeral"}
    assert second["messages"][0] == first["messages"][0]
    assert (first["tools"], first["system"]) == (second["tools"], second["system"])


@pytest.mark.parametrize("emit", [None, lambda _: None])
async def test_a_rate_limit_tells_how_long_to_wait_and_an_overload_may_pass(emit):
    limited, overloaded = ((FIXTURES / f"error-{status}.json").read_bytes() for status in (429, 529))
    with pytest.raises(RateLimited) as caught:
        await asked(lambda exchange: exchange.answer(429, limited, retry_after="7"), emit)
    assert caught.value.data["retry_after"] == 7.0
    with pytest.raises(Overloaded):
        await asked(lambda exchange: exchange.answer(529, overloaded), emit)


@pytest.mark.parametrize("emit", [None, lambda _: None])
@pytest.mark.parametrize("status", [200, 400, 401, 402, 429, 500])
async def test_the_key_appears_in_no_error_representation_or_traceback(status, emit):
    async def echoes(exchange: Exchange) -> None:
        words = f"no credit: {exchange.headers['authorization']} {KEY}"
        said = json.dumps({"type": "error", "error": {"type": "billing_error", "message": words}})
        await exchange.answer(status, said.encode(), content_type="application/json")

    with pytest.raises(ModelError) as caught:
        await asked(echoes, emit)
    shown_to_people = "".join(traceback.format_exception(caught.value)) + repr(caught.value.data)
    assert KEY not in shown_to_people
