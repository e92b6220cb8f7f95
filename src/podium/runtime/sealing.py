"""Sealed secrets on their way in and out of records: kept with the record that holds their token, fetched when needed.

They lie encrypted on the store's shelf of things that may be forgotten; a call whose secret was forgotten fails and
says so. What a token is, and how a value is encrypted, is the `vault`'s business.
"""

from __future__ import annotations

from typing import Any, Final, cast

from podium.core.errors import StepFailed
from podium.core.messages import Reply
from podium.core.redaction import redact, secrets_in, without

from .carrying import entries
from .run import Run
from .vault import address

_PLAIN: Final = frozenset({int, float, bool, type(None)})


def seal(run: Run, value: Any) -> Any:
    """Plain JSON with tokens in place of secrets, which are kept beside the next record; itself when it has none."""
    if type(value) in _PLAIN:
        return value
    made: list[str] = []
    sealed = run.services.vault.seal(value, run.whose, made)
    if made:
        _keep(run, made)
    return sealed


def sealed_reply(run: Run, reply: Reply) -> Reply:
    """A reply whose tool calls hold tokens in place of secrets; itself when they hold none."""
    made: list[str] = []
    sealed = run.services.vault.sealed(reply, run.whose, made)
    if made:
        _keep(run, made)
    return sealed


def opened(run: Run, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with their secrets. Raises ToolValidationError for one that this process has not seen (yet)."""
    return run.services.vault.open(args, run.whose)


async def fetched(run: Run, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with their secrets, those that another process saw among them. Raises ToolValidationError."""
    vault, whose = run.services.vault, run.whose
    for token in vault.missing(args, whose):
        data = await run.services.store.cached(address(token, whose), run.services.clock.time())
        if data is not None:
            vault.learn(token, whose, data)
    return vault.open(args, whose)


def discreet(run: Run, args: dict[str, Any], error: StepFailed) -> StepFailed:
    """The error of a call without the secrets that were among the arguments; itself when it tells none."""
    secrets = _secrets(run, args)
    if not secrets:
        return error
    failure = error.failure
    message, data = without(secrets, failure.message), without(secrets, failure.data)
    if message is failure.message and data is failure.data:
        return error
    # By the class that the runtime knows it as: a class of the tool's own may be made in any way.
    known = next(each for each in type(error).__mro__ if each.__module__ == StepFailed.__module__)
    return cast("type[StepFailed]", known)(message, **data)


def echoed(run: Run, args: dict[str, Any], value: Any) -> Any:
    """A result without the secrets that were among the arguments, which a tool may repeat in any text."""
    return without(_secrets(run, args), value)


def _secrets(run: Run, args: dict[str, Any]) -> list[str]:
    """The secrets among arguments: those in plain sight, and those behind tokens that this process knows."""
    opened = run.services.vault.known(args, run.whose)
    return secrets_in(opened) if redact(opened) is not opened else []


def _keep(run: Run, made: list[str]) -> None:
    for entry in entries(run.services.vault, run.whose, made, run.services.clock.time(), run.limits.cache):
        run.writer.attach(entry)
