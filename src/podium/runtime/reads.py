"""Steps that have no beginning worth recording: values taken from the world, events, and session messages.

Only their `Ended` is written. A crash before it means that the value is read again, or the event emitted again under
the same key; nobody has seen the first.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import msgspec

from podium.core.actions import Emit, Read, Remember
from podium.core.codec import decode, digest_of, encode
from podium.core.errors import StepFailed
from podium.core.messages import Message
from podium.ports import SessionEntry

from .run import Run, as_step_error
from .step import FATAL, Step

_NOTHING = b""


class ReadPerformer:
    """Takes a value once and keeps it."""

    def digest(self, run: Run, action: Read) -> bytes:
        """Nothing: the name in the key is all a read asks."""
        return _NOTHING

    def receive(self, run: Run, action: Read, raw: msgspec.Raw) -> Any:
        """The value as plain data."""
        return decode(raw)

    async def perform(self, run: Run, step: Step) -> None:
        """Read, and journal the value or the error."""
        action = cast("Read", step.action)
        try:
            value = action.source()
            if inspect.isawaitable(value):
                value = await value
            step.finish(value, label=step.label)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001  (what the source raised is what the member gets, now and on replay)
            step.finish(error=as_step_error(error, StepFailed))


class EmitPerformer:
    """Journals an application event."""

    def digest(self, run: Run, action: Emit) -> bytes:
        """The event."""
        return digest_of((action.name, run.services.dump(action.data)))

    def receive(self, run: Run, action: Emit, raw: msgspec.Raw) -> None:
        """Nothing."""
        return

    async def perform(self, run: Run, step: Step) -> None:
        """Write the event."""
        action = cast("Emit", step.action)
        step.finish(run.services.dump(action.data), label=step.label)


class RememberPerformer:
    """Appends messages to a session, in the transaction of the record that says so."""

    def digest(self, run: Run, action: Remember) -> bytes:
        """Session and messages."""
        return digest_of((action.session, action.messages))

    def receive(self, run: Run, action: Remember, raw: msgspec.Raw) -> Any:
        """How many messages were added."""
        return decode(raw)

    async def perform(self, run: Run, step: Step) -> None:
        """Attach the messages to the record."""
        action = cast("Remember", step.action)
        messages = cast("tuple[Message, ...]", action.messages)
        run.writer.attach(
            SessionEntry(
                action.session,
                run.id,
                tuple([run.masked(encode(message)) for message in messages]),
                run.services.clock.time(),
                run.label_of(step.label),
            )
        )
        step.finish(len(messages), label=step.label)
