"""What a call of an imported operation sends, and what it makes of the answer: against a real server."""

from __future__ import annotations

import base64
import json
import logging
import socket
from collections.abc import Iterator
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from http_echo import Asked, Echo, echoing
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from openapi_documents import NOTES_31, SHOP_30

from podium import Agent, ScriptedModel, ToolCall
from podium.core.errors import NotDone, ToolError, ToolTimeoutError, ToolUnavailable, ToolValidationError
from podium.core.messages import ToolResult
from podium.ports import ToolContext
from podium.tools import ToolExecutor
from podium.tools.openapi import OpenAPITools

SHOP: dict[str, Any] = yaml.safe_load(SHOP_30)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as server:
        yield server


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "key-of-the-shop")
    monkeypatch.setenv("SHOP_LOGIN", "ann:pass word")
    monkeypatch.setenv("NOTES_TOKEN", "tok-of-notes")
    monkeypatch.setenv("NOTES_KEY", "k&y of notes")
    monkeypatch.setenv("NOTES_SID", "s;d")


def shop(echo: Echo, **options: Any) -> OpenAPITools:
    auth = {"key": "SHOP_KEY", "login": "SHOP_LOGIN"}
    given: dict[str, Any] = {"base_url": f"{echo.url}/api/", "auth": auth, **options}
    return OpenAPITools.load(SHOP, **given)


def ctx(key: str = "run:step") -> ToolContext:
    return ToolContext(run_id="run", key="step", idempotency_key=key)


async def call(api: OpenAPITools, name: str, args: dict[str, Any], key: str = "run:step") -> Any:
    tool = api[name]
    return await tool.invoke(tool.resolve(args), ctx(key))


def one(parameter: dict[str, Any], path: str = "/x", method: str = "get", **operation: Any) -> dict[str, Any]:
    """A document with one operation, `x`, of one parameter, `p`."""
    described = {"operationId": "x", "parameters": [{"name": "p", **parameter}], "responses": {}, **operation}
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {path: {method: described}}}


# ------------------------------------------------------------------------------------------------------ what is sent


async def test_arguments_arrive_where_the_document_says(echo: Echo) -> None:
    args = {"X-Tenant": "acme", "tag": ["a b", "c&d"], "price": {"min": 1.5, "max": 3.0}}
    await call(shop(echo), "items_list", args)
    asked = echo.last
    assert (asked.method, asked.path) == ("GET", "/api/items")
    assert asked.query == [("tag", "a b"), ("tag", "c&d"), ("price[min]", "1.5"), ("price[max]", "3"), ("limit", "20")]
    assert asked.headers["x-tenant"] == "acme"
    assert "x-key" not in asked.headers  # this operation is for everybody


async def test_a_json_body_is_made_of_the_arguments(echo: Echo) -> None:
    await call(
        shop(echo), "items_create", {"X-Tenant": "acme", "name": "Tent", "price": None, "parts": [{"name": "Peg"}]}
    )
    assert echo.last.json == {"name": "Tent", "price": None, "parts": [{"name": "Peg"}]}
    assert echo.last.headers["content-type"] == "application/json"
    assert echo.last.headers["x-key"] == "key-of-the-shop"


async def test_a_form_is_encoded_as_forms_are(echo: Echo) -> None:
    args = {"item": "a=b&c", "sizes": [1, 2], "address": {"city": "Århus"}}
    await call(shop(echo), "orders_create", args)
    asked = Asked("POST", "/?" + echo.last.body.decode(), {}, b"")
    assert asked.query == [("item", "a=b&c"), ("sizes", "1"), ("sizes", "2"), ("address", '{"city":"Århus"}')]
    assert echo.last.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_files_are_sent_as_parts(echo: Echo) -> None:
    picture = bytes(range(256))
    args = {"id": "7", "file": base64.b64encode(picture).decode(), "caption": 'two\r\n"lines"', "place": {"x": 1}}
    await call(shop(echo), "photos_add", args)
    head = f"Content-Type: {echo.last.headers['content-type']}\r\n\r\n".encode()
    parts = [part for part in BytesParser().parsebytes(head + echo.last.body).walk() if not part.is_multipart()]
    told = {part.get_param("name", header="content-disposition"): part for part in parts}
    assert told["file"].get_payload(decode=True) == picture
    assert (told["file"].get_content_type(), told["file"].get_filename()) == ("image/png", "file")
    assert told["place"].get_content_type() == "application/json"
    with pytest.raises(ToolValidationError, match="must be base64"):
        await call(shop(echo), "photos_add", {"id": "7", "file": "no base64!"})


