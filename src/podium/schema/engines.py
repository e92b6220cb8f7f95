"""The two engines behind one face: msgspec for everything it supports, Pydantic for the rest.

An engine has one type's JSON Schema and turns plain JSON into a typed value and back. Pydantic is imported only when a
type needs it (docs/decisions/0003-msgspec-inside-pydantic-at-the-edge.md). Engines know neither functions nor outputs.
"""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, Union, cast

import msgspec

from podium.core.errors import ToolValidationError
from podium.core.redaction import redact_text

from .hints import holds_dataclass, uses_pydantic
from .json_schema import REF, top_resolved, with_defs
from .plain import dump, encode_other
from .problems import Mismatch, first_line, shown
from .terms import UNSUPPORTED, Hint, Json, JsonSchema


class Engine(Protocol):
    """One type's validator."""

    def schema(self) -> JsonSchema:
        """The type's JSON Schema, with its `$defs`."""
        ...

    def load(self, value: Any, *, lax: bool = True) -> Any:
        """The typed value. Raises Mismatch."""
        ...

    def dump(self, value: Any) -> Json:
        """Plain data that `load` accepts again."""
        ...


class NativeEngine:
    """msgspec. The type is boxed in a struct because msgspec keeps the analysis of structs, and of nothing else."""

    def __init__(self, hint: Hint) -> None:
        self._box = msgspec.defstruct("Box", [("value", hint)])
        self.unfinished = holds_dataclass(hint, set())
        self.schema()
        with contextlib.suppress(msgspec.ValidationError):
            msgspec.convert({}, self._box)  # analyses the type: what is unsupported raises TypeError here

    def schema(self) -> JsonSchema:
        """As msgspec describes the type."""
        (top,), defs = msgspec.json.schema_components((self._box,), ref_template=REF)
        return with_defs(defs.pop(top["$ref"].rpartition("/")[2])["properties"]["value"], defs)

    def load(self, value: Any, *, lax: bool = True) -> Any:
        """Exact types first, then values a program may give (enum members), then what is lossless. Raises Mismatch."""
        try:
            return self._convert(value, strict=True)
        except Mismatch as mismatch:
            first = mismatch
        try:
            plain = dump(value)  # enum members and the like, given by a program
        except ToolValidationError:
            raise first from None
        if plain is not value:
            try:
                return self._convert(plain, strict=True)
            except Mismatch:
                pass
        if not lax:
            raise first
        return self._convert(plain, strict=False)

    def _convert(self, value: Any, *, strict: bool) -> Any:
        try:
            box: Any = msgspec.convert({"value": value}, self._box, str_keys=True, strict=strict)
        except msgspec.ValidationError as error:
            raise Mismatch([self._problem(str(error), value)]) from None
        except RecursionError:
            raise Mismatch([("", "is nested too deeply")]) from None
        except Exception as error:  # noqa: BLE001 - a __post_init__ may raise anything: the value is what is wrong
            raise Mismatch([("", first_line(error))]) from None
        if self.unfinished:
            _finish(box.value)
        return box.value

    def _problem(self, text: str, value: object) -> tuple[str, str]:
        what, _, place = text.replace("`", "").rpartition(" - at ")
        key = place.startswith("key in ")
        path = place.removeprefix("key in ").removeprefix("$.value")
        what = what[:1].lower() + what[1:] + (" (in a key)" if key else "")
        if not path and not key:
            if what.startswith("invalid enum value"):
                choices = top_resolved(self.schema()).get("enum", ())
                what = "expected one of " + ", ".join(shown(choice) for choice in choices)
            what = f"{what.partition(', got ')[0]}, got {shown(value)}"
        return path, redact_text(what[:400])

    def dump(self, value: Any) -> Json:
        """Plain data, in the same order in every process."""
        return msgspec.to_builtins(value, str_keys=True, order="deterministic", enc_hook=encode_other)


class PydanticEngine:
    """Pydantic, for what is Pydantic's or unknown to msgspec."""

    def __init__(self, hint: Hint) -> None:
        import pydantic

        self._error = pydantic.ValidationError
        self._adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_for_pydantic(hint))
        self._schema = self._adapter.json_schema(mode="validation")

    def schema(self) -> JsonSchema:
        """As Pydantic describes what the type accepts."""
        return self._schema

    def load(self, value: Any, *, lax: bool = True) -> Any:
        """The value as the type's own mode validates it: `lax` is Pydantic's to decide. Raises Mismatch."""
        try:
            return self._adapter.validate_python(value)
        except self._error as error:
            found = error
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything: the value is what is wrong
            raise Mismatch([("", first_line(error))]) from None
        try:  # a strict model takes a date or an enum from JSON text only
            return self._adapter.validate_json(msgspec.json.encode(value, enc_hook=encode_other))
        except Exception:  # noqa: BLE001 - whatever was wrong, the first errors say it best
            raise Mismatch([self._problem(entry) for entry in found.errors(include_url=False)]) from None

    @staticmethod
    def _problem(entry: Mapping[str, Any]) -> tuple[str, str]:
        place: tuple[str | int, ...] = entry["loc"]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        what = str(entry["msg"])[:300].replace("Input should be", "should be")
        given = entry["input"]
        if entry["type"] == "missing" or isinstance(given, dict | list):
            return path, what
        return path, f"{what}, got {shown(given)}"

    def dump(self, value: Any) -> Json:
        """Plain data that validates again, by the names that validation reads."""
        return self._adapter.dump_python(value, mode="json", by_alias=True, round_trip=True, warnings=False)


def engine_for(hint: Hint) -> Engine:
    """The cheapest engine that supports `hint`. Raises one of UNSUPPORTED."""
    if not uses_pydantic(hint, set()):
        try:
            return NativeEngine(hint)
        except UNSUPPORTED:
            pass
    return PydanticEngine(hint)


def _finish(value: Any) -> None:
    """Give dataclasses the fields that msgspec leaves to the class (plain defaults), which it would not dump again."""
    if isinstance(value, dict):
        inner = list(cast("dict[Any, Any]", value).values())
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(cast("list[Any]", value))
    elif isinstance(value, msgspec.Struct):
        inner = [getattr(value, name) for name in value.__struct_fields__]
    elif hasattr(type(cast("object", value)), "__dataclass_fields__"):
        import dataclasses  # loaded already, by whoever made the class

        inner: list[Any] = []
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if field.name not in getattr(value, "__dict__", {field.name}):
                object.__setattr__(value, field.name, item)  # frozen ones too
            inner.append(item)
    else:
        return
    for item in inner:
        _finish(item)


def _for_pydantic(hint: Hint) -> Hint:
    """`hint` with msgspec's constraints in Pydantic's words, so that none is silently dropped."""
    if hasattr(hint, "__metadata__"):
        return Annotated[(_for_pydantic(hint.__origin__), *map(_constraint, hint.__metadata__))]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or origin is Literal or not args or not all(_is_hint(arg) for arg in args):
        return hint
    fresh = tuple(_for_pydantic(arg) for arg in args)
    if all(new is old for new, old in zip(fresh, args, strict=True)):
        return hint
    return Union[fresh] if origin in {Union, types.UnionType} else origin[fresh]  # noqa: UP007 - built from values


def _is_hint(arg: object) -> bool:
    return not isinstance(arg, list) and arg is not Ellipsis  # the arguments of a Callable, the rest of a tuple


def _constraint(item: object) -> object:
    if not isinstance(item, msgspec.Meta):
        return item
    import pydantic

    names = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "description", "examples")
    given: dict[str, Any] = {name: getattr(item, name) for name in names if getattr(item, name) is not None}
    return pydantic.Field(**given)
