r"""Patterns that text from outside is matched against: a part of the syntax of `re`, in linear time.

Python's `re` tries alternatives one after the other, so a text can be made that keeps `(a+)+$` busy for years, and the
texts that a policy looks at are chosen by whoever writes to an agent. This matcher follows all alternatives at once
(Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968), and remembers the sets it has met, so it takes a
dictionary look-up for each character. There is no back-reference and no look-around: those need the other kind.

Different from `re` on purpose: `.` is any character, line breaks too, and `$` is the very end of the text, so that a
line break hides nothing and ends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from podium.core.errors import ConfigurationError

MOST_PATTERN: Final = 500
"""Characters of a pattern."""
MOST_REPEAT: Final = 100
"""The largest number in `{m,n}`."""
_MOST_NODES: Final = 1000
_MOST_DEPTH: Final = 30
_MOST_SETS: Final = 500
"""Sets of nodes that are remembered before the memory is emptied."""
_MOST_SIGNS: Final = 5000
"""Characters that are remembered before the memory is emptied."""

_WORD: Final = frozenset("_")
_SPACE: Final = frozenset(" \t\n\r\f\v")
_DIGITS: Final = frozenset("0123456789")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}

Accepts: TypeAlias = Callable[[str], bool]


def _is_word(char: str) -> bool:
    return char.isalnum() or char in _WORD


def _is_digit(char: str) -> bool:
    return char in _DIGITS


def _is_space(char: str) -> bool:
    return char in _SPACE or char.isspace()


_CLASSES: Final[dict[str, Accepts]] = {"w": _is_word, "d": _is_digit, "s": _is_space}


def _not(accepts: Accepts) -> Accepts:
    return lambda char: not accepts(char)


def _any(char: str) -> bool:
    return True


class _Node:
    """A place in the pattern. `test` (a bit of its own) takes a character to `out`; with 0, `out` and `other` are free.

    `only` is "^" or "$" for a place that is passed at the beginning or the end of the text alone.
    """

    __slots__ = ("only", "other", "out", "test")

    def __init__(self, test: int = 0, only: str = "") -> None:
        self.test = test
        self.only = only
        self.out: _Node | None = None
        self.other: _Node | None = None


_Nodes: TypeAlias = frozenset[_Node]


class Pattern:
    """A compiled pattern. Raises ConfigurationError that says what is not supported and where."""

    __slots__ = ("_begin", "_end", "_first", "_fold", "_literal", "_sets", "_signs", "_tests", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text = text
        parser = _Parser(text, fold=ignore_case)
        self._first, self._end = parser.parse()
        self._fold = parser.fold
        self._tests = parser.tests
        self._signs: dict[str, int] = {}
        self._sets: dict[_Nodes, dict[int, _Nodes]] = {}
        self._begin = self._closure([self._first], start=True)
        self._literal = "" if self._fold else _literal(text)

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in the text."""
        if self._literal:
            # No match begins before its first characters do, and most texts do not hold them.
            at = text.find(self._literal)
            if at < 0:
                return False
            text = text[at:]
        current = self._begin
        for char in text.casefold() if self._fold else text:
            if self._end in current:
                return True
            nexts = self._sets.get(current)
            if nexts is None:
                if len(self._sets) >= _MOST_SETS:
                    self._sets.clear()
                nexts = self._sets[current] = {}
            sign = self._signs.get(char)
            if sign is None:
                sign = self._sign(char)
            found = nexts.get(sign)
            if found is None:
                if len(nexts) >= _MOST_SETS:
                    nexts.clear()
                found = nexts[sign] = self._step(current, sign)
            current = found
        return self._end in current or self._end in self._closure(list(current), start=not text, end=True)

    def _sign(self, char: str) -> int:
        """Which of the pattern's tests a character passes: all that matters of it."""
        if len(self._signs) >= _MOST_SIGNS:
            self._signs.clear()
        sign = self._signs[char] = sum(1 << at for at, test in enumerate(self._tests) if test(char))
        return sign

    def _step(self, current: _Nodes, sign: int) -> _Nodes:
        moved = [node.out for node in current if node.test & sign]
        # A match may begin at every character.
        return self._closure([*(node for node in moved if node is not None), self._first])

    def _closure(self, nodes: list[_Node], *, start: bool = False, end: bool = False) -> _Nodes:
        seen: set[_Node] = set()
        kept: set[_Node] = set()
        while nodes:
            node = nodes.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.test or node is self._end:
                kept.add(node)
                continue
            if node.only == "$" and not end:
                kept.add(node)  # it may yet turn out to be the end
                continue
            if node.only == "^" and not start:
                continue
            nodes.extend(each for each in (node.out, node.other) if each is not None)
        return frozenset(kept)


