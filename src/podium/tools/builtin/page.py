"""The readable text of a page of HTML, in one pass: what is hidden is left out, links keep their targets.

A page may be written to keep its reader busy. Each character is looked at a bounded number of times, whatever is left
open; the standard library's parser begins again at every `<`. It knows nothing of where pages come from.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

_HIDDEN: Final = frozenset({"noscript", "template", "svg", "head"})
_RAW: Final = frozenset({"script", "style"})
"""What is in them are no tags, up to their own end."""
_BLOCKS: Final = frozenset(
    {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "pre", "table"}
)
_TAG: Final = re.compile(r"""<(/?)([A-Za-z][^\s/>]*)((?:[^"'>]|"[^"]*"|'[^']*')*)>""")
_HREF: Final = re.compile(r"""(?<![^\s"'/])href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_LONGEST_LINK: Final = 500


def readable(page: str) -> str:
    """Its text, a line for each block, without empty ones."""
    return "\n".join(_lines("".join(_pieces(page))))


def _pieces(page: str) -> Iterator[str]:
    position, hidden = 0, 0
    links: list[str] = []
    while position < len(page):
        start = page.find("<", position)
        if not hidden:
            yield _unescaped(page[position : start if start >= 0 else None])
        if start < 0:
            return
        after = page[start + 1 : start + 3]
        if not (after[:1].isalpha() or after[:1] in ("!", "?", "/")):
            yield "<" if not hidden else ""
            position = start + 1
            continue
        match = _TAG.match(page, start)
        if match is None:
            position = _after_comment(page, start)
            if position < 0:
                return  # it is never closed: the rest belongs to it
            continue
        position = match.end()
        closes, tag = match[1] == "/", match[2].lower()
        if tag in _BLOCKS:
            yield "\n"
        if tag in _HIDDEN:
            hidden = max(0, hidden + (-1 if closes else 1))
        elif tag in _RAW and not closes:
            end = re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE).search(page, position)
            if end is None:
                return
            position = end.start()
        elif tag == "a" and not closes:
            found = _HREF.search(match[3])
            links.append(_unescaped(next(filter(None, found.groups()), "")) if found else "")
        elif tag == "a" and links:
            target = links.pop()
            if target and not target.startswith(("#", "javascript:")) and not hidden:
                yield f" ({target[:_LONGEST_LINK]})"


def _after_comment(page: str, start: int) -> int:
    """Where a comment, a declaration or what is no tag ends; negative when it does not."""
    if page.startswith("<!--", start):
        end = page.find("-->", start + 4)
        return end + 3 if end >= 0 else -1
    if page[start + 1] not in "!?" and page[start + 2 : start + 3].isalpha():
        return -1  # a tag with an end that is missing, or within quotes that are
    end = page.find(">", start)
    return end + 1 if end >= 0 else -1


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # the number of a character with more digits than Python reads
        return text


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        words = " ".join(line.split())
        if words:
            yield words
