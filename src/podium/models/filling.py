"""Arguments of a tool from a text, by their names and types. Nothing is made up: what is not in the text is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from podium.core.messages import ToolSpec

from .schemas import Root, Schema, kind_of, options_of

MAX_TEXT = 20_000
"""Characters of the text that are searched."""
MAX_QUERY = 2_000
"""Characters of a whole text that is passed on as one argument."""
_MISSING = object()

# Each begins at a boundary, so that no text makes the search take more than linear time.
_QUOTED = re.compile(r"\"([^\"\n]{1,500})\"|'([^'\n]{1,500})'(?!\w)|`([^`\n]{1,500})`|“([^”\n]{1,500})”")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_PATH = re.compile(
    r"(?<![\w:/.-])(?:\.{0,2}/)?(?:[\w.-]+/)*[\w-]+\.[A-Za-z]\w{0,5}\b|(?<![\w:/.-])(?:\.{0,2}/)(?:[\w.-]+/?)+"
)
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?\b")
_ID = re.compile(r"#?\b(?=[\w-]*\d)[A-Za-z]{0,8}[-_]?\d[\w-]*\b")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w-])")
_PROPER = re.compile(r"(?<=[a-z,] )[A-Z][\w'-]*(?: (?:[A-Z][\w'-]*|de|la|of|the(?= [A-Z])))*")
_FREE = "query question text prompt message input content topic request task description term terms keywords body"
_FREE_TEXT = frozenset(_FREE.split(" "))
_SHAPES: tuple[tuple[frozenset[str], re.Pattern[str]], ...] = (
    (frozenset({"email", "mail", "recipient"}), _EMAIL),
    (frozenset({"url", "uri", "link", "address", "href", "website"}), _URL),
    (frozenset({"path", "file", "filename", "filepath", "directory", "dir", "folder"}), _PATH),
    (frozenset({"date", "day", "datetime", "time"}), _DATE),
    (frozenset({"id", "number", "no", "code", "key", "reference", "sku"}), _ID),
)
_FORMATS = {"email": _EMAIL, "uri": _URL, "url": _URL, "date": _DATE, "date-time": _DATE}


def fill(tool: ToolSpec, text: str, given: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Arguments for `tool` found in `text`, or None when a required one is not there.

    `given` are values known by name, which go first. Optional arguments are given only when the text names them
    (`limit: 5`) or one of their options.
    """
    return _Filling(tool.parameters, text[:MAX_TEXT], given or {}).arguments()