async def test_bytes_are_sent_as_they_are(echo: Echo) -> None:
    api = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"token": "NOTES_TOKEN"})
    await call(api, "import", {"body": base64.b64encode(b"\0\xff").decode()})
    assert (echo.last.body, echo.last.headers["content-type"]) == (b"\0\xff", "application/octet-stream")


async def test_every_place_and_style_of_a_3_1_document(echo: Echo) -> None:
    api = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"token": "NOTES_TOKEN"})
    args = {"book": "Q&A/2024", "ext": "md", "filter_by_name": "ü", "text": True, "where": {"a": [1]}, "session": "s 1"}
    await call(api, "update_note", {**args, "body": {"text": None, "pair": [1, "a"]}})
    assert echo.last.target == (
        "/Q%26A%2F2024/notes.md?filter%5Bby%20name%5D=%C3%BC&text=true&where=%7B%22a%22%3A%5B1%5D%7D"
    )
    assert echo.last.headers["cookie"] == "session=s%201"
    assert echo.last.headers["authorization"] == "Bearer tok-of-notes"
    assert echo.last.headers["content-type"] == "application/merge-patch+json"


# From the table of RFC 6570's examples in the OpenAPI Specification 3.1.1, section 4.8.12.5.
COLORS, RGB = ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


@pytest.mark.parametrize(
    ("style", "explode", "value", "written"),
    [
        ("matrix", False, "blue", ";p=blue"),
        ("matrix", False, COLORS, ";p=blue,black,brown"),
        ("matrix", False, RGB, ";p=R,100,G,200,B,150"),
        ("matrix", True, COLORS, ";p=blue;p=black;p=brown"),
        ("matrix", True, RGB, ";R=100;G=200;B=150"),
        ("label", False, "blue", ".blue"),
        ("label", False, COLORS, ".blue,black,brown"),
        ("label", True, COLORS, ".blue.black.brown"),
        ("label", True, RGB, ".R=100.G=200.B=150"),
        ("simple", False, COLORS, "blue,black,brown"),
        ("simple", False, RGB, "R,100,G,200,B,150"),
        ("simple", True, RGB, "R=100,G=200,B=150"),
    ],
)
async def test_styles_of_paths(echo: Echo, style: str, explode: bool, value: Any, written: str) -> None:
    parameter = {"in": "path", "required": True, "style": style, "explode": explode, "schema": {}}
    await call(OpenAPITools.load(one(parameter, "/c{p}/z"), base_url=echo.url), "x", {"p": value})
    assert echo.last.target == f"/c{written}/z"


@pytest.mark.parametrize(
    ("style", "explode", "value", "written"),
    [
        ("form", True, "", "p="),
        ("form", True, COLORS, "p=blue&p=black&p=brown"),
        ("form", True, RGB, "R=100&G=200&B=150"),
        ("form", False, COLORS, "p=blue,black,brown"),
        ("form", False, RGB, "p=R,100,G,200,B,150"),
        ("spaceDelimited", False, COLORS, "p=blue%20black%20brown"),
        ("spaceDelimited", False, RGB, "p=R%20100%20G%20200%20B%20150"),
        ("pipeDelimited", False, COLORS, "p=blue%7Cblack%7Cbrown"),
        ("deepObject", True, RGB, "p%5BR%5D=100&p%5BG%5D=200&p%5BB%5D=150"),
        ("form", True, [], ""),
    ],
)
async def test_styles_of_queries(echo: Echo, style: str, explode: bool, value: Any, written: str) -> None:
    parameter = {"in": "query", "style": style, "explode": explode, "schema": {}}
    await call(OpenAPITools.load(one(parameter), base_url=echo.url), "x", {"p": value})
    assert echo.last.target == "/x" + (f"?{written}" if written else "")


