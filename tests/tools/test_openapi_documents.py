"""What becomes of a document: names, arguments, effects, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from http_echo import echoing
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_documents import NOTES_31, SHOP_30

from podium.core.errors import ConfigurationError
from podium.core.labels import untrusted
from podium.tools.openapi import OpenAPITools

SHOP: dict[str, Any] = yaml.safe_load(SHOP_30)
AT = "http://127.0.0.1:9"
BOMB = "b0: &b0 [x, x]\n" + "".join(f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}]\n" for n in range(1, 64))
"""A few lines of YAML that stand for 2**64 values."""


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "key-of-the-shop")
    monkeypatch.setenv("SHOP_LOGIN", "ann:pass word")
    monkeypatch.setenv("NOTES_TOKEN", "tok-of-notes")


def shop(**options: Any) -> OpenAPITools:
    given: dict[str, Any] = {"base_url": AT, "auth": {"key": "SHOP_KEY", "login": "SHOP_LOGIN"}, **options}
    return OpenAPITools.load(SHOP, **given)


def notes(**options: Any) -> OpenAPITools:
    given: dict[str, Any] = {"base_url": AT, "auth": {"token": "NOTES_TOKEN"}, **options}
    return OpenAPITools.load(NOTES_31, **given)


def small(**operation: Any) -> dict[str, Any]:
    """A document with one operation, `GET /x`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "servers": [{"url": "https://api.example.com"}],
        "paths": {"/x": {"get": {"operationId": "x", "responses": {}, **operation}}},
    }


def test_every_operation_becomes_a_tool_with_an_effect_from_its_method() -> None:
    assert {tool.name: (tool.effect, tool.reach) for tool in shop()} == {
        "items_list": ("read", "external"),
        "items_create": ("write", "external"),
        "items_get": ("read", "external"),
        "items_replace": ("idempotent", "external"),
        "items_delete": ("idempotent", "destructive"),
        "photos_add": ("write", "external"),
        "orders_create": ("idempotent", "external"),  # it takes an idempotency key
        "search": ("write", "external"),
    }
    assert shop().skipped == {}


def test_tools_are_described_and_labelled_by_the_document() -> None:
    tool = shop()["items_create"]
    assert tool.description == "Add an item to the shop."  # its summary is the beginning of that
    assert shop()["items_list"].description == "List items"
    assert tool.tags == ("openapi", "stock")
    assert tool.version == "1.4.2"
    assert tool.label == untrusted("tool:items_create")
    assert shop()["items_delete"].description.startswith("(deprecated)")


def test_parameters_and_body_become_one_object_without_what_is_read_only() -> None:
    parameters = shop()["items_create"].spec.parameters
    assert set(parameters["properties"]) == {"X-Tenant", "name", "price", "secret_note", "parts", "maker"}
    assert parameters["required"] == ["X-Tenant", "name"]
    assert parameters["properties"]["X-Tenant"] == {"type": "string", "description": "Whose shop."}
    assert parameters["properties"]["price"] == {"type": ["number", "null"], "minimum": 0}
    assert parameters["properties"]["maker"] == {"anyOf": [{"allOf": [{"$ref": "#/$defs/Maker"}]}, {"type": "null"}]}
    assert "id" not in parameters["$defs"]["Item"]["properties"]
    assert parameters["$defs"]["Item"]["required"] == ["name"]
    assert "example" not in json.dumps(parameters)


def test_the_dialect_of_3_0_is_translated() -> None:
    limit = shop()["items_list"].spec.parameters["properties"]["limit"]
    assert limit == {"type": "integer", "exclusiveMinimum": 0, "maximum": 100, "default": 20}


def test_3_1_is_taken_as_it_is() -> None:
    parameters = notes()["update_note"].spec.parameters
    note = parameters["$defs"]["Note"]
    assert note["properties"]["text"] == {"type": ["string", "null"], "maxLength": 100}
    assert note["properties"]["children"]["items"] == {"$ref": "#/$defs/Note", "description": "below"}
    assert note["properties"]["pair"]["items"] is False


