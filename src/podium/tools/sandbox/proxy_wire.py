"""What a client of the sandbox's proxy says, read strictly: request heads, chunked bodies, SOCKS5 greetings.

No sockets and no decisions about hosts here: bytes in, values out. Whatever two readers might understand differently
(two lengths, a length beside a transfer coding, folded lines, bare line feeds) is refused, because what the proxy
checked must be what the server reads (RFC 9112 section 11.2, request smuggling).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from podium.tools.sandbox.destinations import Address, parse_host, spelled, split_port

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its headers together."""

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,16384}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\x20-\x7e\t]*)?\r\n")
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer upgrade host "
    b"content-length transfer-encoding http2-settings".split()
)


class Malformed(Exception):
    """The client said something that is refused whatever the host. `str(error)` is one line for it."""


class Head(msgspec.Struct, frozen=True):
    """A request as the proxy understood it. `length` None means chunked; `tunnel` is CONNECT."""

    tunnel: bool
    host: str | Address
    port: int
    forward: bytes
    length: int | None


async def read_head(reader: asyncio.StreamReader, first: bytes) -> Head | None:
    """The head of one request (`first` was read before it), or None when the client said nothing. Raises Malformed."""
    try:
        raw = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial and not first:
            return None
        raise Malformed("the request ended in its headers") from None
    except asyncio.LimitOverrunError:
        raise Malformed(f"the headers are longer than {MAX_HEAD} bytes") from None
    return parse_head(raw)


def parse_head(raw: bytes) -> Head:
    """Read a request line and headers, up to and with the empty line. Raises Malformed."""
    line, *rest = raw[:-4].split(b"\r\n")
    match = _REQUEST.fullmatch(line)
    if match is None:
        raise Malformed("the request line is not METHOD TARGET HTTP/1.1")
    method, target, minor = match[1], match[2].decode(), match[3]
    headers: list[tuple[bytes, bytes]] = []
    for text in rest:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise Malformed("a header is not NAME: VALUE on one line")
        headers.append((header[1], header[2].strip(b" \t")))
    length = _framing(headers, minor)
    if method == b"CONNECT":
        if length != 0:
            raise Malformed("CONNECT has no body")
        host, port = _destination(target, None)
        return Head(True, host, port, b"", 0)
    try:
        url = urlsplit(target)
    except ValueError:
        raise Malformed("the target is not a URL") from None
    if url.scheme != "http" or not url.netloc or "@" in url.netloc:
        raise Malformed("the target is neither CONNECT host:port nor http://host/path")
    host, port = _destination(url.netloc, 80)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # The server is asked for the host that was checked, whatever the client's own Host header says (RFC 9112 3.2.2).
    lines = [b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: " + spelled(host, port).removesuffix(":80").encode()]
    named = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    for name, value in headers:
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named:
            lines.append(name + b": " + value)
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif length or method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"Content-Length: %d" % length)
    lines.append(b"Connection: close")
    return Head(False, host, port, b"\r\n".join(lines) + b"\r\n\r\n", length)


def _framing(headers: list[tuple[bytes, bytes]], minor: bytes) -> int | None:
    """The length of the body, None when it is chunked. Raises Malformed on whatever can be read in two ways."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    lengths, codings = values.get(b"content-length", []), values.get(b"transfer-encoding", [])
    if len(values.get(b"host", [])) > 1:
        raise Malformed("there is more than one Host header")
    if lengths and codings:
        raise Malformed("Content-Length and Transfer-Encoding exclude each other")
    if codings:
        if len(codings) > 1 or codings[0].lower() != b"chunked" or minor == b"0":
            raise Malformed("the only Transfer-Encoding is one chunked, in HTTP/1.1")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,15}", lengths[0]):
        raise Malformed("there is not exactly one Content-Length with a number")
    return int(lengths[0])


def _destination(authority: str, default: int | None) -> tuple[str | Address, int]:
    try:
        host, port = split_port(authority)
        if port is None and default is None:
            return _destination(f"{authority}:", None)  # raises: a port must be said
        return parse_host(host), port or default or 0
    except ValueError as error:
        raise Malformed(str(error)) from None


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body, up to 1 MiB; b"" at its end (trailers are dropped). Raises Malformed."""
    try:
        line = await reader.readuntil(b"\r\n")
        match = _CHUNK.fullmatch(line)
        size = int(match[1], 16) if match else -1
        if not 0 <= size <= 1 << 20:
            raise Malformed("a chunk has no size, or one above 1 MiB")
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return b""
        data = await reader.readexactly(size + 2)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise Malformed("the chunked body ended early") from None
    if not data.endswith(b"\r\n"):
        raise Malformed("a chunk is longer than it says")
    return data[:-2]


async def read_socks(reader: asyncio.StreamReader) -> tuple[str | Address, int]:
    """The destination of a SOCKS5 CONNECT after its greeting (RFC 1928), names left to us. Raises Malformed."""
    version, command, _, kind = await reader.readexactly(4)
    if version != 5 or command != 1:
        raise Malformed("SOCKS5 CONNECT is the only command")
    if kind == 3:
        text = (await reader.readexactly((await reader.readexactly(1))[0])).decode("latin-1")
        if ":" in text:
            raise Malformed("the host name holds a colon")
    elif kind in (1, 4):
        text = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
    else:
        raise Malformed("the kind of address is unknown")
    port = int.from_bytes(await reader.readexactly(2), "big")
    return _destination(spelled_raw(text), port or None)


def spelled_raw(text: str) -> str:
    """An IPv6 address gets its brackets back; a name stays."""
    return f"[{text}]" if ":" in text else text
