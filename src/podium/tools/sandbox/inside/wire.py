"""Messages between the host and a box's process 1: a JSON header and raw bytes, with their sizes in front.

Only trusted processes speak it. What the payload says travels in pipes of its own and is never read as a message.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

PREFIX: Final = struct.Struct("=II")
"""Sizes of the header and of the bytes after it."""
MOST: Final = 512 << 20


def packed(header: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """One message."""
    raw = json.dumps(header).encode()
    return PREFIX.pack(len(raw), len(blob)) + raw + blob


def sizes(prefix: bytes) -> tuple[int, int]:
    """The sizes in a prefix. Raises ValueError for ones that no message has."""
    head, body = PREFIX.unpack(prefix)
    if head + body > MOST:
        raise ValueError("a message of the sandbox is too large")
    return head, body


def receive(sock: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next message of a blocking socket; None when the other side is gone."""
    prefix = _exactly(sock, PREFIX.size)
    if prefix is None:
        return None
    head, body = sizes(prefix)
    raw, blob = _exactly(sock, head), _exactly(sock, body)
    return None if raw is None or blob is None else (json.loads(raw), blob)


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    got = bytearray()
    while len(got) < count:
        more = sock.recv(min(count - len(got), 1 << 20))
        if not more:
            return None
        got += more
    return bytes(got)


def cut(blob: bytes, files: Sequence[Sequence[Any]]) -> dict[str, bytes]:
    """The files in a blob, given as `[name, size]` in order."""
    found: dict[str, bytes] = {}
    offset = 0
    for name, size in files:
        found[name] = blob[offset : offset + size]
        offset += size
    return found
