"""A server's or a library's own words, made fit for an error message: one line, short, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable

from podium.core.redaction import redact_text

LIMIT = 400
"""Characters of somebody else's words that an error repeats."""

# Beside the shapes `podium.core` knows: keys as providers echo them, partly starred out or of another account.
_KEY = re.compile(r"\b(?:sk|pk|gsk|rk|xai)[-_][A-Za-z0-9_\-*.]{6,}|(?i:bearer)\s+[A-Za-z0-9._~+/\-]{8,}=*")


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` on one line of at most `LIMIT` characters, without the given secrets or anything that looks like a key."""
    text = text[: 64 * LIMIT]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "[redacted]")
    line = " ".join(redact_text(_KEY.sub("[redacted]", text)).split())
    return line if len(line) <= LIMIT else line[: LIMIT - 1] + "…"
