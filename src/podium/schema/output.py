"""A type that an answer must have: what to ask a provider for, and the way from a model's text to a value.

It knows no provider and no agent.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar, cast

from podium.core.errors import InvalidOutput
from podium.core.messages import OutputSpec

from .engines import Engine, PydanticEngine, engine_for
from .hints import type_name
from .json_schema import tidy, top_resolved, with_defs
from .plain import dump
from .problems import Mismatch, explained, message_of, within
from .terms import UNSUPPORTED, Hint, Json, JsonSchema

T = TypeVar("T")
ANSWER_CHARACTERS: Final = 2_000_000
"""Longest answer `OutputType.parse` searches for JSON."""
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)


class OutputType(Generic[T]):
    """A type an answer must have: what to ask a provider for, and the way from its text to a value."""

    def __init__(self, type: type[T], owner: str = "output") -> None:
        self.type: Hint = type
        self.owner = owner
        self.is_text = type is str
        """Whether any text will do."""

    @functools.cached_property
    def _engine(self) -> Engine:
        with explained(self.owner, f"the type {type_name(self.type)}"):
            return engine_for(Any if self.type is object else self.type)

    @functools.cached_property
    def json(self) -> JsonSchema:
        """The type's own JSON Schema."""
        return tidy(top_resolved(self._engine.schema()))

    @functools.cached_property
    def _wrapped(self) -> bool:
        return self.json.get("type") != "object"

    @functools.cached_property
    def spec(self) -> OutputSpec | None:
        """What a provider is asked for; None for text. A type that is no object is the `value` of one."""
        if self.is_text:
            return None
        schema: JsonSchema = tidy(self.json, closed=True)
        if self._wrapped:
            defs = schema.pop("$defs", {})
            schema = with_defs(
                {
                    "type": "object",
                    "properties": {"value": schema},
                    "required": ["value"],
                    "additionalProperties": False,
                },
                defs,
            )
        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", getattr(self.type, "__name__", "") or type_name(self.type)).strip("_")
        return OutputSpec(name[:64] or "output", schema)

    def load(self, plain: Json, *, lax: bool = True) -> T:
        """The typed value of plain JSON; a value that has the type already passes. With `lax=False` only exact types.

        Raises InvalidOutput, whose message lists what is wrong.
        """
        try:
            return self._engine.load(plain, lax=lax)
        except Mismatch as mismatch:
            raise InvalidOutput(message_of("", within("", mismatch.problems))) from None

    def dump(self, value: T) -> Json:
        """The plain JSON that `load` gives `value` back from. Raises ToolValidationError."""
        if isinstance(self._engine, PydanticEngine):
            try:
                return dump(self._engine.dump(value))
            except UNSUPPORTED:
                pass
        return dump(value)

    def parse(self, text: str) -> T:
        """The value in a model's answer: bare JSON, JSON in a code fence, or JSON with prose around it.

        Raises InvalidOutput; its message says what to correct, and can be sent back as it is.
        """
        if self.is_text:
            return cast("T", text)
        first: InvalidOutput | None = None
        for candidate in _candidates(text):
            try:
                return self._accept(candidate)
            except InvalidOutput as error:
                first = first or error
        if self._wrapped:
            try:  # a bare word for an enum, a date, …
                return self.load(text.strip()[:ANSWER_CHARACTERS])
            except InvalidOutput as error:
                first = first or (error if self.json.get("type") in {None, "string"} else None)
        raise first or InvalidOutput("the answer holds no JSON: answer with one JSON value and nothing else")

    def _accept(self, candidate: Json) -> T:
        entries = cast("dict[str, Any]", candidate) if isinstance(candidate, dict) else {}
        if self._wrapped and entries.keys() == {"value"}:
            return self.load(entries["value"])
        return self.load(candidate)


def output_type(tp: type[T]) -> OutputType[T]:
    """The output type for `str`, numbers, lists, Literal, unions, dataclasses, TypedDicts, Structs, Pydantic models …

    Nothing is compiled yet: an unusable type raises ConfigurationError at the first use.
    """
    return OutputType(tp)


def _candidates(text: str) -> Iterator[Json]:
    """JSON values in a text, most likely first. At most a few dozen tries, however hostile the text."""
    import json  # when an answer comes, not with the package

    text = text[:ANSWER_CHARACTERS]
    pieces = [text, *(found[1] for found in itertools.islice(_FENCE.finditer(text), 8))]
    for piece in pieces:
        try:
            yield json.loads(piece.strip(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
    decoder, position, tries = json.JSONDecoder(), 0, 0
    starts = re.compile(r"[{\[]")
    while tries < 32 and (found := starts.search(text, position)):
        tries += 1
        try:
            value, position = decoder.raw_decode(text, found.start())
            yield value
        except (ValueError, RecursionError):
            position = found.start() + 1


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")
