"""A page of a listed host: fetched, bounded, and shown as text.

Which hosts and addresses may be asked is decided by the same rules as for sandboxes (`sandbox.destinations`): the name
is resolved here, the address that was checked is the address that is connected to, and every redirect is judged anew.
Proxies and credentials of the environment are not used. It knows nothing of cookies, forms or scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podium.core.errors import ConfigurationError, ToolError
from podium.tools.function import FunctionTool, tool
from podium.tools.sandbox.destinations import Address, Allowance, parse_address, parse_host, spelled
from podium.tools.sandbox.network import is_own

from .page import readable

if TYPE_CHECKING:
    import httpx2

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to its addresses. Raises OSError when there are none."""

MOST_BYTES: Final = 2_000_000
SHOWN: Final = 40_000
"""Characters of a page that one call shows."""
_TEXTUAL: Final = ("text/", "application/json", "application/xml", "application/xhtml", "application/javascript")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one fetch may take."""

    seconds: float = 20.0
    """In all, redirects included."""
    bytes: int = MOST_BYTES
    redirects: int = 5


def fetch_tool(
    allow: bool | Sequence[str],
    *,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    name: str = "http_fetch",
    resolver: Resolver | None = None,
) -> FunctionTool[..., Any]:
    """The tool `http_fetch(url)`: a GET of pages on the hosts in `allow` (True is every public host).

    `allow` holds patterns such as `"example.com"`, `"*.example.com"`, `"example.com:8443"`; private addresses are
    refused unless one names them. `headers` go to the first host only, not on a redirect to another. Raises
    ConfigurationError for a pattern that cannot be read, and for no hosts at all.
    """
    fetcher = _Fetcher(_allowance(allow), dict(headers or {}), limits or Limits(), resolver or _resolve)

    @tool(
        name=name, effect="read", reach="external", network=True, timeout=fetcher.limits.seconds + 5, tags="web",
        capabilities="fetch",
    )  # fmt: skip
    async def http_fetch(url: str, start: int = 0) -> dict[str, Any]:
        """Fetch a web page and read it as text.

        Args:
            url: its address, with http:// or https://
            start: from which character to show it, when it was too long to be shown at once
        """
        async with asyncio.timeout(fetcher.limits.seconds):
            page = await fetcher.fetch(url)
        shown = page.text[max(0, start) : max(0, start) + SHOWN]
        more = max(0, start) + len(shown) < len(page.text)
        return {"url": page.url, "status": page.status, "type": page.type, "text": shown, "more": more}

    return http_fetch


class Page(msgspec.Struct, frozen=True):
    """What was found at the end of the redirects."""

    url: str
    status: int
    type: str
    text: str


def _allowance(allow: bool | Sequence[str]) -> Allowance:
    if not allow:
        raise ConfigurationError(
            'allow= lists the hosts to fetch from, as in ["example.com"]; True is every public host'
        )
    try:
        return Allowance.of((allow,) if isinstance(allow, str) else allow)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("network", "allow")) from None


class _Fetcher:
    def __init__(self, allowance: Allowance, headers: dict[str, str], limits: Limits, resolve: Resolver) -> None:
        self._allowance, self._headers, self._resolve = allowance, headers, resolve
        self.limits = limits

    async def fetch(self, url: str) -> Page:
        import httpx2

        headers = self._headers
        transport = httpx2.AsyncHTTPTransport(retries=0)
        async with httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False) as client:
            for _ in range(self.limits.redirects + 1):
                address = _parsed(url)
                async with contextlib.AsyncExitStack() as stack:
                    try:
                        response = await self._get(client, address, headers, stack)
                        target = response.headers.get("location") if response.status_code in _REDIRECTS else None
                        if target is None:
                            return await self._page(url, response)
                    except httpx2.HTTPError as error:
                        raise ToolError(f"{url[:300]} cannot be fetched: {error or type(error).__name__}") from None
                following = address.join(target)
                if (following.host, following.port, following.scheme) != (address.host, address.port, address.scheme):
                    headers = {}
                url = str(following)
        raise ToolError(f"{url[:300]} redirects more than {self.limits.redirects} times")

    async def _get(
        self, client: httpx2.AsyncClient, url: httpx2.URL, headers: dict[str, str], stack: contextlib.AsyncExitStack
    ) -> httpx2.Response:
        """Connect to an address that was checked, under the name that was asked for."""
        host = _host(url)
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._address(host, port)
        pinned = url.copy_with(host=str(address), port=port)
        name = spelled(host, url.port)
        request = client.build_request(
            "GET",
            pinned,
            headers={"User-Agent": "podium", "Accept": "*/*", **headers, "Host": name, "Accept-Encoding": "identity"},
            extensions={"sni_hostname": str(host), "timeout": dict.fromkeys(_TIMEOUTS, self.limits.seconds)},
        )
        response = await client.send(request, stream=True)
        stack.push_async_callback(response.aclose)
        return response

    async def _address(self, host: str | Address, port: int) -> Address:
        refused = self._allowance.refuses_host(host, port)
        if refused is not None:
            raise ToolError(refused.replace("this sandbox's list", "this tool's list").replace("network", "allow"))
        if not isinstance(host, str):
            found = [host]
        else:
            try:
                texts = await self._resolve(host, port)
            except OSError as error:
                raise ToolError(f"{host} has no address: {error.strerror or error}") from None
            found = [each for each in map(parse_address, texts) if each is not None]
        kept, refusal = self._allowance.choose(host, found, port, own=[each for each in found if is_own(each)])
        if not kept:
            raise ToolError((refusal or f"{host} has no address").replace("network", "allow"))
        return kept[0]

    async def _page(self, url: str, response: httpx2.Response) -> Page:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise ToolError(f"{url[:300]} answers compressed although it was asked not to")
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > self.limits.bytes:
                raise ToolError(f"{url[:300]} is larger than {self.limits.bytes} bytes")
        if data and kind and not kind.startswith(_TEXTUAL) and not kind.endswith(("+json", "+xml")):
            raise ToolError(f"{url[:300]} is {kind}, not text ({len(data)} bytes)")
        text = _decoded(bytes(data), response.charset_encoding)
        if kind in ("text/html", "application/xhtml+xml"):
            text = await asyncio.to_thread(readable, text)  # a large page takes a while
        return Page(url, response.status_code, kind, text)


_TIMEOUTS: Final = ("connect", "read", "write", "pool")


def _parsed(url: str) -> httpx2.URL:
    import httpx2

    try:
        parsed = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, ValueError):
        raise ToolError(f"{url[:300]!r} is not an address: write https://host/path") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ToolError(f"{url[:300]!r} is not a web address: write https://host/path")
    if parsed.userinfo:
        raise ToolError("addresses with a user name or password are not fetched")
    return parsed.copy_with(fragment=None)


def _host(url: httpx2.URL) -> str | Address:
    try:
        return parse_host(url.host)
    except ValueError as error:
        raise ToolError(str(error)) from None


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # a codec that is none for text, or refuses to replace
        return data.decode("utf-8", "replace")
