"""The HTTP client under the SDK's transports: bounded bodies, and failures that say whether a request was sent.

The SDK lets a transport error end the whole connection, and with it calls that were doing well; and it cannot say
whether a failed request had left the house. So every POST that fails here is answered, in the server's stead, with a
JSON-RPC error that only this client can have made (it holds a nonce). `outcome` reads it back.

Above it are the SDK's streams; it knows no session and no tool.
"""

from __future__ import annotations

import inspect
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any, Final, Literal, TypeAlias, cast

import httpx2

from .wording import line

Outcome: TypeAlias = Literal["unsent", "refused", "expired", "lost", "too_large"]
"""What became of a request that has no answer of the server.

`unsent`: no connection, nothing was sent. `refused`: the server, or what stands before it, turned it away without
looking at the message (4xx), or nobody was logged in. `expired`: the server does not know the session any more.
`lost`: it was sent, and what came of it is unknown. `too_large`: it was answered, with more than is read.
"""

_CODE: Final = -32000
_NO_METHOD: Final = -32601
_UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_SESSION: Final = "mcp-session-id"


class WireClient(httpx2.AsyncClient):
    """An HTTP client for one MCP server. `limit` is in bytes of one body, unpacked."""

    def __init__(self, *, limit: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._most = limit
        self._nonce = secrets.token_hex(16)

    def outcome(self, data: Any) -> Outcome | None:
        """What the data of a JSON-RPC error says, if the error was made here."""
        told = cast("dict[str, Any]", data) if isinstance(data, dict) else dict[str, Any]()
        return told.get("outcome") if told.get("nonce") == self._nonce else None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send, as the base class does; a POST always comes back with an answer the SDK can read."""
        if request.method != "POST":
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
        except _UNSENT as error:
            return self._told(request, "unsent", f"no connection: {_why(error)}")
        except httpx2.TransportError as error:
            return self._told(request, "lost", f"the connection was lost: {_why(error)}")
        except Exception as error:  # noqa: BLE001  (whatever a login flow raises: it comes before sending, or after a 401)
            return self._told(request, "refused", f"not logged in: {_why(error)}", status=401)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.next_request is not None or (kind == "text/event-stream" and response.status_code < 400):
            return response
        return await self._whole(request, response)

    async def _whole(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._most:
                    return self._told(request, "too_large", f"the server's answer is larger than {self._most} bytes")
        except httpx2.TransportError as error:
            return self._told(request, "lost", f"the connection was lost: {_why(error)}")
        except httpx2.DecodingError as error:
            return self._told(request, "lost", f"the answer cannot be unpacked: {_why(error)}")
        finally:
            await response.aclose()
        status, (code, said) = response.status_code, _error(bytes(body))
        # 404 is what the specification says; servers on the TypeScript SDK answer 400 and name the session.
        unknown = (status == 404 and code != _NO_METHOD) or (status == 400 and "session" in said.lower())
        if unknown and _SESSION in request.headers:
            return self._told(request, "expired", "the server ended the session", status)
        if status >= 400 and code is None:
            # 4xx is turned away unread; 408 and 5xx may come from a gateway behind which the call goes on.
            turned_away = status < 500 and status not in {408, 409, 499}
            said = line(bytes(body[:2000]).decode("utf-8", "replace"), 200)
            reason = f"the server answered {status} {response.reason_phrase}{f': {said}' if said else ''}"
            return self._told(request, "refused" if turned_away else "lost", reason, status)
        headers = [(key, value) for key, value in response.headers.multi_items() if key not in _FRAMING]
        return httpx2.Response(status, headers=headers, content=bytes(body), request=response.request)

    def _told(self, request: httpx2.Request, outcome: Outcome, message: str, status: int = 503) -> httpx2.Response:
        error = {"code": _CODE, "message": message, "data": {"nonce": self._nonce, "outcome": outcome}}
        body = {"jsonrpc": "2.0", "id": _id_of(request), "error": error}
        return httpx2.Response(status, json=body, request=request)


_FRAMING: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers of how a body travelled, which no longer hold when it was read and unpacked."""


def _id_of(request: httpx2.Request) -> Any:
    try:
        message = json.loads(request.content)
    except (ValueError, httpx2.StreamError):
        return None
    return cast("dict[str, Any]", message).get("id") if isinstance(message, dict) else None


def _error(body: bytes) -> tuple[int | None, str]:
    """The code and the message of a JSON-RPC error, if the body is one."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    error = cast("dict[str, Any]", message).get("error") if isinstance(message, dict) else None
    given = cast("dict[str, Any]", error) if isinstance(error, dict) else dict[str, Any]()
    code = given.get("code")
    return code if isinstance(code, int) else None, str(given.get("message", ""))


def _why(error: Exception) -> str:
    return line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, 200)


class Bearer(httpx2.Auth):
    """A token in the Authorization header, read anew for every request when it is a function."""

    def __init__(self, token: Any) -> None:
        self._token = token

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Put the token in; one request, no retry."""
        token: Any = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(token):
            token = await token
        request.headers["Authorization"] = f"Bearer {token}"
        yield request
