"""Microsoft Entra tokens for Azure: asked of a credential once for all who wait, kept until shortly before they end.

A credential is what the `azure-identity` library makes, anything else with its `get_token`, or a function that gives a
token. It knows nothing of models. `azure-identity` is the optional extra `azure`, imported when nothing else is given.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, cast

import msgspec

from podium.core.errors import AuthenticationFailed, MissingExtra, ModelError, ModelTimeout, Overloaded
from podium.models import endpoint
from podium.models.one_line import one_line

SCOPE = "https://cognitiveservices.azure.com/.default"
"""What a token is for: Azure's public cloud."""
EARLY = 300.0
"""Seconds before its end at which a token is replaced; a short-lived one at half of its time."""
PATIENCE = 60.0
"""Seconds to wait for a token."""

_NETWORK = frozenset({"ServiceRequestError", "ServiceResponseError", "ServiceRequestTimeoutError"})


class TokenSource(Protocol):
    """A credential of `azure-identity`: `get_token` gives an object with `token` and `expires_on` (epoch seconds)."""

    def get_token(self, *scopes: str) -> Any:
        """The token, or an awaitable of it."""
        ...


Credential: TypeAlias = TokenSource | Callable[[], Any]


class _Token(msgspec.Struct, frozen=True):
    value: str
    until: float
    """Epoch seconds up to which it is given out again."""


class Tokens:
    """The tokens of one credential; without one, of `DefaultAzureCredential`: a managed identity, `az login`, …

    It may be used by several event loops. `who` names the model in errors.
    """

    def __init__(self, credential: Credential | None, *, scope: str, who: str) -> None:
        self._credential = credential
        self._own: Any = None
        self._scope = scope
        self._who = who
        self._token = _Token("", 0.0)
        self._fetching: dict[asyncio.AbstractEventLoop, asyncio.Task[str]] = {}

    async def get(self) -> str:
        """A token that is good for some time.

        Raises AuthenticationFailed, also when `azure-identity` is needed and not installed; Overloaded when the
        service that gives tokens cannot be reached, ModelTimeout when it does not answer.
        """
        if time.time() < self._token.until:
            return self._token.value
        loop = asyncio.get_running_loop()
        fetching = self._fetching.get(loop)
        if fetching is None:
            for other in [other for other in self._fetching if other.is_closed()]:
                del self._fetching[other]
            fetching = self._fetching[loop] = loop.create_task(self._fetch())
            fetching.add_done_callback(lambda task: self._fetched(loop, task))
        # Shielded: a request that is cancelled does not take the token away from the others that wait for it.
        return await asyncio.shield(fetching)

    async def aclose(self) -> None:
        """Close the credential, if it was made here."""
        own, self._own = self._own, None
        if own is not None:
            with suppress(Exception):
                await asyncio.to_thread(own.close)

    def _fetched(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[str]) -> None:
        self._fetching.pop(loop, None)
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more

    async def _fetch(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                given = await self._ask()
        except TimeoutError:
            raise ModelTimeout(
                f"no token for {self._who} came within {PATIENCE:g} seconds: check the identity of this machine, or "
                "set AZURE_OPENAI_API_KEY"
            ) from None
        except MissingExtra as error:
            raise AuthenticationFailed(str(error)) from None
        except Exception as error:  # noqa: BLE001  (a credential may raise anything; `from None`: it may hold secrets)
            raise self._refused(error) from None
        value = given if isinstance(given, str) else getattr(given, "token", None)
        if not isinstance(value, str) or not value.strip():
            raise AuthenticationFailed(f"the credential of {self._who} gave no token: it must give a text, or a token")
        value = endpoint.sendable(value.strip(), "the token")
        expires = getattr(given, "expires_on", None)
        now = time.time()
        if isinstance(expires, int | float):
            self._token = _Token(value, expires - min(EARLY, max(0.0, expires - now) / 2))
        return value

    async def _ask(self) -> object:
        credential = self._credential
        if credential is None:
            if self._own is None:
                self._own = await asyncio.to_thread(self._default)
            credential = cast("TokenSource", self._own)
        get = getattr(credential, "get_token", None)
        ask: Callable[[], Any] = cast("Callable[[], Any]", credential)
        if get is not None:
            ask = lambda: get(self._scope)  # noqa: E731
        if inspect.iscoroutinefunction(get or credential):
            given = ask()
        else:
            given = await asyncio.to_thread(ask)
        return await cast("Awaitable[object]", given) if inspect.isawaitable(given) else given

    def _default(self) -> object:
        try:
            identity = importlib.import_module("azure.identity")
        except ImportError:
            raise MissingExtra(
                f"{self._who} has no key (AZURE_OPENAI_API_KEY, or api_key=), and signing in without one", "azure"
            ) from None
        return identity.DefaultAzureCredential()

    def _refused(self, error: Exception) -> ModelError:
        said = one_line(str(error)) or type(error).__name__
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & _NETWORK or isinstance(error, ConnectionError):
            return Overloaded(f"the service that gives tokens for {self._who} cannot be reached ({said}): try again")
        return AuthenticationFailed(
            f"Azure gave no token for {self._who} ({said}): sign in (`az login`), give this machine an identity with "
            "the role Cognitive Services OpenAI User, or set AZURE_OPENAI_API_KEY"
        )