class _Parser:
    """From the text of a pattern to its nodes, by recursive descent."""

    def __init__(self, text: str, *, fold: bool) -> None:
        if len(text) > MOST_PATTERN:
            raise ConfigurationError(f"a pattern has at most {MOST_PATTERN} characters, not {len(text)}")
        self.text = text
        self.at = 0
        self.fold = fold
        self.count = 0
        self.depth = 0
        self.tests: list[Accepts] = []
        self._bits: dict[str, int] = {}
        if text.startswith("(?i)"):
            self.at, self.fold = 4, True

    def parse(self) -> tuple[_Node, _Node]:
        first, last = self._alternatives()
        if self.at < len(self.text):
            self._refuse("a ')' that closes nothing")
        end = self._node()
        last.out = end
        return first, end

    def _alternatives(self) -> tuple[_Node, _Node]:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            self._refuse("groups nested too deeply")
        first, last = self._sequence()
        while self._peek() == "|":
            self.at += 1
            other, ending = self._sequence()
            split, join = self._node(), self._node()
            split.out, split.other = first, other
            last.out = ending.out = join
            first, last = split, join
        self.depth -= 1
        return first, last

    def _sequence(self) -> tuple[_Node, _Node]:
        first = last = self._node()
        while (char := self._peek()) and char not in "|)":
            begin = self.at
            piece = self._piece()
            for part in self._repeated(begin, piece):
                last.out = part[0]
                last = part[1]
        return first, last

    def _piece(self) -> tuple[_Node, _Node]:
        """One character, class, anchor or group."""
        char = self._peek()
        if char == "(":
            return self._group()
        begin = self.at
        self.at += 1
        if char in "^$":
            node = self._node(only=char)
        elif char == ".":
            node = self._node(self._bit(begin, _any))
        elif char == "[":
            node = self._node(self._bit(begin, self._class()))
        elif char == "\\":
            node = self._node(self._bit(begin, self._escape()))
        elif char in "*+?{":
            self.at -= 1
            self._refuse(f"a {char!r} that repeats nothing")
        else:
            node = self._node(self._bit(begin, self._one(char)))
        after = node.out = self._node()
        return node, after

    def _group(self) -> tuple[_Node, _Node]:
        if self.text.startswith("(?:", self.at):
            self.at += 3
        elif self.text.startswith("(?", self.at):
            self._refuse("this kind of group: only (...), (?:...) and (?i) at the beginning are known")
        else:
            self.at += 1
        found = self._alternatives()
        if self._peek() != ")":
            self._refuse("a '(' that is never closed")
        self.at += 1
        return found

    def _repeated(self, begin: int, piece: tuple[_Node, _Node]) -> list[tuple[_Node, _Node]]:
        """The piece as often as what follows says. Copies are made by reading it again."""
        least, most = self._count()
        if (least, most) == (1, 1):
            return [piece]
        after = self.at
        copies = [piece]
        for _ in range(max(least, 1 if most is None else most) - 1):
            self.at = begin
            copies.append(self._piece())
        self.at = after
        if self._peek() and self._peek() in "*+?{":
            self._refuse("a repetition of a repetition: put the first into (?:...)")
        if most == 0:
            nothing = self._node()
            return [(nothing, nothing)]
        parts = copies[:least]
        if most is None:
            parts = [*copies[: max(least, 1) - 1], self._loop(copies[-1], optional=least == 0)]
        else:
            parts += [self._optional(copy) for copy in copies[least:most]]
        return parts

    def _loop(self, piece: tuple[_Node, _Node], *, optional: bool) -> tuple[_Node, _Node]:
        enter, again, leave = self._node(), self._node(), self._node()
        enter.out = piece[0]
        enter.other = leave if optional else None
        piece[1].out = again
        again.out, again.other = piece[0], leave
        return enter, leave

    def _optional(self, piece: tuple[_Node, _Node]) -> tuple[_Node, _Node]:
        enter, leave = self._node(), self._node()
        enter.out, enter.other = piece[0], leave
        piece[1].out = leave
        return enter, leave

    def _count(self) -> tuple[int, int | None]:
        """How often: from and to, None for without end. A `?` behind it changes which match, not whether."""
        char = self._peek()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if char in simple:
            self.at += 1
            found = simple[char]
        elif char == "{":
            close = self.text.find("}", self.at)
            least, comma, most = self.text[self.at + 1 : close].partition(",")
            if close < 0 or not _number(least) or (most and not _number(most)):
                self._refuse("a '{' that is no {m}, {m,} or {m,n}: write \\{ for the sign")
            found = (int(least), int(most) if most else None if comma else int(least))
            if max(found[0], found[1] or 0) > MOST_REPEAT or (found[1] is not None and found[1] < found[0]):
                self._refuse(f"a repetition out of order, or of more than {MOST_REPEAT}")
            self.at = close + 1
        else:
            return 1, 1
        if self._peek() == "?":
            self.at += 1
        elif self._peek() == "+":
            self._refuse("a possessive repetition")
        return found

    def _class(self) -> Accepts:
        inverse = self._peek() == "^"
        self.at += inverse
        tests: list[Accepts] = []
        chars: set[str] = set()
        first = True
        while (char := self._peek()) != "]" or first:
            if not char:
                self._refuse("a '[' that is never closed")
            first = False
            one = self._member(tests)
            if one is None:
                continue
            if self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self._member(tests)
                if last is None or last < one:
                    self._refuse("a range that is out of order")
                tests.append(self._range(one, last))
            else:
                chars.add(one.casefold() if self.fold else one)
        self.at += 1
        exact = frozenset(chars)

        def accepts(char: str) -> bool:
            return char in exact or any(test(char) for test in tests)

        return _not(accepts) if inverse else accepts

    def _member(self, tests: list[Accepts]) -> str | None:
        """A character of a class; None for a class within it, which is put with the tests."""
        char = self._peek()
        self.at += 1
        if char != "\\":
            return char
        char = self._peek()
        if char.lower() in _CLASSES:
            self.at += 1
            test = _CLASSES[char.lower()]
            tests.append(_not(test) if char.isupper() else test)
            return None
        return self._escaped()

    def _range(self, first: str, last: str) -> Accepts:
        if not self.fold:
            return lambda char: first <= char <= last
        return lambda char: first <= char <= last or first <= char.upper() <= last

    def _escape(self) -> Accepts:
        char = self._peek()
        if char and char.lower() in _CLASSES:
            self.at += 1
            test = _CLASSES[char.lower()]
            return _not(test) if char.isupper() else test
        return self._one(self._escaped())

    def _escaped(self) -> str:
        char = self._peek()
        if not char:
            self._refuse("a '\\' at the end")
        if char in _ESCAPES:
            self.at += 1
            return _ESCAPES[char]
        if char.isalnum():
            self._refuse(f"\\{char}: known are \\d \\w \\s \\D \\W \\S \\n \\t \\r and a \\ before a sign")
        self.at += 1
        return char

    def _one(self, char: str) -> Accepts:
        wanted = char.casefold() if self.fold else char
        if len(wanted) > 1:
            self._refuse(f"{char!r} without regard to case: write (?:{char}|{wanted})")
        return lambda each: each == wanted

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _bit(self, begin: int, test: Accepts) -> int:
        """The bit of a test, the same for every copy of its text."""
        source = self.text[begin : self.at]
        if source not in self._bits:
            self._bits[source] = 1 << len(self.tests)
            self.tests.append(test)
        return self._bits[source]

    def _node(self, test: int = 0, only: str = "") -> _Node:
        self.count += 1
        if self.count > _MOST_NODES:
            self._refuse("too much repetition")
        return _Node(test, only)

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigurationError(f"the pattern {self.text!r} has, at character {self.at + 1}, {what}")


def _literal(pattern: str) -> str:
    """The characters that every match begins with, as far as that is plain to see."""
    if "|" in pattern:
        return ""
    count = next((at for at, char in enumerate(pattern) if char in "\\.^$*+?{}[]()"), len(pattern))
    # The last one may be repeated, also no times.
    return pattern[: count - 1] if count < len(pattern) and pattern[count] in "*?{" else pattern[:count]


def _number(text: str) -> bool:
    return 0 < len(text) <= 4 and text.isascii() and text.isdigit()