@pytest.mark.parametrize(
    ("explode", "value", "written"),
    [(False, COLORS, "blue,black,brown"), (True, RGB, "R=100,G=200,B=150"), (False, RGB, "R,100,G,200,B,150")],
)
async def test_styles_of_headers(echo: Echo, explode: bool, value: Any, written: str) -> None:
    parameter = {"in": "header", "explode": explode, "schema": {}}
    await call(OpenAPITools.load(one(parameter), base_url=echo.url), "x", {"p": value})
    assert echo.last.headers["p"] == written


text = st.text(st.characters(codec="utf-8"), max_size=12)


@pytest.fixture(scope="module")
def server() -> Iterator[Echo]:
    with echoing() as echo:
        yield echo


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segment=text, query=text, items=st.lists(text, max_size=3), cookie=text, body=text)
async def test_whatever_a_model_writes_arrives_in_one_piece_where_it_belongs(
    server: Echo, segment: str, query: str, items: list[str], cookie: str, body: str
) -> None:
    document = one({"in": "path", "required": True, "schema": {"type": "string"}}, "/a/{p}/z", "post")
    operation = document["paths"]["/a/{p}/z"]["post"]
    operation["parameters"] += [
        {"name": "q&=", "in": "query", "schema": {"type": "string"}},
        {"name": "list", "in": "query", "schema": {"type": "array"}},
        {"name": "c", "in": "cookie", "schema": {"type": "string"}},
    ]
    operation["requestBody"] = {"content": {"application/json": {"schema": {"type": "string"}}}}
    api = OpenAPITools.load(document, base_url=server.url)
    args = {"p": segment, "q": query, "list": items, "c": cookie, "body": body}
    assume(segment and not any(piece in (".", "..") for piece in segment.replace("\\", "/").split("/")))
    await call(api, "x", args)
    asked = server.last
    before, written, after = asked.path.split("/")[1:]
    assert (before, unquote(written, errors="strict"), after) == ("a", segment, "z")
    assert asked.query == [("q&=", query), *[("list", item) for item in items]]
    assert unquote(asked.headers["cookie"].removeprefix("c=")) == cookie
    assert asked.json == body


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=text)
async def test_no_argument_adds_a_header(server: Echo, value: str) -> None:
    api = OpenAPITools.load(one({"in": "header", "schema": {"type": "string"}}), base_url=server.url)
    before = len(server.asked)
    try:
        await call(api, "x", {"p": value})
    except ToolValidationError:
        assert len(server.asked) == before
        return
    asked = server.last
    assert asked.headers["p"].encode("latin-1").decode() == value
    assert set(asked.headers) == {"host", "accept", "accept-encoding", "connection", "user-agent", "p"}


@pytest.mark.parametrize("value", ["..", ".", "", "../admin", "a/../../b", "..\\x", ["a", ".."], {}])
async def test_no_argument_climbs_out_of_its_path(echo: Echo, value: Any) -> None:
    api = OpenAPITools.load(one({"in": "path", "required": True, "schema": {}}, "/a/{p}"), base_url=echo.url)
    with pytest.raises(ToolValidationError, match="path"):
        await call(api, "x", {"p": value})
    assert echo.asked == []


async def test_two_arguments_cannot_climb_together(echo: Echo) -> None:
    document = one({"in": "path", "required": True, "style": "label", "schema": {}}, "/a/{p}{q}/b")
    document["paths"]["/a/{p}{q}/b"]["get"]["parameters"].append(
        {"name": "q", "in": "path", "required": True, "style": "simple", "schema": {}}
    )
    api = OpenAPITools.load(document, base_url=echo.url)
    with pytest.raises(ToolValidationError, match="path"):
        await call(api, "x", {"p": [], "q": "."})
    assert echo.asked == []


async def test_the_idempotency_key_is_the_calls_own(echo: Echo) -> None:
    api = shop(echo)
    for key in ("run-1:pay.1", "run-1:pay.1", "run-1:Zahlung über\n1"):
        await call(api, "orders_create", {"item": "tent"}, key)
    keys = [asked.headers["idempotency-key"] for asked in echo.asked]
    assert keys[0] == keys[1] == "run-1:pay.1"
    assert len(keys[2]) == 64


