"""How values become bytes: MessagePack for the journal, a digest for comparison, plain objects for people.

One encoder is used everywhere, so that equal values have equal bytes and equal digests on every machine.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import hashlib
import uuid
from typing import Any, cast

import msgspec

from .errors import Erased

_encoder = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="canonical", order="deterministic")

_ERASED = 69
"""The MessagePack extension type (`E`) of a tombstone."""

GRAVE = msgspec.msgpack.Ext(_ERASED, b"")
"""What stands in a value where a part of it was erased. Reading such a value raises Erased."""
TOMBSTONE = _encoder.encode(GRAVE)
"""What stands where a payload was erased."""


def is_erased(data: bytes | msgspec.Raw) -> bool:
    """Whether a payload stood here that was erased."""
    return bytes(data) == TOMBSTONE


def _extension(code: int, data: memoryview) -> Any:
    if code == _ERASED:
        raise Erased("this payload was erased; what is left says only that it was there")
    return msgspec.msgpack.Ext(code, bytes(data))


_decoder = msgspec.msgpack.Decoder(ext_hook=_extension)
_lenient = msgspec.msgpack.Decoder(ext_hook=lambda code, data: msgspec.msgpack.Ext(code, bytes(data)))

encode = _encoder.encode
"""Any journal value to MessagePack, with keys and sets in a fixed order."""

DIGEST_BYTES = 12
"""96 bits: chance meetings of two digests in one run are out of the question; forging one gains nothing."""


def decode(data: bytes | msgspec.Raw) -> Any:
    """MessagePack to dicts, lists and scalars. Empty input is None (a value that was never set).

    Raises Erased for a payload that was erased.
    """
    return _decoder.decode(data) if data else None


def decode_remains(data: bytes | msgspec.Raw) -> Any:
    """As `decode`, for those who want what is left: GRAVE stands where something was erased."""
    return _lenient.decode(data) if data else None


def digest(data: bytes) -> bytes:
    """The short digest that requests are compared by."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def digest_of(value: object) -> bytes:
    """The digest of a value's encoding."""
    return hashlib.blake2b(_encoder.encode(value), digest_size=DIGEST_BYTES).digest()


def content_digest(data: bytes) -> str:
    """The full address of stored content: SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def readable(value: object) -> Any:
    """`value` as dicts with names, lists and scalars, for `--json` and for people.

    The journal's own form leaves field names out to stay small; this is its inverse for the eye, and is never read
    back.
    """
    if isinstance(value, enum.Enum):
        return value.name.lower() if isinstance(value, int) else value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, msgspec.Raw):
        try:
            return readable(decode(value))
        except Erased:
            return "[erased]"
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        named = {} if tag is None else {"type": tag}
        fields = {name: readable(getattr(value, name)) for name in value.__struct_fields__}
        return {**named, **fields}
    if isinstance(value, dict):
        return {str(key): readable(item) for key, item in cast("dict[object, object]", value).items()}
    if isinstance(value, set | frozenset):
        return sorted(readable(item) for item in cast("set[object]", value))
    if isinstance(value, list | tuple):
        return [readable(item) for item in cast("list[object]", value)]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal | uuid.UUID | datetime.datetime | datetime.date):
        return str(value)
    return msgspec.to_builtins(value, enc_hook=str)
