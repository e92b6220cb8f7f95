"""Questions that a policy asks about arguments: values, not code.

Each question is answered yes, no, or not at all: an argument that is missing, or of another type than the question is
about, gives no answer, and whoever asked takes the stricter reading. Nothing here raises for any argument.
"""

from __future__ import annotations

import decimal
import math
import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports.selectors import glob, nearest, wild

MOST_TEXT: Final = 8_192
"""Characters of a text that a pattern is asked about; a longer one gives no answer."""
MOST_TEXTS: Final = 65_536
"""Characters of all texts together that a pattern is asked about where `*` stands for many; more give no answer."""
MOST_VALUES: Final = 10_000
"""Values that `*` in a path stands for; more give no answer."""
_MOST_LIST: Final = 10_000
_DECIMAL: Final = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+")

Answer: TypeAlias = bool | None
"""Yes, no, or None: it cannot be said."""
Ask: TypeAlias = Callable[[Any], Answer]
Quantifier: TypeAlias = Literal["every", "any"]
"""What a `*` in a path means: every value must fit (rules that allow), or one is enough (rules that ask or deny)."""


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question about arguments: `When("amount", ">", 100)`; in a file `{ arg = "amount", op = ">", value = 100 }`.

    `arg` is a name, or a JSON pointer (RFC 6901) such as `/to/0/address`, where `*` stands for every element.
    `missing` says what an argument that is not there (or null) answers: `stricter` is the stricter reading.
    """

    arg: str
    op: str = "=="
    value: Any = None
    missing: Literal["stricter", "holds", "fails"] = "stricter"
    ignore_case: bool = False

    def __str__(self) -> str:
        value = "" if self.op.endswith("present") else f" {self.value!r}"
        return f"{self.arg or 'the whole'} {self.op}{value}"


class Question:
    """A `When`, checked and ready to be asked. Raises ConfigurationError for one that means nothing."""

    __slots__ = ("_ask", "_missing", "_name", "_negated", "_path", "_presence", "_searches", "_special", "text", "when")

    def __init__(self, when: When) -> None:
        self.when = when
        self.text = str(when)
        self._path = pointer(when.arg)
        self._name = self._path[0] if len(self._path) == 1 and self._path[0] != "*" else None
        self._missing: Answer = {"stricter": None, "holds": True, "fails": False}[when.missing]
        word = when.op.removeprefix("not ")
        self._negated = word != when.op or when.op == "!="
        self._presence = word == "present"
        self._special = self._presence or self._negated
        self._searches = word == "matches"
        if (word != when.op and word not in _WORDS) or word not in _OPS:
            raise ConfigurationError(f"there is no op {when.op!r}{nearest(when.op, [*_OPS, *_NEGATED])}")
        if self._presence:
            if when.value is not None:
                raise ConfigurationError(f"op {when.op!r} takes no value: leave value out")
            self._ask: Ask = _yes
        else:
            self._ask = _OPS[word](when)

    def ask(self, args: Any, quantifier: Quantifier) -> Answer:
        """The answer for these arguments."""
        if self._name is not None and type(args) is dict:
            value = cast("dict[str, Any]", args).get(self._name)
            return self._of(value) if self._special or value is None else self._ask(value)
        values = found(args, self._path)
        if values is None:
            return None
        if len(values) == 1:
            return self._of(values[0])
        if self._searches and sum(len(value) for value in values if isinstance(value, str)) > MOST_TEXTS:
            return None
        settling = quantifier == "any"
        answers = [self._of(value) for value in values]
        return settling if settling in answers else None if None in answers else not settling

    def _of(self, value: Any) -> Answer:
        if self._presence:
            return (value is None) is self._negated
        if value is None:
            return self._missing
        answer = self._ask(value)
        return answer if answer is None or not self._negated else not answer


def pointer(arg: str) -> tuple[str, ...]:
    """The steps of an `arg`: a plain name is one step, the empty text is the whole value."""
    if not arg.startswith("/"):
        return (arg,) if arg else ()
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in arg[1:].split("/"))


def found(value: Any, path: tuple[str, ...]) -> list[Any] | None:
    """The values at a path: one, or as many as its `*` stand for, with None for each that is not there.

    None instead of a list when they are too many to look at.
    """
    values: list[Any] = [value]
    for step in path:
        if step == "*":
            values = [item for each in values for item in _items(each)]
            if len(values) > MOST_VALUES:
                return None
        else:
            values = [_item(each, step) for each in values]
    return values


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else [None]


def _item(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(step)
    if isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 9:
        items = cast("list[Any]", value)
        return items[int(step)] if int(step) < len(items) else None
    return None


# ---------------------------------------------------------------------------------------------------- the operations


def _yes(value: Any) -> Answer:
    return True


def _scalars(when: When) -> list[Any]:
    """The value, or the values of a list of it, which must be texts, numbers or truths."""
    values = list(cast("Sequence[Any]", when.value)) if isinstance(when.value, list | tuple) else [when.value]
    if not values or len(values) > _MOST_LIST:
        raise ConfigurationError(f"op {when.op!r} needs a value: give 1 to {_MOST_LIST} of them")
    for value in values:
        if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            raise ConfigurationError(f"op {when.op!r} compares with a text, a number, true or false, not {value!r}")
    return values


def _texts(when: When) -> list[str]:
    values = _scalars(when)
    if not all(isinstance(value, str) for value in values):
        raise ConfigurationError(f"op {when.op!r} compares texts, not {when.value!r}")
    return [_folded(when, value) for value in values]


def _one(when: When) -> Any:
    if isinstance(when.value, list | tuple):
        raise ConfigurationError(f"op {when.op!r} compares with one value, not a list: use op 'in'")
    return _scalars(when)[0]


def _folded(when: When, text: str) -> str:
    return text.casefold() if when.ignore_case else text


def number(value: Any) -> int | float | decimal.Decimal | None:
    """A number, also one that is written as a decimal text (as money often is); None for anything else and for NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if value != value else value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return decimal.Decimal(value)
    return None