# ------------------------------------------------------------------------------------------------------ credentials


async def test_credentials_are_sent_as_their_scheme_says(echo: Echo) -> None:
    await call(shop(echo), "items_delete", {"id": "7"})
    assert echo.last.headers["authorization"] == "Basic " + base64.b64encode(b"ann:pass word").decode()
    assert "x-key" not in echo.last.headers
    both = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"query": "NOTES_KEY", "cookie": "NOTES_SID"})
    await call(both, "export", {})
    assert echo.last.query == [("api_key", "k&y of notes")]
    assert echo.last.headers["cookie"] == "sid=s%3Bd"


async def test_a_credential_may_be_a_function_and_is_asked_each_time(echo: Echo) -> None:
    tokens = iter(["first-token", "second-token"])

    async def fresh() -> str:
        return next(tokens)

    api = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"token": fresh})
    for _ in range(2):
        await call(api, "export", {})
    assert [asked.headers["authorization"] for asked in echo.asked] == ["Bearer first-token", "Bearer second-token"]
    with pytest.raises(NotDone, match="could not be had"):
        await call(api, "export", {})


async def test_secrets_are_taken_out_of_whatever_comes_back(echo: Echo) -> None:
    encoded = base64.b64encode(b"ann:pass word").decode()
    api = shop(echo)
    echo.answer = lambda asked: (200, {"seen": asked.headers.get("authorization"), "why": ["pass word"]})
    assert await call(api, "items_delete", {"id": "7"}) == {"seen": "Basic [redacted]", "why": ["[redacted]"]}
    echo.answer = lambda asked: (403, {"error": f"{encoded} is not known, nor is 'pass word'"})
    with pytest.raises(ToolError) as raised:
        await call(api, "items_delete", {"id": "7"})
    assert "pass word" not in str(raised.value)
    assert encoded not in str(raised.value)
    echo.answer = lambda asked: (200, b"token tok-of-notes", {"content-type": "text/plain"})
    notes = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"token": "NOTES_TOKEN"})
    assert await call(notes, "export", {}) == "token [redacted]"


async def test_a_secret_is_found_however_the_answer_writes_it(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_TOKEN", "ab/cd\u00fcef+gh")
    notes = OpenAPITools.load(NOTES_31, base_url=echo.url, auth={"token": "NOTES_TOKEN"})
    written = (rb"ab/cd\u00fcef+gh", rb"ab\/cd\u00fcef+gh", rb"\u0061b\/cd\u00fcef\u002bgh")
    for way in written:
        echo.answer = lambda asked, way=way: (200, b'{"seen": "' + way + b'"}', {"content-type": "application/json"})
        assert await call(notes, "export", {}) == {"seen": "[redacted]"}
    for way in (*written[:2], b"ab%2Fcd%C3%BCef%2Bgh", b"ab/cd%C3%BCef+gh"):
        echo.answer = lambda asked, way=way: (403, b'{"error": "' + way + b'"}', {"content-type": "application/json"})
        with pytest.raises(ToolError) as raised:
            await call(notes, "export", {})
        assert str(raised.value).endswith('{"error": "[redacted]"}')


@pytest.mark.parametrize("broken", ["", "two\nlines"])
async def test_a_credential_that_went_bad_stops_the_call_before_it_is_sent(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    api = shop(echo)
    monkeypatch.setenv("SHOP_KEY", broken)
    with pytest.raises(NotDone, match="credential for 'key'"):
        await call(api, "search", {})
    assert echo.asked == []


# ---------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ((200, {"a": [1]}), {"a": [1]}),
        ((201, b"\xc3\xa9", {"content-type": "text/plain; charset=utf-8"}), "é"),
        ((200, b"\xe9", {"content-type": "text/plain; charset=latin-1"}), "é"),
        ((204, b""), {"status": 204}),
        ((200, b"\x89PNG", {"content-type": "image/png"}), {"media_type": "image/png", "base64": "iVBORw=="}),
        ((200, b"[1]", {"content-type": "application/vnd.x+json"}), [1]),
    ],
)
async def test_answers_become_plain_values(echo: Echo, answer: Any, value: Any) -> None:
    echo.answer = lambda asked: answer
    assert await call(shop(echo), "search", {}) == value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ToolValidationError), (404, ToolValidationError), (409, ToolValidationError),
        (429, NotDone), (500, ToolUnavailable), (503, ToolUnavailable), (304, ToolUnavailable),
    ],
)  # fmt: skip
async def test_a_refusal_says_whether_anything_can_have_happened(echo: Echo, status: int, kind: type) -> None:
    echo.answer = lambda asked: (status, {"message": "no,\n  because"}, {"retry-after": "7"})
    with pytest.raises(kind, match=rf"search: the server answered {status}") as raised:
        await call(shop(echo), "search", {})
    assert type(raised.value) is kind
    assert raised.value.data["status"] == status
    assert raised.value.data["retry_after"] == 7.0
    assert "\n" not in str(raised.value)