def test_a_body_whose_names_meet_parameters_is_one_argument() -> None:
    parameters = notes()["update_note"].spec.parameters
    assert set(parameters["properties"]) == {
        "book", "ext", "filter_by_name", "text", "where", "session", "body",
    }  # fmt: skip
    assert parameters["required"] == ["book", "ext", "body"]
    assert shop()["search"].spec.parameters["properties"]["body"]["oneOf"]


def test_parameters_of_one_name_in_two_places_are_told_apart() -> None:
    both = [{"name": "id", "in": place, "required": True, "schema": {}} for place in ("query", "header")]
    api = OpenAPITools.load(small(parameters=both))
    assert set(api["x"].spec.parameters["properties"]) == {"id_query", "id_header"}


def test_an_operation_without_a_name_is_called_by_its_method_and_path() -> None:
    assert "head_export" in notes().names


def test_names_that_meet_are_numbered_and_said() -> None:
    document = small()
    document["paths"]["/y"] = {"get": {"operationId": "x", "responses": {}}}
    api = OpenAPITools.load(document)
    assert api.names == ("x", "x_2")
    assert api.notes == ("GET /y is named 'x_2', because GET /x is 'x' already",)


def test_operations_are_chosen_by_name_path_and_tag() -> None:
    assert shop(include="orders.*").names == ("orders_create",)
    assert shop(include="GET /items*", prefix="shop_").names == ("shop_items_list", "shop_items_get")
    assert shop(include=["tag:stock"], exclude=["POST *", "items_delete"]).names == (
        "items_list", "items_get", "items_replace",
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="no operation fits 'tag:none'"):
        shop(include="tag:none")


def test_the_user_may_say_an_effect_better_than_the_method() -> None:
    assert shop(effects={"search": "read"})["search"].effect == "read"
    assert shop(effects={"items.create": "idempotent"})["items_create"].effect == "idempotent"
    with pytest.raises(ConfigurationError, match="'serach', which is no operation"):
        shop(effects={"serach": "read"})
    reed: Any = {"search": "reed"}
    with pytest.raises(ConfigurationError, match=r"effects\['search'\] = 'reed': say one of read"):
        shop(effects=reed)


def test_credentials_must_be_there_before_anything_is_called() -> None:
    with pytest.raises(ConfigurationError, match="POST /items: it needs credentials for 'key'"):
        shop(auth={})
    assert shop(auth={}, include="items.list").names == ("items_list",)  # which is for everybody
    with pytest.raises(ConfigurationError, match="no scheme of the document: it has 'key', 'login'"):
        shop(auth={"token": "SHOP_KEY"})
    with pytest.raises(ConfigurationError, match="the environment variable NOPE is not set"):
        shop(auth={"key": "NOPE"})


@pytest.mark.parametrize("secret", ["sk-live-0123456789", "a b", "", 7])
def test_a_secret_in_the_code_is_refused_without_repeating_it(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="NAME of an environment variable") as raised:
        shop(auth={"key": secret})
    assert not secret or str(secret) not in str(raised.value)


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_document_is_read_from_json_and_yaml_files(tmp_path: Path, write: Any) -> None:
    file = tmp_path / "api.txt"
    file.write_text(write(NOTES_31))
    read = OpenAPITools.load(file, base_url=AT, auth={"token": "NOTES_TOKEN"})
    assert {tool.name: tool.spec for tool in read} == {tool.name: tool.spec for tool in notes()}


