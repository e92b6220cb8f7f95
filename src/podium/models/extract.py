"""A value for a JSON schema, made only of what the sources hold. No language model, no invention.

In order of trust: an object of the sources that fits as it is, values under the same name, values that fit by their
type, and for text the most relevant sentence. What has no source gets the schema's default or the empty value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from podium.core.codec import digest_of

from .lexical import BM25, best, tokens
from .schemas import Root, Schema, kind_of, options_of
from .sources import Sources, sentences, walk

MAX_ITEMS = 2_000
"""Items collected for one list."""
_DEPTH = 8
_MISSING = object()
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:,\d{3}){0,4}(?:\.\d{1,15})?(?!\w)")
_CATCH_ALL = ("other", "general", "default", "fallback", "none", "unknown", "misc")


class Extractor:
    """Fills schemas from one set of sources."""

    def __init__(self, schema: Schema, sources: Sources) -> None:
        self._root = Root(schema)
        self._sources = sources
        self._tops = _top_objects(sources.values)
        self._lines = list(sources.results) or sentences(sources.question)

    def value(self) -> Any:
        """The value for the whole schema."""
        return self._build(self._root.schema, "", 0)

    def _build(self, schema: object, name: str, depth: int) -> Any:
        plain = self._root.plain(schema)
        if "const" in plain:
            return plain["const"]
        options = options_of(plain)
        if options:
            return self._choose(options, name, plain)
        kind = kind_of(plain)
        if kind == "object" and depth < _DEPTH:
            return self._object(plain, name, depth)
        if kind == "array":
            return self._array(plain, name)
        value = self._named(name, plain)
        if value is not _MISSING:
            return value
        if kind in ("integer", "number"):
            return self._number(plain, name, kind)
        if kind == "boolean":
            return self._boolean(plain)
        if kind == "string":
            return self._text(plain, name)
        if not name and self._sources.values:
            return self._sources.values[0]
        return _empty(plain, kind)

    # ------------------------------------------------------------------------------------------------------ objects

    def _object(self, schema: Schema, name: str, depth: int) -> Any:
        named = self._named(name, schema)
        if named is not _MISSING:
            return named
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        if not any(self._holds_objects(each) for each in properties.values()):
            fitting = self._fitting(schema)
            if fitting:
                return fitting[self._closest(fitting)]
        required = cast("list[str]", schema.get("required", []))
        found: dict[str, Any] = {}
        for each, inner in properties.items():
            # What is optional is given only if a source has it under that name, or holds items for it.
            if each in required or self._holds_objects(inner) or self._named(each, inner) is not _MISSING:
                found[each] = self._build(inner, each, depth + 1)
        for each, inner in properties.items():
            if each in found and self._is_summary(each, inner):
                found[each] = self._summary(found, self._root.plain(inner))
        return found

    def _fitting(self, schema: Schema) -> list[Any]:
        found: dict[bytes, Any] = {}
        for value in walk(self._sources.values):
            item = self._projected(value, schema)
            if item is not _MISSING:
                found.setdefault(_key(item), item)
        return list(found.values())

    def _closest(self, values: Sequence[object]) -> int:
        """The position of the value most like the question."""
        if len(values) == 1:
            return 0
        return best(BM25([tokens(str(value)) for value in values]).scores(tokens(self._sources.question))) or 0

    def _projected(self, value: object, schema: Schema) -> Any:
        """`value` without the fields that `schema` does not know, if it is then one that `schema` describes."""
        if not isinstance(value, dict):
            return _MISSING
        fields = cast("dict[str, Any]", value)
        properties = cast("dict[str, Any]", schema.get("properties", {}))
        if properties:
            # A schema without required fields would take anything: at least half of its fields must be there.
            if not schema.get("required") and 2 * len(properties.keys() & fields.keys()) < len(properties):
                return _MISSING
            fields = {name: inner for name, inner in fields.items() if name in properties}
        return fields if fields and self._root.fits(fields, schema) else _MISSING

    # -------------------------------------------------------------------------------------------------------- lists

    def _holds_objects(self, schema: Schema) -> bool:
        plain = self._root.plain(schema)
        return kind_of(plain) == "array" and kind_of(self._root.plain(plain.get("items"))) == "object"

    def _array(self, schema: Schema, name: str) -> list[Any]:
        items = self._root.plain(schema.get("items"))
        found: dict[bytes, Any] = {}
        if kind_of(items) == "object" and items.get("properties"):
            candidates = [self._projected(value, items) for value in walk(self._sources.values)]
        else:
            lists = [top[name] for top in self._tops if name in top]
            lists = lists or [value for value in self._sources.values if isinstance(value, list)]
            candidates = [item for each in lists if isinstance(each, list) for item in cast("list[object]", each)]
            candidates = [item for item in candidates if self._root.fits(item, items)]
        for item in candidates:
            if item is not _MISSING:
                found.setdefault(_key(item), item)
        most = schema.get("maxItems")
        return list(found.values())[: min(MAX_ITEMS, most) if isinstance(most, int) else MAX_ITEMS]

    # ------------------------------------------------------------------------------------------------------- scalars

    def _named(self, name: str, schema: Schema) -> Any:
        """The value that sources hold under this name, the closest to the question when they differ."""
        if not name or kind_of(self._root.plain(schema)) == "array":
            return _MISSING
        plain = self._root.plain(schema)
        values = {_key(top[name]): top[name] for top in self._tops if name in top}
        fitting = [value for value in values.values() if value is not None and self._root.fits(value, plain)]
        return fitting[self._closest(fitting)] if fitting else _MISSING

    def _choose(self, options: list[Any], name: str, schema: Schema) -> Any:
        named = self._named(name, schema)
        if named is not _MISSING:
            return named
        if "default" in schema and not name:
            return schema["default"]
        query = _without_options(self._sources.question, options)
        return choose(options, query, f"{self._sources.instructions}\n{self._sources.question}", self._sources.results)

    def _number(self, schema: Schema, name: str, kind: str) -> Any:
        text = "\n".join(self._lines)
        words = [word for word in re.split(r"[\W_]+", name.lower()) if len(word) > 2]
        near: str | None = None
        for word in words:
            match = re.search(rf"{re.escape(word)}\D{{0,20}}?({_NUMBER.pattern})", text, re.IGNORECASE)
            near = near or (match.group(1) if match else None)
        if near is None:
            numbers = list(dict.fromkeys(_NUMBER.findall(text)))
            # Any number would do for a bare one; a named one must be the only candidate.
            near = numbers[0] if numbers and (not name or len(numbers) == 1) else None
        if near is not None:
            number = float(near.replace(",", ""))
            value = int(number) if kind == "integer" or number.is_integer() else number
            if (kind == "number" or number.is_integer()) and self._root.fits(value, schema):
                return value
        return _empty(schema, kind)

    def _boolean(self, schema: Schema) -> bool:
        for line in self._sources.results:
            match = re.match(r"(yes|true|no|false)\b", line, re.IGNORECASE)
            if match:
                return match.group(1).lower() in ("yes", "true")
        return bool(schema.get("default", False))

    def _text(self, schema: Schema, name: str) -> str:
        if "default" in schema:
            return str(schema["default"])
        line = self.sentence(name)
        most = schema.get("maxLength")
        line = line[:most] if isinstance(most, int) else line
        return line if self._root.fits(line, schema) else ""

    def sentence(self, about: str = "") -> str:
        """The most relevant sentence of the sources; empty when there is none."""
        if not self._lines:
            return ""
        query = tokens(f"{about.replace('_', ' ')} {self._sources.question}")
        return self._lines[best(BM25([tokens(line) for line in self._lines]).scores(query)) or 0]

    def _is_summary(self, name: str, schema: Schema) -> bool:
        return name in ("summary", "overview", "conclusion") and kind_of(self._root.plain(schema)) == "string"

    def _summary(self, found: dict[str, Any], schema: Schema) -> str:
        """A count of what was collected beside it, and one of its lines: true by construction."""
        lists = {name: cast("list[object]", value) for name, value in found.items() if isinstance(value, list)}
        if not lists:
            return str(found.get("summary", "")) or self.sentence("summary")
        counts = ", ".join(f"{len(items) or 'no'} {name.replace('_', ' ')}" for name, items in lists.items())
        first = next((item for items in lists.values() for item in items), None)
        text = f"Offline summary: {counts}."
        if isinstance(first, dict):
            words = [value for value in cast("dict[str, object]", first).values() if isinstance(value, str)]
            longest = max(words, key=len, default="")
            text += f" The first: {' '.join(longest.split())[:200]}" if longest else ""
        most = schema.get("maxLength")
        return text[:most] if isinstance(most, int) else text


def choose(options: Sequence[Any], query: str, prompt: str, results: Sequence[str] = ()) -> Any:
    """The option most like `query`, by its name and by the lines `- name: description` of the prompt.

    When nothing speaks for any: a catch-all such as `other` if there is one, else the first.
    """
    documents = [tokens(f"{option} {option} {_description(option, prompt)}") for option in options]
    scorer = BM25(documents)
    for text in (query, " ".join(results)):
        found = best(scorer.scores(tokens(text)))
        if found is not None:
            return options[found]
    return next((option for option in options if str(option).lower() in _CATCH_ALL), options[0])


def _option_line(option: object) -> str:
    name = rf"[`\"'*]*{re.escape(str(option))}[`\"'*]*"
    return rf"^[ \t]*(?:[-*]|\d+[.)])[ \t]*{name}[ \t]*(?::|--?|\u2013|\u2014)[ \t]*(.+)$"


def _description(option: object, prompt: str) -> str:
    return " ".join(re.findall(_option_line(option), prompt, re.IGNORECASE | re.MULTILINE))


def _without_options(text: str, options: Sequence[Any]) -> str:
    for option in options:
        text = re.sub(_option_line(option), "", text, flags=re.IGNORECASE | re.MULTILINE)
    return text


def _top_objects(values: Sequence[object]) -> list[dict[str, Any]]:
    """Objects that are results themselves, not parts of one; items of a list belong to the list."""
    return [cast("dict[str, Any]", value) for value in values if isinstance(value, dict)]


def _empty(schema: Schema, kind: str) -> Any:
    if "default" in schema:
        return schema["default"]
    least = schema.get("minimum", 0)
    empties: dict[str, Any] = {"integer": least, "number": least, "string": "", "boolean": False}
    return {} if kind == "object" else [] if kind == "array" else empties.get(kind)


def _key(value: object) -> bytes:
    try:
        return digest_of(value)
    except (OverflowError, ValueError, TypeError):  # an integer beyond 64 bits, a half surrogate pair
        return repr(value).encode("utf-8", "replace")