async def test_a_long_error_is_cut(echo: Echo) -> None:
    echo.answer = lambda asked: (400, b"x" * 1_000_000, {"content-type": "text/html"})
    with pytest.raises(ToolError) as raised:
        await call(shop(echo), "search", {})
    assert len(str(raised.value)) < 1000


async def test_an_answer_that_does_not_fit_its_schema_is_given_on_with_one_line_in_the_log(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    echo.answer = lambda asked: (200, [{"id": "1"}])
    with caplog.at_level(logging.WARNING, "podium"):
        api = shop(echo)
        for _ in range(2):
            assert await call(api, "items_list", {"X-Tenant": "a"}) == [{"id": "1"}]
    assert len([record for record in caplog.records if "does not fit the document" in record.getMessage()]) == 1
    with pytest.raises(ToolValidationError, match="/0: must have 'name'") as raised:
        await call(shop(echo, strict=True), "items_list", {"X-Tenant": "a"})
    assert raised.value.data["where"] == "result"


async def test_answers_are_bounded(echo: Echo) -> None:
    echo.answer = lambda asked: (200, b'"' + b"x" * 5_000_000 + b'"')
    with pytest.raises(ToolError, match="ask for less"):
        await call(shop(echo), "search", {})


async def test_a_compressed_bomb_is_bounded(echo: Echo) -> None:
    import gzip

    bomb = gzip.compress(b"\0" * 50_000_000)
    echo.answer = lambda asked: (200, bomb, {"content-encoding": "gzip"})
    with pytest.raises(ToolError, match="ask for less"):
        await call(shop(echo), "search", {})


async def test_what_is_no_json_is_said(echo: Echo) -> None:
    echo.answer = lambda asked: (200, b"<html>")
    with pytest.raises(ToolValidationError, match="says it is application/json and is not"):
        await call(shop(echo), "search", {})


# --------------------------------------------------------------------------------------------------------- failures


async def test_a_server_that_is_not_there_was_certainly_not_asked() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        api = OpenAPITools.load(SHOP, base_url=url, auth={"key": "SHOP_KEY", "login": "SHOP_LOGIN"})
        with pytest.raises(NotDone, match=r"cannot connect to http://127\.0\.0\.1"):
            await call(api, "search", {})


async def test_a_connection_that_breaks_leaves_the_outcome_open(echo: Echo) -> None:
    echo.answer = lambda asked: None
    with pytest.raises(ToolUnavailable, match="broke off"):
        await call(shop(echo), "search", {})
    assert len(echo.asked) == 1  # and it is not asked again from here


async def test_a_server_that_does_not_answer_is_given_up(echo: Echo) -> None:
    import threading

    done = threading.Event()
    echo.answer = lambda asked: (200, {"late": done.wait(30)})
    with pytest.raises(ToolTimeoutError, match=r"did not answer within 0\.2 seconds"):
        await call(shop(echo, timeout=0.2), "search", {})
    done.set()


async def test_redirects_are_followed_within_the_origin_only(echo: Echo) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "/api/items":
            return 302, b"", {"location": "/moved"}
        return 200, [{"id": "1", "name": "Tent"}]

    echo.answer = answer
    assert len(await call(shop(echo), "items_list", {"X-Tenant": "a"})) == 1
    assert [asked.path for asked in echo.asked] == ["/api/items", "/moved"]
    echo.answer = lambda asked: (302, b"", {"location": "http://127.0.0.1:1/steal"})
    with pytest.raises(ToolError, match="another origin, which is not followed"):
        await call(shop(echo), "items_list", {"X-Tenant": "a"})
    echo.answer = lambda asked: (302, b"", {"location": asked.path})
    with pytest.raises(ToolError, match="redirects more than 5 times"):
        await call(shop(echo), "items_list", {"X-Tenant": "a"})


async def test_a_write_follows_only_redirects_that_promise_nothing_was_done(echo: Echo) -> None:
    echo.answer = lambda asked: (307, b"", {"location": "/there"}) if asked.path != "/there" else (200, {})
    assert await call(shop(echo), "search", {"body": "q"}) == {}
    assert [(asked.method, asked.body) for asked in echo.asked] == [("POST", b'"q"')] * 2
    echo.answer = lambda asked: (302, b"", {"location": "/there"})
    with pytest.raises(ToolError, match="a redirect that a POST does not follow"):
        await call(shop(echo), "search", {})


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "169.254.169.254"])
async def test_a_document_does_not_lead_to_private_addresses(echo: Echo, host: str) -> None:
    port = echo.url.rpartition(":")[2]
    document = one({"in": "query", "schema": {}})
    document["servers"] = [{"url": f"http://{host.format(port=port)}"}]
    with pytest.raises(NotDone, match=r"not public|not a public"):
        await call(OpenAPITools.load(document), "x", {})
    assert echo.asked == []


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "0177.1", "0177.0.0.1", "127.1"])
def test_an_unusual_spelling_of_an_address_is_none(host: str) -> None:
    document = one({"in": "query", "schema": {}})
    document["servers"] = [{"url": f"http://{host}/"}]
    reason = OpenAPITools.load(document).skipped["GET /x"]
    assert "unusual spelling of an address" in reason or "is not an address" in reason