def _exact(wanted: float, given: object) -> int | float | decimal.Decimal:
    # 0.1 in a file means a tenth when it is compared with the text "0.1".
    return decimal.Decimal(str(wanted)) if isinstance(given, decimal.Decimal) else wanted


def _equal(wanted: Any, when: When) -> Ask:
    if isinstance(wanted, bool):
        return lambda value: value is wanted if isinstance(value, bool) else None
    if isinstance(wanted, str):
        text = _folded(when, wanted)
        return lambda value: _folded(when, value) == text if isinstance(value, str) else None

    def same(value: Any) -> Answer:
        given = number(value)
        return None if given is None else given == _exact(wanted, given)

    return same


def _equals(when: When) -> Ask:
    return _equal(_one(when), when)


def _order(compare: Callable[[Any, Any], bool]) -> Callable[[When], Ask]:
    def make(when: When) -> Ask:
        wanted = _one(when)
        if isinstance(wanted, bool | str):
            raise ConfigurationError(f"op {when.op!r} compares numbers, not {wanted!r}")

        def ask(value: Any) -> Answer:
            if type(value) is int or (type(value) is float and value == value):  # not NaN
                return compare(value, wanted)
            given = number(value)
            return None if given is None else compare(given, _exact(wanted, given))

        return ask

    return make


def _in(when: When) -> Ask:
    if not isinstance(when.value, list | tuple):
        raise ConfigurationError(f"op {when.op!r} needs a list of values, not {when.value!r}")
    values = _scalars(when)
    if all(isinstance(value, str) for value in values):
        texts = frozenset(_texts(when))
        return lambda value: _folded(when, value) in texts if isinstance(value, str) else None
    asks = [_equal(value, when) for value in values]

    def ask(value: Any) -> Answer:
        answers = [each(value) for each in asks]
        return True if True in answers else False if False in answers else None

    return ask


def _text_op(test: Callable[[str, str], bool]) -> Callable[[When], Ask]:
    def make(when: When) -> Ask:
        wanted = _texts(when)
        only = wanted[0] if len(wanted) == 1 else None

        def ask(value: Any) -> Answer:
            if not isinstance(value, str):
                return None
            text = _folded(when, value)
            return test(text, only) if only is not None else any(test(text, each) for each in wanted)

        return ask

    return make


def _contains(when: When) -> Ask:
    wanted = _one(when)
    same = _equal(wanted, when)

    def ask(value: Any) -> Answer:
        if isinstance(value, list):
            answers = [same(item) for item in cast("list[Any]", value)]
            return True if True in answers else None if None in answers else False
        if isinstance(value, str) and isinstance(wanted, str):
            return _folded(when, wanted) in _folded(when, value)
        return None

    return ask


def _matches(when: When) -> Ask:
    from .patterns import Pattern  # here: most questions are not about patterns

    patterns = [Pattern(text, ignore_case=when.ignore_case) for text in _raw_texts(when)]

    def ask(value: Any) -> Answer:
        if not isinstance(value, str) or len(value) > MOST_TEXT:
            return None
        return any(pattern.search(value) for pattern in patterns)

    return ask


def _raw_texts(when: When) -> list[str]:
    return _texts(msgspec.structs.replace(when, ignore_case=False))


def _under(when: When) -> Ask:
    folders = [_normal(text) for text in _texts(when)]

    def ask(value: Any) -> Answer:
        if not isinstance(value, str) or not value or "\0" in value or "\\" in value or value[0] == "~":
            return None
        path = _normal(_folded(when, value))
        fitting = [folder for folder in folders if (folder[0] == "/") == (path[0] == "/")]
        if not fitting or path == ".." or path.startswith("../"):
            return None  # relative to a place that is not known here
        return any(folder in ("/", ".", path) or path.startswith(f"{folder}/") for folder in fitting)

    return ask


def _normal(path: str) -> str:
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def _host(when: When) -> Ask:
    hosts = [text.lower() for text in _texts(when)]
    for host in hosts:
        if "/" in host or "@" in host or (wild(host) and (not host.startswith("*.") or wild(host[2:]))):
            raise ConfigurationError(f"op {when.op!r}: {host!r} is no host: write example.org or *.example.org")

    def ask(value: Any) -> Answer:
        # What parsers read differently (spaces, backslashes, signs beyond ASCII) is not guessed at.
        if not isinstance(value, str) or not value.isascii() or _CONTROL.search(value):
            return None
        try:
            host = urlsplit(value).hostname
        except ValueError:
            return None
        if not host:
            return None
        host = host.removesuffix(".")
        if not _HOST.fullmatch(host):
            return None  # e.g. a percent sign: one reader takes %6c for itself, another for an l
        return any(host == each or (wild(each) and glob(each).fullmatch(host) is not None) for each in hosts)

    return ask


_OPS: Final[dict[str, Callable[[When], Ask]]] = {
    "==": _equals,
    "!=": _equals,
    "<": _order(lambda a, b: a < b),
    "<=": _order(lambda a, b: a <= b),
    ">": _order(lambda a, b: a > b),
    ">=": _order(lambda a, b: a >= b),
    "in": _in,
    "startswith": _text_op(str.startswith),
    "endswith": _text_op(str.endswith),
    "contains": _contains,
    "matches": _matches,
    "under": _under,
    "host": _host,
    "present": lambda when: _yes,
}
_WORDS: Final = ("in", "startswith", "endswith", "contains", "matches", "under", "host", "present")
_NEGATED: Final = tuple(f"not {word}" for word in _WORDS)
