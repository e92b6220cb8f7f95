"""One HTTP request, one attempt: bounded, to an address that may be asked, and clear about what a failure means.

A failure says whether anything can have happened: NotDone when nothing was sent, ToolUnavailable when nobody knows.
Nothing is repeated here; the runtime does that, by the tool's effect. Hosts the user named are connected to as usual
(proxies of the environment included); a host that only the document names must have a public address, and the address
that was checked is the one that is connected to. The same rules as for sandboxes (`sandbox.destinations`) decide.
"""

from __future__ import annotations

import asyncio
import functools
import math
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podium.core.errors import ConfigurationError, NotDone, ToolError, ToolTimeoutError, ToolUnavailable
from podium.tools.sandbox.destinations import Address, Allowance, Pattern, parse_address, parse_host, spelled

if TYPE_CHECKING:
    import ssl

    import httpx2

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read, after decompression."""
MAX_ERROR_BODY: Final = 16 * 1024
"""Bytes of an error's body that are read."""
MAX_WAIT: Final = 3600.0
"""Seconds; a longer `Retry-After` is cut to this."""
_CONNECT: Final = 10.0
_HOPS: Final = 5
_AGENT: Final = "podium"
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    reason: str
    media: str
    """The media type, without parameters."""
    charset: str
    body: bytes
    retry_after: float | None
    """Seconds the server asks to wait."""


class Wire:
    """Sends requests. `trusted` are the `host:port` the user named; `allow` are patterns of further hosts.

    Raises ConfigurationError for a pattern that cannot be read.
    """

    def __init__(self, *, trusted: Sequence[str] = (), allow: Sequence[str] = ()) -> None:
        self._trusted = frozenset(trusted)
        self._allow = Allowance.of(list(allow))

    def knows(self, url: str) -> bool:
        """Whether the user named the host of `url`: only such hosts are given credentials beside the document's own."""
        parsed = _url(url)
        host, port = _host(parsed), _port(parsed)
        return spelled(host, port) in self._trusted or self._allow.refuses_host(host, port) is None

    async def send(self, request: Request, *, timeout: float, hide: Any = None) -> Response:
        """Send once and read the answer, whatever its status. `hide(text)` takes secrets out of messages.

        Redirects are followed within the same origin only: reads up to five times, other methods when the server says
        that it did nothing (307, 308). Raises NotDone (nothing was sent), ToolUnavailable (the outcome is unknown),
        ToolTimeoutError, and ToolError for a redirect or a body that is not taken.
        """
        import httpx2

        where = shown(request.url)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await self._followed(request, where, timeout)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, UnicodeEncodeError) as error:
            said = " ".join(str(error).split())
            # `from None`: the original holds the request, and with it the credentials.
            raise _failure(error, where, (hide(said) if hide else said)[:300]) from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolTimeoutError(f"{where} did not answer within {timeout:g} seconds") from None

    async def _followed(self, request: Request, where: str, timeout: float) -> Response:
        import httpx2

        url = _url(request.url)
        origin = _origin(url)
        for _ in range(_HOPS + 1):
            async with AsyncExitStack() as stack:
                response = await self._sent(stack, request, url, timeout)
                target = response.headers.get("location") if response.is_redirect else None
                if target is None:
                    return await _read(response, where, head=request.method == "HEAD")
                if request.method not in _READS and response.status_code not in (307, 308):
                    raise ToolError(
                        f"{where} answered {response.status_code}, a redirect that a {request.method} does not follow"
                    )
                try:
                    url = url.join(target)
                except (httpx2.InvalidURL, ValueError):
                    raise ToolError(f"{where} redirects to something that is no address") from None
                if url.userinfo or _origin(url) != origin:
                    raise _elsewhere(request, where, url)
        raise ToolError(f"{where} redirects more than {_HOPS} times")

    async def _sent(self, stack: AsyncExitStack, request: Request, url: httpx2.URL, timeout: float) -> httpx2.Response:
        import httpx2

        host, port = _host(url), _port(url)
        headers = {"User-Agent": _AGENT, **request.headers}
        extensions: dict[str, Any] = {
            "timeout": {"connect": min(_CONNECT, timeout), "read": None, "write": None, "pool": None}
        }
        known = spelled(host, port) in self._trusted
        if not known:
            address = await self._address(host, port)
            headers["Host"] = spelled(host, url.port)
            extensions["sni_hostname"] = str(host)
            url = url.copy_with(host=str(address), port=port)
        client = await stack.enter_async_context(
            httpx2.AsyncClient(verify=_certificates(), trust_env=known, follow_redirects=False, mounts=_direct(known))
        )
        message = client.build_request(
            request.method, url, content=request.body, headers=_encoded(headers), extensions=extensions
        )
        response = await client.send(message, stream=True)
        stack.push_async_callback(response.aclose)
        return response

    async def _address(self, host: str | Address, port: int) -> Address:
        """An address of `host` that may be connected to. Raises NotDone."""
        if isinstance(host, str):
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise NotDone(f"{host} has no address: {error.strerror or error}") from None
            addresses = [each for each in (parse_address(str(item[4][0])) for item in found) if each is not None]
        else:
            addresses = [host]
        public = Allowance((Pattern("*", None, (port,)), *self._allow.entries))
        kept, refusal = public.choose(host, addresses, port)
        if not kept:
            raise NotDone((refusal or f"{host} has no address").replace("to network", "to allow="), retry=False)
        return kept[0]