async def test_a_private_address_may_be_allowed(echo: Echo) -> None:
    document = one({"in": "query", "schema": {}})
    document["servers"] = [{"url": echo.url}]
    api = OpenAPITools.load(document, allow=[echo.url.removeprefix("http://")])
    assert await call(api, "x", {}) == {"ok": True}
    assert echo.last.headers["host"] == echo.url.removeprefix("http://")


# ---------------------------------------------------------------------------------------------------- with an agent


def test_an_agent_calls_the_api_and_learns_from_its_refusals(echo: Echo) -> None:
    def answer(asked: Asked) -> Any:
        return (
            (200, {"id": "1", "name": "Tent"}) if asked.path.endswith("/items/1") else (404, {"message": "no item 2"})
        )

    echo.answer = answer
    model = ScriptedModel([ToolCall("items_get", {"id": "2"}), ToolCall("items_get", {"id": "1"}), "It is a tent."])
    result = Agent("clerk", model, list(shop(echo))).run_sync("What is item 2?")
    assert result.unwrap() == "It is a tent."
    refused, found = [part for message in result.messages for part in message.parts if isinstance(part, ToolResult)]
    assert "404 Not Found" in refused.content
    assert "no item 2" in refused.content
    assert json.loads(found.content) == {"id": "1", "name": "Tent"}
    assert [asked.path for asked in echo.asked] == ["/api/items/2", "/api/items/1"]  # a refusal is not repeated
    assert "key-of-the-shop" not in repr(result.records)


def test_a_write_whose_outcome_is_unknown_asks_a_person(echo: Echo) -> None:
    echo.answer = lambda asked: (502, {"message": "bad gateway"})
    model = ScriptedModel([ToolCall("items_create", {"X-Tenant": "acme", "name": "Tent"}), "Done."])
    result = Agent("clerk", model, list(shop(echo))).run_sync("Add a tent.")
    assert result.status == "suspended"
    assert "Did items_create happen?" in result.pending[0].prompt
    assert len(echo.asked) == 1


async def test_a_read_is_repeated_after_a_failure_that_may_pass(echo: Echo) -> None:
    answers = iter([(503, {}), None, (200, {"id": "1", "name": "Tent"})])
    echo.answer = lambda asked: next(answers)
    done = await ToolExecutor(shop(echo), backoff=0).execute("items_get", {"id": "1"})
    assert (done.success, done.attempts) == (True, 3)
