"""Selectors: how a policy, an approval or a registry's permission says which tools (or agents) it means.

One reading for all of them: what a list permits when it is looked at must be what the gate lets pass. Here because the
parts that use it do not know each other.
`refund` is a name, `github_*` a name with wildcards, `tag:finance`, `capability:web-search`, `effect:read` and
`reach:none` are what a tool says of itself. This module compares texts; what follows from a match is not its business.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, get_args

import msgspec

from podium.core.errors import ConfigurationError

from .tools import Effect, Reach, Tool

EFFECTS: Final[tuple[str, ...]] = get_args(Effect)
"""From the least to the most harm that repeating does."""
REACHES: Final[tuple[str, ...]] = get_args(Reach)
"""From the least to the most harm; the last two, `destructive` and `spend`, are equally bad."""
_PREFIXES: Final = ("tag", "capability", "effect", "reach")
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.*?-]{1,128}")
_MOST: Final = 256
"""Characters of a selector."""


class Traits(msgspec.Struct, frozen=True, gc=False):
    """What selectors see of a tool. `effect` and `reach` are empty for a tool of which only the name is known."""

    name: str
    effect: str = ""
    reach: str = ""
    tags: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    cost: str = "0"


def traits_of(name: str, tool: Tool | None) -> Traits:
    """The traits of a tool as it declares them."""
    if tool is None:
        return Traits(name)
    return Traits(name, tool.effect, tool.reach, tool.tags, tool.capabilities, tool.cost)


class Selector(msgspec.Struct, frozen=True):
    """One entry of a list of tools. `kind` is `name` or one of the prefixes."""

    text: str
    kind: str
    wanted: str
    wild: bool

    def matches(self, traits: Traits) -> bool:
        """Whether a tool with these traits is meant."""
        if self.kind == "name":
            return self._fits(traits.name)
        if self.kind == "effect":
            return traits.effect == self.wanted
        if self.kind == "reach":
            return traits.reach == self.wanted
        words = traits.tags if self.kind == "tag" else traits.capabilities
        return any(self._fits(word) for word in words)

    def _fits(self, word: str) -> bool:
        return glob(self.wanted).fullmatch(word) is not None if self.wild else word == self.wanted


def selector(text: str) -> Selector:
    """A selector from its text. Raises ConfigurationError that names the nearest one that exists."""
    prefix, colon, rest = text.partition(":")
    if not text or len(text) > _MOST:
        raise ConfigurationError(f"{text[:40]!r} selects no tool: write a name, a name with *, tag:X or reach:X")
    if not colon:
        if not _TOOL_NAME.fullmatch(text):
            raise ConfigurationError(f"{text[:80]!r} is no name of a tool: letters, digits, '_', '-', '.', * and ?")
        return Selector(text, "name", text, wild(text))
    if prefix not in _PREFIXES:
        raise ConfigurationError(f"{text[:80]!r}: unknown {prefix!r}{nearest(prefix, _PREFIXES)}")
    if not rest:
        raise ConfigurationError(f"{text!r} says no {prefix}: write {prefix}:NAME")
    values = EFFECTS if prefix == "effect" else REACHES if prefix == "reach" else ()
    if values and rest not in values:
        raise ConfigurationError(f"{text[:80]!r}: there is no {prefix} {rest[:40]!r}{nearest(rest, values)}")
    return Selector(text, prefix, rest, not values and wild(rest))


def selectors(texts: Iterable[str]) -> tuple[Selector, ...]:
    """Selectors from their texts, in order. Raises ConfigurationError."""
    return tuple(selector(text) for text in texts)


def selected(given: Iterable[Selector], traits: Traits) -> Selector | None:
    """The first selector that means this tool, or None."""
    return next((each for each in given if each.matches(traits)), None)


def permitted(words: frozenset[str], name: str, tool: Tool | None) -> bool:
    """Whether a list of selectors means the tool of this name. Raises ConfigurationError for a word that is none."""
    return name in words or selected(_read(words), traits_of(name, tool)) is not None


@lru_cache(maxsize=1024)
def _read(words: frozenset[str]) -> tuple[Selector, ...]:
    return selectors(sorted(words))


def wild(text: str) -> bool:
    """Whether a text has wildcards."""
    return "*" in text or "?" in text


@lru_cache(maxsize=4096)
def glob(pattern: str) -> re.Pattern[str]:
    """A name with `*` (any characters) and `?` (one). Brackets mean themselves."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def named(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the names or patterns is this name."""
    return any(name == pattern or (wild(pattern) and glob(pattern).fullmatch(name) is not None) for pattern in patterns)


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error: what was probably meant, or what there is."""
    import difflib  # here: it is for errors only

    names = list(known)
    close = difflib.get_close_matches(word, names, 1, 0.6)
    if close:
        return f": did you mean {close[0]!r}?"
    return f"; known are {', '.join(names)}" if names else "; there are none"


def stricter(values: Sequence[str], declared: str, said: str) -> str:
    """The worse of what a tool declares and what a policy says of it, in the order of `values`."""
    if not said or not declared:
        return said or declared
    return said if rank(values, said) > rank(values, declared) else declared


def rank(values: Sequence[str], value: str) -> int:
    """How bad a value is; `destructive` and `spend` are equal."""
    return min(values.index(value), len(values) - 2) if values is REACHES else values.index(value)