class _Filling:
    def __init__(self, schema: Schema, text: str, given: Mapping[str, Any]) -> None:
        self._given = given
        self._root = Root(schema)
        self._text = text
        self._used: set[str] = set()
        self._properties = cast("Mapping[str, Any]", schema.get("properties", {}))
        self._required = cast("list[str]", schema.get("required", []))

    def arguments(self) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        for name, schema in self._properties.items():
            plain = self._root.plain(schema)
            needed = name in self._required
            if name in self._given and self._root.fits(self._given[name], schema):
                found[name] = self._given[name]
                continue
            value = self._explicit(name, plain)
            if value is _MISSING and options_of(plain):
                value = self._option(plain)
            if value is _MISSING and needed:
                value = self._required_value(name, plain)
            if value is not _MISSING and self._root.fits(value, schema):
                found[name] = value
            elif needed:
                return None
        return found

    def _explicit(self, name: str, schema: Schema) -> Any:
        """A value the text gives by name: `limit=5`, `limit: 5`, `limit is 5`, `limit 5`, `title: Two words`."""
        words = re.escape(name).replace("_", "[ _-]?")
        kind = kind_of(schema)
        if kind in ("string", "any"):
            value = r"(?:=\s*[^\s,;]+|:[ \t]*[^,;\n]+)"
        else:
            value = r"(?:(?:=|:|\bis\b|\bof\b)\s*|\s#?)[^\s,;]+"
        match = re.search(rf"\b{words}\s*((?:=|:)\s*(?:\"[^\"\n]+\"|'[^'\n]+')|{value})", self._text, re.IGNORECASE)
        if match is None:
            return _MISSING
        written = re.sub(r"^\s*(?:=|:|is\b|of\b|#)?\s*", "", match.group(1).strip()).rstrip(".?!").strip("\"'")
        if kind in ("integer", "number") and re.fullmatch(_NUMBER, written):
            return self._take(written, kind)
        if kind == "boolean" and written.lower() in ("true", "false", "yes", "no"):
            return written.lower() in ("true", "yes")
        return written if kind == "string" and written and not options_of(schema) else _MISSING

    def _option(self, schema: Schema) -> Any:
        options = sorted(options_of(schema) or [], key=lambda option: -len(str(option)))
        for option in options:
            words = re.escape(str(option)).replace("_", "[ _-]")
            if str(option) and re.search(rf"(?<!\w){words}(?!\w)", self._text, re.IGNORECASE):
                return option
        return _MISSING

    def _required_value(self, name: str, schema: Schema) -> Any:
        kind = kind_of(schema)
        if "const" in schema:
            return schema["const"]
        if options_of(schema) or kind == "boolean":
            return _MISSING
        if kind in ("integer", "number"):
            for match in _NUMBER.finditer(self._text):
                fits = kind == "number" or "." not in match.group()
                if fits and match.group() not in self._used:
                    return self._take(match.group(), kind)
            return _MISSING
        if kind == "array":
            return self._list(name, schema)
        if kind == "object":
            return self._object(schema)
        return self._string(name, schema)

    def _take(self, written: str, kind: str) -> int | float:
        self._used.add(written)
        return int(written) if kind == "integer" or "." not in written else float(written)

    def _string(self, name: str, schema: Schema) -> Any:
        words = {word for word in re.split(r"[\W_]+", name.lower()) if word}
        shape = _FORMATS.get(str(schema.get("format")))
        if shape is None:
            shape = next((pattern for names, pattern in _SHAPES if names & words), None)
        if shape is not None:
            return self._first(shape.findall(self._text))
        quoted = self._first(["".join(groups) for groups in _QUOTED.findall(self._text)])
        if quoted is not _MISSING:
            return quoted
        strings = [each for each in self._required if kind_of(self._root.plain(self._properties.get(each))) == "string"]
        if not words & _FREE_TEXT:
            proper = self._first(_PROPER.findall(self._text))
            if proper is not _MISSING:
                return proper
        whole = self._text.strip()[:MAX_QUERY]
        return whole if whole and (len(strings) == 1 or words & _FREE_TEXT) else _MISSING

    def _first(self, found: list[str]) -> Any:
        for written in found:
            written = written.rstrip(".,;:!?")
            if written and written not in self._used:
                self._used.add(written)
                return written
        return _MISSING

    def _list(self, name: str, schema: Schema) -> Any:
        kind = kind_of(self._root.plain(schema.get("items")))
        if kind in ("integer", "number"):
            found = [number for number in _NUMBER.findall(self._text) if kind == "number" or "." not in number]
            return [self._take(number, kind) for number in found] or _MISSING
        if kind not in ("string", "any"):
            return _MISSING
        items: list[str] = []
        while (item := self._string_item(name)) is not _MISSING:
            items.append(item)
        return items or _MISSING

    def _string_item(self, name: str) -> Any:
        words = {word.removesuffix("s") for word in re.split(r"[\W_]+", name.lower()) if word}
        shape = next((pattern for names, pattern in _SHAPES if names & words), None)
        if shape is not None:
            return self._first(shape.findall(self._text))
        return self._first(["".join(groups) for groups in _QUOTED.findall(self._text)])

    def _object(self, schema: Schema) -> Any:
        start = self._text.find("{")
        if start < 0:
            return _MISSING
        try:
            value, _ = json.JSONDecoder().raw_decode(self._text, start)
        except (ValueError, RecursionError):
            return _MISSING
        return value if self._root.fits(value, schema) else _MISSING