def test_yaml_keeps_texts_that_look_like_something_else(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(
        "openapi: 3.0.0\ninfo: {title: t, version: 2024-01-01}\nservers: [{url: 'https://a.example'}]\n"
        "paths:\n  /x:\n    get:\n      operationId: on\n"
        "      parameters: [{name: q, in: query, schema: {enum: [no, on, 2024-01-01]}}]\n      responses: {200: {}}\n"
    )
    tool = OpenAPITools.load(file)["on"]
    assert tool.version == "2024-01-01"
    assert tool.spec.parameters["properties"]["q"]["enum"] == ["no", "on", "2024-01-01"]


def test_a_document_is_fetched_from_its_address_and_served_from_there() -> None:
    with echoing() as echo:
        document = {**copy.deepcopy(NOTES_31), "security": []}
        echo.answer = lambda asked: (200, document) if asked.path == "/spec/openapi.json" else (200, {})
        api = OpenAPITools.load(f"{echo.url}/spec/openapi.json")
        assert set(api.names) == {"update_note", "export", "head_export", "import"}
        echo.answer = lambda asked: (404, {})
        with pytest.raises(ConfigurationError, match="answered 404"):
            OpenAPITools.load(f"{echo.url}/spec/openapi.json")
        echo.answer = lambda asked: (302, b"", {"location": AT + "/x"})
        with pytest.raises(ConfigurationError, match=r"redirects to http://127\.0\.0\.1:9/x"):
            OpenAPITools.load(f"{echo.url}/spec/openapi.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"openapi": "2.0"}, "3.0 or 3.1"),
        ({"openapi": None, "swagger": "2.0"}, "convert it to OpenAPI 3"),
        ({"openapi": 3.0}, "3.0 or 3.1"),
        ({"paths": []}, "is not an object"),
        ({"jsonSchemaDialect": "http://json-schema.org/draft-04/schema#"}, "is not supported"),
        ({"info": {"title": {1, 2}}}, "not JSON"),
    ],
)
def test_a_document_of_another_kind_is_refused_with_the_remedy(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        OpenAPITools.load({**small(), **change})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("openapi: [", "is not YAML"),
        ("{", "is not JSON"),
        ("- a", "an object was expected"),
        ("openapi: 3.0.0\nx: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("a: &a {b: 1}\nopenapi: 3.0.0\npaths: {<<: *a}", "merge keys"),
        (BOMB, "levels|values"),
        ("a: &a [*a]", "levels"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        OpenAPITools.load(file)


def test_a_missing_library_is_said_with_the_command_that_installs_it() -> None:
    program = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from podium.core.errors import MissingExtra\n"
        "from podium.tools.openapi import OpenAPITools\n"
        "document = {'openapi': '3.1.0', 'servers': [{'url': 'https://a.example'}], 'paths': {'/x': {'get': {}}}}\n"
        "try: OpenAPITools.load(document)\n"
        "except MissingExtra as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert 'pip install "podium[openapi]"' in said.stdout


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        OpenAPITools.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"parameters": [{"$ref": "other.yaml#/x"}]}, "leads out of the document"),
        ({"parameters": [{"$ref": "#/paths/~1x/get/parameters/0"}]}, "leads back to itself"),
        ({"parameters": [{"name": "q", "in": "query", "schema": {"$ref": "https://example.com/s"}}]}, "leads out"),
        ({"parameters": [{"name": "q", "in": "query", "schema": {"$ref": "#/components/schemas/No"}}]}, "nowhere"),
        ({"parameters": [{"name": "q", "in": "body"}]}, "which is no place"),
        ({"parameters": [{"name": "Host", "in": "header", "required": True}]}, "which no argument may set"),
        ({"parameters": [{"name": "q", "in": "query", "style": "matrix"}]}, "which is none for a query"),
        ({"parameters": [{"name": "q", "in": "query", "schema": {"type": "text"}}]}, "not a JSON schema"),
        ({"parameters": 7}, "malformed"),
        ({"parameters": [3]}, "stands in its place"),
        ({"requestBody": {"content": {"image/*": {}}}}, "no media type that can be sent"),
        ({"servers": [{"url": "ftp://files.example.com"}]}, "is no http address"),
        ({"servers": [{"url": "https://ann:pw@api.example.com"}]}, "has credentials"),
        ({"servers": [{"url": "https://{host}/"}]}, "needs 'host'"),
    ],
)
def test_an_operation_that_cannot_be_a_tool_is_skipped_with_the_reason(operation: dict[str, Any], said: str) -> None:
    document = small(**operation)
    document["paths"]["/y"] = {"get": {"operationId": "y", "responses": {}}}
    api = OpenAPITools.load(document)
    assert api.names == ("y",)
    assert said in api.skipped["GET /x"]


