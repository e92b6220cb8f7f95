"""Values to request bodies: JSON, forms, multipart forms, text and bytes.

Bytes come as base64, since arguments are JSON. A form's fields follow the `encoding` of the document, else the defaults
of the OpenAPI Specification 3.1, section 4.8.15: single values as text, objects as JSON.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any, Final, cast

import msgspec

from podium.core.errors import ToolValidationError

from .document import Document, Unusable
from .operations import Body, is_json
from .styles import Parameter, in_query, plain

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def encode_body(document: Document, body: Body, args: dict[str, Any]) -> tuple[bytes, str] | None:
    """The body and its content type, or None when no argument belongs to it. Raises ToolValidationError."""
    if body.argument is None:
        value: Any = {name: args[name] for name in body.properties if name in args}
        if not value:
            return None
    elif body.argument in args:
        value = args[body.argument]
    else:
        return None
    media = body.media
    if is_json(media):
        return msgspec.json.encode(value), media
    if media == "application/x-www-form-urlencoded":
        return _form(body, _fields(body, value)).encode(), media
    if media == "multipart/form-data":
        return _multipart(document, body, _fields(body, value))
    if media.startswith("text/"):
        return plain(value).encode(), f"{media}; charset=utf-8"
    return _bytes(body.argument or "body", value), media


def _fields(body: Body, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolValidationError(f"{body.argument or 'body'}: a form is an object of its fields")
    return cast("dict[str, Any]", value)


def _form(body: Body, fields: dict[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        said = body.encoding.get(name)
        told = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        style = told.get("style", "form")
        nested = isinstance(value, dict) and not {"style", "explode"} & told.keys()
        parameter = Parameter(
            name=name,
            argument=name,
            place="query",
            style=style,
            explode=told.get("explode", style == "form") is True,
            json=nested or is_json(str(told.get("contentType", ""))),
        )
        pairs += in_query(parameter, value)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _multipart(document: Document, body: Body, fields: dict[str, Any]) -> tuple[bytes, str]:
    boundary = f"podium-{secrets.token_hex(16)}"
    pieces: list[bytes] = []
    for name, value in fields.items():
        schema, many = _field_schema(document, body, name), isinstance(value, list)
        for item in cast("list[Any]", value) if many else [value]:
            content, kind, file = _part(document, body, name, schema, item)
            disposition = f'form-data; name="{name.translate(_ESCAPES)}"'
            if file:
                disposition += f'; filename="{name.translate(_ESCAPES)}"'
            head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
            head += f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n"
            pieces += [head.encode(), content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _part(document: Document, body: Body, name: str, schema: dict[str, Any], item: Any) -> tuple[bytes, str, bool]:
    """One part's content, its type (empty: plain text), and whether it is a file."""
    said = body.encoding.get(name)
    told = str(cast("dict[str, Any]", said).get("contentType", "")) if isinstance(said, dict) else ""
    told = told.partition(",")[0].strip()
    if "*" in told or any(character in told for character in "\r\n"):
        told = ""
    if isinstance(item, str) and is_binary(schema):
        kind = told or str(schema.get("contentMediaType", "application/octet-stream"))
        return _bytes(name, item), "".join(kind.split()), True
    if isinstance(item, dict | list) or is_json(told):
        return msgspec.json.encode(item), told or "application/json", False
    return plain(item).encode(), told, False


def _field_schema(document: Document, body: Body, name: str) -> dict[str, Any]:
    """What the document says of a form's field, or of the items of one that is an array."""
    try:
        properties = document.resolve(body.schema).get("properties", {})
        schema = document.resolve(properties.get(name))
        return document.resolve(schema.get("items")) if schema.get("type") == "array" else schema
    except (Unusable, AttributeError):
        return {}


def is_binary(schema: dict[str, Any]) -> bool:
    """Whether a field holds bytes: 3.0 says `format: binary`, 3.1 a media type or base64."""
    return (
        schema.get("format") == "binary"
        or schema.get("contentEncoding") == "base64"
        or ("contentMediaType" in schema and schema.get("type", "string") == "string")
    )


def _bytes(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(plain(value), validate=True)
    except (binascii.Error, ValueError):
        raise ToolValidationError(f"{name}: must be base64, since arguments are JSON") from None
