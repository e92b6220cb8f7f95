"""Google's application default credentials: an access token from what this machine is logged in with.

It stands on `google-auth` (the extra `vertex`), imported with the first token and used in a worker thread, since that
library waits. Its requests go through httpx2, so that certificates, proxies and the guard on real calls are those of
every other request. Tokens stay in memory until shortly before they expire.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import msgspec

from podium.core.errors import AuthenticationFailed, MissingExtra, Overloaded, PermissionDenied
from podium.models.one_line import one_line
from podium.models.transport import is_loopback, real_calls_allowed

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = 30.0
"""Seconds for one request of the library, unless it asks for others."""
# The metadata servers of Google's machines are on the machine's own link: no proxy can reach them.
_DIRECT = ("localhost", "127.0.0.1", "169.254.169.254", "metadata.google.internal", "metadata")


class Grant(msgspec.Struct, frozen=True):
    """What proves that a request may be made, and what comes with it."""

    token: str
    given: bool = False
    """Whether a person chose it for this very model."""
    project: str = ""
    """The project the credentials belong to."""
    quota_project: str = ""
    """The project that pays for the request, when it is another one."""


class DefaultCredentials:
    """The credentials of this machine, found once and refreshed when they expire. For any thread and any loop."""

    __slots__ = ("_credentials", "_fetching", "_locks", "_project")

    def __init__(self) -> None:
        self._credentials: Any = None
        self._project = ""
        self._fetching = threading.Lock()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def grant(self, name: str) -> Grant:
        """A token that is good for a few minutes at least. `name` is the model's, for errors.

        Raises MissingExtra without `google-auth`, AuthenticationFailed when there are no credentials or they are
        refused, Overloaded when Google could not be asked, and PermissionDenied while real calls are forbidden.
        """
        if not self._good():
            async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                if not self._good():
                    await asyncio.to_thread(self._fetch, name)
        quota = getattr(self._credentials, "quota_project_id", None) or ""
        return Grant(str(self._credentials.token), project=self._project, quota_project=str(quota))

    def _good(self) -> bool:
        return self._credentials is not None and bool(self._credentials.valid)

    def _fetch(self, name: str) -> None:
        try:
            auth: Any = importlib.import_module("google.auth")
            errors: Any = importlib.import_module("google.auth.exceptions")
        except ImportError:
            raise MissingExtra(f"{name} without token= or GOOGLE_VERTEX_ACCESS_TOKEN", "vertex") from None
        ask = _Request(errors.TransportError)
        with self._fetching:
            try:
                if self._credentials is None:
                    self._credentials, project = auth.default(scopes=[_SCOPE], request=ask)
                    self._project = project or ""
                if not self._good():
                    self._credentials.refresh(ask)
            except errors.GoogleAuthError as error:
                said = one_line(" ".join(str(each) for each in error.args[:1])) or type(error).__name__
                if error.retryable or isinstance(error, errors.TransportError):
                    raise Overloaded(
                        f"no access token for {name}: Google could not be asked ({said}): try again"
                    ) from None
                raise AuthenticationFailed(
                    f"no access token for {name} ({said}): log in with `gcloud auth application-default login`, name a "
                    "service account's file in GOOGLE_APPLICATION_CREDENTIALS, or pass token="
                ) from None


class _Response(msgspec.Struct, frozen=True):
    """An answer in the form `google.auth.transport.Response` asks for."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Request:
    """A request in the form `google.auth.transport.Request` asks for."""

    __slots__ = ("_failure",)

    def __init__(self, failure: type[Exception]) -> None:
        self._failure = failure

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Response:
        """Ask once. Raises the library's own error when nobody answers."""
        import httpx2

        host = urlsplit(url).hostname or ""
        if not real_calls_allowed() and not is_loopback(host):
            raise PermissionDenied(
                f"no real calls are allowed, and {host} would be asked for an access token. Use ScriptedModel or "
                "OfflineModel, or pass token=",
                rule="no-real-calls",
            )
        direct = dict.fromkeys(f"all://{each}" for each in _DIRECT)
        try:
            with httpx2.Client(timeout=timeout or _TIMEOUT, mounts=direct) as client:
                answer = client.request(method, url, content=body, headers=dict(headers or {}))
                return _Response(answer.status_code, answer.headers, answer.content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failure(one_line(str(error)) or type(error).__name__) from None
