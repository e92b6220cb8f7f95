"""Names of an MCP server's tools, as models and policies may spell them.

MCP allows any text as a name; models take letters, digits, `_` and `-`, at most 64. A name that fits is kept. Another
is made to fit and ends in a digest of the original, so that two names never become one and a name does not depend on
what else the server offers. Names are mapped back by the table that was made with them, not by parsing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from podium.core.errors import ConfigurationError
from podium.ports.selectors import named, wild

LONGEST: Final = 64
_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_DIGITS: Final = 8


def public_name(original: str, prefix: str | None = None) -> str:
    """The name of a tool for models: `prefix_original` where that fits."""
    head = f"{prefix}_" if prefix else ""
    plain = _FOREIGN.sub("_", original)
    if plain == original and original and len(head) + len(plain) <= LONGEST:
        return head + plain
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    room = LONGEST - len(head) - len(digest) - 1
    return f"{head}{plain[:room].strip('_-')}-{digest}"


def table(server: str, originals: Iterable[str], prefix: str | None = None) -> dict[str, str]:
    """Public names to the server's own. Raises ConfigurationError when the server uses a name twice."""
    names: dict[str, str] = {}
    for original in originals:
        name = public_name(original, prefix)
        if name in names:
            raise ConfigurationError(
                f"MCP server {server!r} offers two tools that would be called {name!r}: leave them out with exclude="
            )
        names[name] = original
    return names


def may_be(pattern: str, prefix: str | None, originals: Iterable[str] | None) -> bool:
    """Whether a server's tools may have a name that a name or pattern means, before the server was asked.

    `originals` are the only tools that it is to offer, when that is known.
    """
    if originals is not None:
        return any(named((pattern,), public_name(original, prefix)) for original in originals)
    head = f"{prefix}_" if prefix else ""
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    return fixed.startswith(head) or (wild(pattern) and head.startswith(fixed))
