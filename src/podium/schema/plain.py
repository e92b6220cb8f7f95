"""Values to plain JSON that the journal can hold: finite numbers, integers of 64 bits, well-formed text.

It knows no declared types: what a value is decides how it is written.
"""

from __future__ import annotations

import collections
import collections.abc
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from podium.core.errors import ToolValidationError

from .problems import first_line
from .terms import INT_HIGH, INT_LOW, Json


def dump(value: object, *, what: str = "the value") -> Json:
    """`value` as plain JSON that the journal can hold.

    Takes Pydantic models, dataclasses, msgspec and attrs classes, enums (by value), dates and times (ISO 8601),
    Decimal and UUID (text), bytes (base64), sets (sorted lists), mappings, paths, and lists and dicts of such. Never
    lost for a detail: NaN and infinities become None, an integer beyond 64 bits its digits as text, an unpaired
    surrogate U+FFFD. A value that is plain already is returned as the same object.

    Raises ToolValidationError, beginning with `what`, for what is not JSON.
    """
    kind = type(value)
    if kind is str:
        return value if cast("str", value).isascii() else _slow_dump(value, what)
    if value is None or kind is bool:
        return value
    if kind is dict:
        for key, item in cast("dict[object, object]", value).items():
            if type(key) is not str or not (key.isascii() and _plain_scalar(item)):
                return _slow_dump(value, what)
        return value
    if kind is list:
        for item in cast("list[object]", value):
            if not _plain_scalar(item):
                return _slow_dump(value, what)
        return value
    return value if _plain_scalar(value) else _slow_dump(value, what)


def _plain_scalar(value: Any) -> bool:
    kind: type[object] = type(value)  # pyright: ignore[reportUnknownVariableType] - plain JSON
    if kind is str:
        return value.isascii()
    if kind is int:
        return INT_LOW <= value < INT_HIGH
    if kind is float:
        return math.isfinite(value)
    return value is None or kind is bool


def _slow_dump(value: object, what: str) -> Json:
    try:
        try:
            # Through JSON and back, in C: NaN becomes null, tuples lists, keys text.
            plain = msgspec.json.decode(msgspec.json.encode(value, enc_hook=encode_other, order="deterministic"))
            msgspec.msgpack.encode(plain)
        except (UnicodeEncodeError, OverflowError):
            plain = _repaired(msgspec.to_builtins(value, enc_hook=encode_other, order="deterministic", str_keys=True))
    except RecursionError:
        raise ToolValidationError(f"{what} is nested too deeply (or holds itself): return flat data") from None
    except Exception as error:  # noqa: BLE001 - a user's property or __iter__ may raise anything; it is data that failed
        why = first_line(error).removesuffix(" is unsupported").removeprefix("Encoding objects of type ")
        raise ToolValidationError(
            f"{what} is {type(value).__name__}, which is not JSON ({why}): return text, numbers, lists, dicts, "
            f"dataclasses or Pydantic models"
        ) from None
    return plain


def _repaired(value: Any) -> Json:
    """The few values that JSON text can hold and the journal cannot, made fit."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int) and not INT_LOW <= value < INT_HIGH:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {_repaired(str(key)): _repaired(item) for key, item in entries.items()}
    if isinstance(value, list | tuple):
        return [_repaired(item) for item in cast("list[object]", value)]
    return value


def encode_other(value: Any) -> Any:
    """What msgspec does not know as a type of its own."""
    if isinstance(value, str):  # a subclass, as the next two
        return str.__str__(value)
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    import pathlib  # here, because it takes milliseconds to load and few values come this way

    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, collections.abc.Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, collections.deque | collections.abc.KeysView | collections.abc.ValuesView):
        return list(cast("Sequence[object]", value))
    family = type(value).__module__.partition(".")[0]
    if family == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if family == "ipaddress":
        return str(value)
    if hasattr(value, "__pydantic_serializer__") or family in {"pydantic", "pydantic_core"}:
        import pydantic_core

        return pydantic_core.to_jsonable_python(value)
    raise TypeError(type(value).__name__)


def find_unfit(value: Any, path: str = "") -> tuple[str, str] | None:
    """Where plain data holds something JSON or the journal cannot, and what."""
    if isinstance(value, float):
        return None if math.isfinite(value) else (path, "must be a finite number")
    if isinstance(value, int):
        return None if INT_LOW <= value < INT_HIGH else (path, "is an integer beyond 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path, "holds an unpaired surrogate, which is not text"
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            if found := find_unfit(key, path) or find_unfit(item, f"{path}.{key}"):
                return found
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            if found := find_unfit(item, f"{path}[{index}]"):
                return found
    return None
