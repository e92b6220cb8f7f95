"""What is wrong with a value, and how it is said: short, by place, without secrets, for a model or a person to act on.

It does not find problems (the engines do) and does not know what is being checked.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from typing import Final

from podium.core.errors import ConfigurationError
from podium.core.redaction import is_sensitive, redact_text

from .terms import INT_HIGH, INT_LOW, UNSUPPORTED

MESSAGE_CHARACTERS: Final = 1500
"""Longest message of a validation error."""
PROBLEMS: Final = 8
"""How many problems one message names."""
ADVICE: Final = (
    ". Use str, numbers, lists, dicts, Literal, enums, dataclasses, TypedDicts, msgspec Structs or Pydantic models"
)


class Mismatch(Exception):
    """A value does not fit; `problems` are (path within the value, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__()
        self.problems = problems


def first_line(error: BaseException) -> str:
    """What an error says, in at most 300 characters; its type when it says nothing."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def shown(value: object) -> str:
    """What came, short and without recognisable secrets."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        import json  # only when something is wrong

        text = json.dumps(redact_text(value[:4000]), ensure_ascii=False)
        return text if len(text) <= 80 else text[:79] + '…"'
    if isinstance(value, int):
        return str(value) if INT_LOW <= value < INT_HIGH else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return format(value, ".6g")
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else type(value).__name__


def within(name: str, problems: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """`problems` within parameter `name`; what came for a parameter like `password` is not repeated."""
    placed: list[tuple[str, str]] = []
    for path, what in problems:
        whole = (name + path).removeprefix(".")
        if any(is_sensitive(part) for part in re.split(r"[.\[\]]+", whole) if part):
            what = "does not fit" if what.startswith("invalid enum") else what.partition(", got ")[0]
        placed.append((whole, what))
    return placed


def message_of(owner: str, problems: list[tuple[str, str]]) -> str:
    """The problems as one line after `owner`, at most MESSAGE_CHARACTERS long."""
    said = "; ".join(f"{path}: {what}" if path else what for path, what in problems[:PROBLEMS])
    if len(problems) > PROBLEMS:
        said += f"; and {len(problems) - PROBLEMS} more"
    text = f"{owner}: {said}" if owner else said
    # A lone surrogate may come with an unknown name; the message must itself be text.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 1] + "…"


@contextlib.contextmanager
def explained(owner: str, where: str) -> Generator[None]:
    """Whatever an engine says of a type, as a ConfigurationError that names the place."""
    try:
        yield
    except (*UNSUPPORTED, KeyError) as error:
        why = first_line(error).removesuffix(":")
        if why.startswith(("Unable to generate", "Generating JSON", "Cannot generate")):
            why = "the type has no JSON form"
        said = "" if isinstance(error, ValueError) else ADVICE
        raise ConfigurationError(f"{owner}: {where} cannot be used: {why}{said}") from None
