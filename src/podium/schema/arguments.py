"""Arguments, compiled: one engine for each parameter, or one for a model that is all of them.

Both forms have a JSON Schema, `load` plain arguments into typed keyword arguments and `resolve` them into completed
plain ones; what they raise names every problem. Where the parameters come from is `signature`'s business.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, cast

import msgspec

from podium.core.errors import ToolValidationError

from .engines import Engine, NativeEngine, engine_for
from .hints import described, field_names, has_floats, is_simple, type_name
from .json_schema import tidy, top_resolved, with_defs, without_clashes
from .plain import find_unfit
from .problems import Mismatch, first_line, message_of, shown, within
from .terms import MISSING, Hint, Json, JsonSchema


class Parameter:
    """One parameter of a function, described and with its engine."""

    __slots__ = ("default", "description", "engine", "hint", "name", "plain_default")

    def __init__(self, name: str, hint: Hint, default: Any, description: str) -> None:
        self.name, self.default = name, default
        self.description = described(hint) or description
        self.hint = hint
        if type(default).__module__ == "pydantic.fields":  # `x: int = Field(5, ge=1)`
            self.hint = Annotated[hint, default]
            self.description = default.description or self.description
            self.default = MISSING if default.is_required() else default.get_default(call_default_factory=True)
        if self.default is None and self.hint is not Any:
            self.hint = Union[self.hint, None]  # noqa: UP007 - `x: int = None` means optional
        self.engine = engine_for(self.hint)
        self.plain_default: Json = None
        if self.default is not MISSING:
            self.plain_default = self.engine.dump(self.default)
            if find_unfit(self.plain_default) is not None:
                raise ValueError("its default is not JSON; use None for 'not given'")
            try:
                self.engine.load(self.plain_default)
            except Mismatch as mismatch:
                raise ValueError(f"its default does not fit its type: {message_of('', mismatch.problems)}") from None

    def field(self) -> tuple[str, Hint] | tuple[str, Hint, Any]:
        """This parameter as the field of a struct."""
        if self.default is MISSING:
            return self.name, self.hint
        if type(self.plain_default) in {dict, list}:  # possibly mutable: a fresh one each time
            make = functools.partial(self.engine.load, self.plain_default)
            return self.name, self.hint, msgspec.field(default_factory=make)
        return self.name, self.hint, self.default


class Fields:
    """A signature, compiled: one engine a parameter, and one struct for all when every engine is msgspec's."""

    def __init__(self, owner: str, parameters: dict[str, Parameter]) -> None:
        self.owner, self.parameters = owner, parameters
        self.plain = all(is_simple(item.hint) for item in parameters.values())
        self.floats = not self.plain or any(has_floats(item.hint) for item in parameters.values())
        self.struct: type[msgspec.Struct] | None = None
        if all(isinstance(item.engine, NativeEngine) and not item.engine.unfinished for item in parameters.values()):
            fields = [item.field() for item in parameters.values()]
            self.struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self.json = self._schema()

    def _schema(self) -> JsonSchema:
        properties: JsonSchema = {}
        defs: dict[str, JsonSchema] = {}
        for name, item in self.parameters.items():
            entry = without_clashes(item.engine.schema(), defs)
            defs.update(entry.pop("$defs", {}))
            if item.description and not entry.get("description"):
                entry["description"] = item.description
            if item.default is not MISSING:
                entry["default"] = item.plain_default
            properties[name] = entry
        schema: JsonSchema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required := [name for name, item in self.parameters.items() if item.default is MISSING]:
            schema["required"] = required
        return tidy(with_defs(schema, defs))

    def load(self, args: Any) -> dict[str, Any]:
        """Typed keyword arguments, one parameter at a time, so that every problem is found."""
        if not isinstance(args, Mapping):
            raise ToolValidationError(message_of(self.owner, [("", f"arguments must be an object, got {shown(args)}")]))
        given = cast("Mapping[str, Any]", args)
        typed: dict[str, Any] = {}
        problems = _unknown(given, self.parameters)
        for name, item in self.parameters.items():
            if name in given:
                try:
                    typed[name] = item.engine.load(given[name])
                except Mismatch as mismatch:
                    problems += within(name, mismatch.problems)
            elif item.default is MISSING:
                problems.append((name, f"is required ({type_name(item.hint)})"))
            else:
                typed[name] = item.engine.load(item.plain_default)
        if problems:
            raise ToolValidationError(message_of(self.owner, problems))
        return typed

    def resolve(self, args: Any) -> dict[str, Json]:
        """Plain arguments, completed."""
        typed = self.load(args)
        plain: dict[str, Json] = {}
        problems: list[tuple[str, str]] = []
        for name, item in self.parameters.items():
            plain[name], found = _dumped(item.engine, typed[name], name)
            problems += found
        if problems:
            raise ToolValidationError(message_of(self.owner, problems))
        return plain


class Whole:
    """A model that is the arguments, compiled. The function takes it whole (`into`), or its fields by name."""

    struct = None
    plain = False
    floats = True

    def __init__(self, owner: str, model: Hint, into: str | None, parameters: Sequence[str]) -> None:
        self.owner, self.into = owner, into
        self._engine = engine_for(model)
        self.json: JsonSchema = tidy(top_resolved(self._engine.schema()))
        if self.json.get("type") != "object" or "properties" not in self.json:
            raise ValueError(f"{type_name(model)} is not an object with named fields")
        self.json.setdefault("additionalProperties", False)
        self._names = field_names(model)
        if into is None and set(parameters) != set(self._names):
            raise ValueError(
                f"the function takes {', '.join(parameters) or 'nothing'} but {type_name(model)} has "
                f"{', '.join(self._names)}: take one parameter for the model, or its fields by name"
            )

    def _instance(self, args: Any) -> Any:
        if not isinstance(args, Mapping):
            raise ToolValidationError(message_of(self.owner, [("", f"arguments must be an object, got {shown(args)}")]))
        given = cast("Mapping[str, Any]", args)
        problems = [] if self.json["additionalProperties"] else _unknown(given, self.json["properties"])
        if not problems:
            try:
                return self._engine.load(given)
            except Mismatch as mismatch:
                problems = within("", mismatch.problems)
        raise ToolValidationError(message_of(self.owner, problems))

    def load(self, args: Any) -> dict[str, Any]:
        """Typed keyword arguments."""
        instance = self._instance(args)
        if self.into is not None:
            return {self.into: instance}
        if isinstance(instance, dict):
            return cast("dict[str, Any]", instance)
        return {name: getattr(instance, name) for name in self._names}

    def resolve(self, args: Any) -> dict[str, Json]:
        """Plain arguments, completed."""
        plain, problems = _dumped(self._engine, self._instance(args), "")
        if problems:
            raise ToolValidationError(message_of(self.owner, problems))
        return plain


def _dumped(engine: Engine, value: Any, path: str) -> tuple[Json, list[tuple[str, str]]]:
    try:
        plain = engine.dump(value)
        unfit = find_unfit(plain, path)
    except RecursionError:
        return None, [(path, "is nested too deeply")]
    except Exception as error:  # noqa: BLE001 - a user's serializer may raise anything; the value is what is wrong
        return None, [(path, first_line(error))]
    return plain, [(unfit[0].removeprefix("."), unfit[1])] if unfit else []


def _unknown(given: Mapping[Any, Any], known: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = [str(name)[:80] for name in given if name not in known]
    if not names:
        return []
    return [(name, "unknown parameter") for name in names[:3]] + [
        ("", f"the parameters are {', '.join(known)}" if known else "it takes no parameters")
    ]