def test_schemas_may_refer_to_themselves_in_circles() -> None:
    a, b = {"$ref": "#/components/schemas/B"}, {"$ref": "#/components/schemas/A"}
    document = small(parameters=[{"name": "q", "in": "query", "schema": {"$ref": "#/components/schemas/Tree"}}])
    document["components"] = {"schemas": {
        "Tree": {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}}}, "A": a, "B": b,
    }}  # fmt: skip
    assert OpenAPITools.load(document)["x"].resolve({"q": {"left": {"left": {}}}})
    document["paths"]["/x"]["get"]["parameters"][0]["schema"] = a
    assert "leads back to itself" in OpenAPITools.load(document).skipped["GET /x"]


def test_read_only_properties_required_elsewhere_in_a_composition_are_not_asked_for() -> None:
    base = {"type": "object", "properties": {"id": {"type": "string", "readOnly": True}, "n": {"type": "integer"}}}
    document = small()
    document["components"] = {"schemas": {"Base": base}}
    document["paths"]["/x"]["post"] = {
        "operationId": "make",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {
            "allOf": [{"$ref": "#/components/schemas/Base"}, {"required": ["id", "n"]}]}}}},
    }  # fmt: skip
    body = OpenAPITools.load(document)["make"].spec.parameters["properties"]["body"]
    assert body["allOf"] == [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"required": ["n"]}]


def test_credentials_do_not_follow_an_operation_to_another_host() -> None:
    document = small(security=[{"key": []}], servers=[{"url": "https://elsewhere.example"}])
    document["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    auth = {"key": "SHOP_KEY"}
    with pytest.raises(ConfigurationError, match=r"served by elsewhere\.example:443, not by api\.example\.com:443"):
        OpenAPITools.load(document, auth=auth)
    assert OpenAPITools.load(document, auth=auth, allow=["elsewhere.example"]).names == ("x",)


def test_server_variables_are_chosen_among_those_the_document_has() -> None:
    options: dict[str, Any] = {"base_url": None, "auth": {"key": "SHOP_KEY", "login": "SHOP_LOGIN"}}
    assert len(OpenAPITools.load(SHOP, variables={"region": "us"}, **options)) == 8
    api = OpenAPITools.load(SHOP, variables={"region": "mars"}, **options)
    assert len(api) == 0
    assert all("is one of ['eu', 'us'], not 'mars'" in reason for reason in api.skipped.values())


def test_making_tools_of_a_document_directly_is_answered_with_load() -> None:
    source: Any = "shop.yaml"
    with pytest.raises(ConfigurationError, match=r"OpenAPITools\.load\('shop\.yaml'\)"):
        OpenAPITools(source)


def test_a_relative_server_needs_an_address() -> None:
    api = OpenAPITools.load(NOTES_31, auth={"token": "NOTES_TOKEN"})
    assert all("give base_url=" in reason for reason in api.skipped.values())


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("#/paths"),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "$ref",
                    "name",
                    "in",
                    "schema",
                    "type",
                    "properties",
                    "required",
                    "content",
                    "parameters",
                    "get",
                    "post",
                    "requestBody",
                    "responses",
                    "servers",
                    "url",
                    "security",
                    "items",
                    "allOf",
                    "style",
                    "explode",
                    "encoding",
                    "/x",
                    "{id}",
                    "tags",
                    "operationId",
                    "application/json",
                ]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(operation=junk, item=junk, components=junk)
def test_whatever_a_document_holds_it_is_read_or_refused_in_one_line(
    operation: Any, item: Any, components: Any
) -> None:
    document = small()
    document["paths"] |= {"/y": item, "/z/{id}": {"post": operation}}
    document["components"] = components
    try:
        said = repr(OpenAPITools.load(document))
    except ConfigurationError as error:
        said = str(error)
    assert said
    assert "\n" not in said
