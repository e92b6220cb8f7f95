"""The calls in an answer, also those whose arguments come piece by piece. No I/O.

A call comes whole, or (Vertex AI, when asked) as fragments: `willContinue` says that more follows, and `partialArgs`
hold values by JSON Path (RFC 9535), strings possibly in several pieces. A call that never ended is invalid rather than
short of arguments.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, TypeAlias, cast

from podium.core.messages import ToolCall
from podium.models.assembling import call_from
from podium.models.reading import Json, json_text, table, tables
from podium.models.reading import text as text_of

Step: TypeAlias = str | int
_STEP = re.compile(r"""\.([^.\[\]'"\s]+)|\[(\d{1,9})\]|\[(['"])((?:\\.|(?!\3).)*)\3\]""")


class Call:
    """One call while it comes in."""

    __slots__ = ("_args", "_growing", "_invalid", "_text", "id", "name", "position", "signature")

    def __init__(self, position: int) -> None:
        self.position = position
        self.name = ""
        self.id = ""
        self.signature = ""
        self._args: Json | None = None
        self._text = ""
        self._growing: str = ""
        self._invalid = ""

    def take(self, function: Json) -> None:
        """Add one fragment's arguments."""
        self.name = self.name or text_of(function.get("name"))
        self.id = self.id or text_of(function.get("id"))
        args = function.get("args")
        if isinstance(args, dict):
            self._args = {**(self._args or {}), **cast("Json", args)}
        elif isinstance(args, str):
            self._text += args
        elif args is not None:
            self._text = json_text(args)
        for piece in tables(function.get("partialArgs")):
            self._set(piece)

    def fail(self, why: str) -> None:
        """Make the call invalid."""
        self._invalid = self._invalid or why

    @property
    def arguments(self) -> str:
        """The arguments as JSON text."""
        return json_text(self._args) if self._args is not None else self._text

    def call(self, *, cut: bool) -> ToolCall:
        """The call. `cut` says that the output limit ended the reply."""
        made = call_from(self.name, self.arguments, self.id, cut=cut)
        invalid = self._invalid or made.invalid
        return ToolCall(made.name, {} if invalid else made.args, made.id, invalid or None, self.signature or None)

    def _set(self, piece: Json) -> None:
        path = text_of(piece.get("jsonPath"))
        steps = _steps(path)
        if not steps:
            self.fail(f"the server named no argument by {path!r}")
            return
        if self._args is None:
            self._args = {}
        kinds = [kind for kind in ("stringValue", "numberValue", "boolValue", "nullValue") if kind in piece]
        if kinds:
            value = None if kinds[0] == "nullValue" else piece[kinds[0]]
            if not _put(self._args, steps, value, more=self._growing == path):
                self.fail(f"the server sent an argument that fits nowhere: {path!r}")
        self._growing = path if piece.get("willContinue") is True else ""


class Calls:
    """The calls of one answer, in the order in which they began."""

    __slots__ = ("_found", "_open")

    def __init__(self) -> None:
        self._found: list[Call] = []
        self._open: Call | None = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def take(self, part: Json) -> tuple[Call | None, bool, bool]:
        """Take a part's function call: the call it belongs to, whether it began with it, and whether it is complete.

        None for an empty function call that ends nothing.
        """
        function = table(part.get("functionCall"))
        name, id = text_of(function.get("name")), text_of(function.get("id"))
        call = self._open
        if call is not None and ((name and call.name and name != call.name) or (id and call.id and id != call.id)):
            call.fail(_UNFINISHED)
            call = None
        began = call is None
        if call is None:
            if not (name or id or function.get("args") or function.get("partialArgs")):
                return None, False, False
            call = Call(len(self._found))
            self._found.append(call)
        call.take(function)
        call.signature = call.signature or text_of(part.get("thoughtSignature"))
        more = function.get("willContinue") is True
        self._open = call if more else None
        return call, began, not more

    def end(self, *, cut: bool) -> dict[int, ToolCall]:
        """The calls by their positions. `cut` says that the output limit ended the reply."""
        if self._open is not None:
            self._open.fail(_UNFINISHED)
        found: dict[int, ToolCall] = {}
        for each in self._found:
            call = each.call(cut=cut)
            if call.id and any(call.id == other.id for other in found.values()):
                # Two calls with one id: their results could not be told apart. The runtime gives the second a new one.
                call = ToolCall(call.name, call.args, None, call.invalid, call.signature)
            found[each.position] = call
        return found


_UNFINISHED = "the server never finished the arguments"


def _steps(path: str) -> list[Step]:
    """The steps of a normalised JSON Path; none of what is not one."""
    if not path.startswith("$"):
        return []
    found: list[Step] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return []
        if step[1] is not None:
            found.append(step[1])
        elif step[2] is not None:
            found.append(int(step[2]))
        else:
            found.append(re.sub(r"\\(.)", r"\1", step[4]))
        at = step.end()
    return found if found and isinstance(found[0], str) else []


def _put(root: Json, steps: list[Step], value: Any, *, more: bool) -> bool:
    """Set the value at `steps`, making what is on the way; with `more` a string grows. False if it does not fit."""
    here: Any = root
    for step, following in pairwise(steps):
        empty: Any = {} if isinstance(following, str) else []
        here = _child(here, step, empty)
        if here is None:
            return False
    last = steps[-1]
    if more and isinstance(value, str):
        before = _child(here, last, "")
        value = before + value if isinstance(before, str) else value
    if isinstance(here, dict) and isinstance(last, str):
        here[last] = value
    elif isinstance(here, list) and isinstance(last, int) and last <= len(cast("list[Any]", here)):
        cast("list[Any]", here)[last : last + 1] = [value]
    else:
        return False
    return True


def _child(here: Any, step: Step, empty: Any) -> Any:
    if isinstance(here, dict) and isinstance(step, str):
        return cast("Json", here).setdefault(step, empty)
    if isinstance(here, list) and isinstance(step, int) and step <= len(cast("list[Any]", here)):
        items = cast("list[Any]", here)
        if step == len(items):
            items.append(empty)
        return items[step]
    return None