def fetch(url: str, *, timeout: float, limit: int) -> bytes:
    """Read a document from an address the user named; redirects are followed within its origin.

    Raises ConfigurationError when it cannot be had.
    """
    import httpx2

    where = shown(url)
    try:
        at = _url(url)
        origin = _origin(at)
        with httpx2.Client(verify=_certificates(), timeout=timeout, mounts=_direct_sync()) as client:
            for _ in range(_HOPS + 1):
                with client.stream("GET", at, headers={"User-Agent": _AGENT}, follow_redirects=False) as response:
                    target = response.headers.get("location") if response.is_redirect else None
                    if target is not None:
                        at = at.join(target)
                        if _origin(at) != origin:
                            raise ConfigurationError(f"{where} redirects to {shown(str(at))}: give that address")
                        continue
                    if response.status_code != 200:
                        raise ConfigurationError(
                            f"{where} answered {response.status_code} where a document was expected"
                        )
                    data = bytearray()
                    for piece in response.iter_bytes():
                        data += piece
                        if len(data) > limit:
                            raise ConfigurationError(f"{where} has more than {limit} bytes: split the document")
                    return bytes(data)
    except (httpx2.HTTPError, httpx2.InvalidURL, NotDone) as error:
        raise ConfigurationError(f"the document at {where} cannot be read: {str(error)[:200]}") from None
    raise ConfigurationError(f"{where} redirects more than {_HOPS} times")


def shown(url: str) -> str:
    """An address fit for messages: no user, password, query or fragment."""
    try:
        parsed = _url(url)
        return f"{parsed.scheme}://{spelled(_host(parsed), parsed.port)}{parsed.path[:200]}"
    except NotDone:
        return "an address that cannot be read"


def endpoint(url: str) -> str:
    """`host:port` of an address. Raises NotDone for what is no address."""
    parsed = _url(url)
    return spelled(_host(parsed), _port(parsed))


def _url(url: str) -> httpx2.URL:
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise NotDone(f"{str(url)[:200]!r} is not an address: write https://host/path") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise NotDone("not a web address: write https://host/path")
    return parsed


def _host(url: httpx2.URL) -> str | Address:
    try:
        return parse_host(url.host)
    except ValueError as error:
        raise NotDone(str(error)) from None


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, _port(url)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Made once: reading the trust store takes longer than a request."""
    import httpx2

    return httpx2.create_ssl_context()


_LOOPBACK: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


def _direct(known: bool) -> Any:
    """Loopback never goes through a proxy of the environment."""
    return dict.fromkeys(_LOOPBACK) if known else None


def _direct_sync() -> Any:
    return dict.fromkeys(_LOOPBACK)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode()) for name, value in headers.items()]


async def _read(response: httpx2.Response, where: str, *, head: bool) -> Response:
    limit = MAX_BODY if response.is_success else MAX_ERROR_BODY
    data = bytearray()
    if not head:
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) > limit:
                break
    if len(data) > limit and response.is_success:
        raise ToolError(f"{where} answered with more than {limit} bytes: ask for less")
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Response(
        status=response.status_code,
        reason=response.reason_phrase[:60],
        media=media,
        charset=response.charset_encoding or "utf-8",
        body=bytes(data[:limit]),
        retry_after=_retry_after(response.headers),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or as a date compared with the server's own clock."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until, now = _epoch(value), _epoch(headers.get("date", ""))
        if until is None or now is None:
            return None
        seconds = until - now
    return min(max(seconds, 0.0), MAX_WAIT) if math.isfinite(seconds) else None


def _epoch(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _elsewhere(request: Request, where: str, url: httpx2.URL) -> ToolError:
    said = f"{where} redirects to {shown(str(url))}, another origin, which is not followed: give that as base_url="
    # 307 and 308 say that nothing was done, and only they come here for anything but a read.
    return ToolError(said) if request.method in _READS else NotDone(said)


def _failure(error: Exception, where: str, said: str) -> ToolError:
    import httpx2

    said = said or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError):
        return NotDone(f"cannot connect to {where} ({said}): check that the server runs and base_url is right")
    if isinstance(
        error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol | httpx2.InvalidURL | UnicodeEncodeError
    ):
        return NotDone(f"the request to {where} cannot be sent ({said})")
    return ToolUnavailable(f"the connection to {where} broke off ({said})")
