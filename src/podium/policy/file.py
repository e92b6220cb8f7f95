"""Policy files: TOML with errors in the words of the file, and on which line each table stands.

It knows TOML and structs in general; what a policy's tables mean is `rules`' business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports.selectors import nearest

S = TypeVar("S", bound=msgspec.Struct)

_MOST: Final = 1 << 20
"""Bytes of a policy file that are read."""
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_CHOICE: Final = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*="""
)
_WORDS: Final = {"array": "a list", "object": "a table", "str": "a text", "int": "a number", "float": "a number"}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """The tables of a TOML file, and its text. Raises ConfigurationError that names the file."""
    import tomllib  # here: an app without a policy reads no file

    try:
        with Path(path).open("rb") as opened:
            data = opened.read(_MOST + 1)
        if len(data) > _MOST:
            raise ConfigurationError(f"{path} is larger than {_MOST >> 20} MiB: it cannot be a policy")
        text = data.decode("utf-8-sig")
        return tomllib.loads(text), text
    except FileNotFoundError:
        raise ConfigurationError(f"there is no policy file {path}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def entry(value: object, kind: type[S], where: str) -> S:
    """A table as a struct. Raises ConfigurationError that names the key, from `where` on, and the nearest known one."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
    except RecursionError:
        raise ConfigurationError(f"{where} is nested too deeply") from None
    steps = re.findall(r"\[?[A-Za-z_]+|\[\d+\]|\[\.\.\.\]", place.strip("`").removeprefix("$"))
    at = where + "".join(step if step.startswith("[") else f".{step}" for step in steps)
    if found := _UNKNOWN.fullmatch(said):
        known = _struct_at(kind, steps).__struct_fields__
        raise ConfigurationError(f"{at}: unknown key {found[1]!r}{nearest(found[1], known)}")
    if found := _MISSING.fullmatch(said):
        raise ConfigurationError(f"{at}: {found[1]} is missing")
    if found := _CHOICE.fullmatch(said):
        word = found[1].strip("'`\"")
        raise ConfigurationError(f"{at}: {word!r} is not possible{nearest(word, _choices_at(kind, steps))}")
    said = re.sub(r"`([\w| ]+)`", lambda match: _words(match[1]), said)
    raise ConfigurationError(f"{at}: {said[:1].lower()}{said[1:]}")


def section(value: object, where: str) -> Mapping[str, Any]:
    """A table of tables, with texts for keys. Raises ConfigurationError."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} must be a table, not {value!r}"[:200])
    table = cast("Mapping[Any, Any]", value)
    for key in table:
        if not isinstance(key, str) or not key:
            raise ConfigurationError(f"{where} has a key that is no text: {key!r}"[:200])
    return table


def lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Where the tables and keys of a valid TOML text stand: their path (lists by position) to the line, from 1.

    What stands within an inline table or a list is not listed; look up the path without its end.
    """
    found: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    header: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            path = _path(stripped)
            if path is None:
                continue  # the inside of a list that goes over several lines
            header = _placed(path, counts)
            if stripped.startswith("[["):
                counts[header] = counts.get(header, -1) + 1
                header = (*header, counts[header])
            found.setdefault(header, number)
        elif key := _KEY.match(line):
            path = _path(f"{key[1]} = 0")
            if path is not None:
                found.setdefault((*header, *path), number)
    return found


def line_of(where: tuple[str | int, ...], known: Mapping[tuple[str | int, ...], int]) -> int | None:
    """The line of a path, or of the nearest table around it."""
    while where:
        if where in known:
            return known[where]
        where = where[:-1]
    return None


def _path(line: str) -> tuple[str, ...] | None:
    import tomllib

    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    path: list[str] = []
    while isinstance(value, dict | list) and value:
        if isinstance(value, list):
            value = cast("list[Any]", value)[0]
            continue
        name, value = next(iter(cast("dict[str, Any]", value).items()))
        path.append(name)
    return tuple(path)


def _placed(path: tuple[str, ...], counts: Mapping[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """A header's path with the positions in the lists of tables it leads through."""
    placed: tuple[str | int, ...] = ()
    for position, name in enumerate(path):
        placed = (*placed, name)
        if placed in counts and position < len(path) - 1:
            placed = (*placed, counts[placed])
    return placed


def _words(types: str) -> str:
    words = [word.strip() for word in types.split("|")]
    return " or ".join(dict.fromkeys(_WORDS.get(word, word) for word in words if word != "null"))  # TOML has none


def _type_at(kind: Any, steps: list[str]) -> Any:
    """The type of the field that msgspec's path leads to."""
    for step in steps:
        if step.startswith("["):
            inside = [each for each in get_args(kind) if each is not Ellipsis]
            kind = (inside[-1] if get_origin(kind) is dict else inside[0]) if inside else kind
        else:
            struct = _struct_of(kind)
            kind = get_type_hints(struct).get(step, struct)
    return kind


def _struct_at(kind: Any, steps: list[str]) -> type[msgspec.Struct]:
    return _struct_of(_type_at(kind, steps))


def _struct_of(kind: Any) -> type[msgspec.Struct]:
    options = [kind, *get_args(kind)]
    return next(
        (each for each in options if isinstance(each, type) and issubclass(each, msgspec.Struct)), msgspec.Struct
    )


def _choices_at(kind: Any, steps: list[str]) -> tuple[str, ...]:
    found = _type_at(kind, steps)
    literals = [each for each in (found, *get_args(found)) if get_origin(each) is Literal]
    return tuple(str(choice) for each in literals for choice in get_args(each))
