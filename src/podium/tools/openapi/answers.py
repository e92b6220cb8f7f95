"""What an answer means to a tool's caller: a value, a refusal, or that nobody knows.

A refusal by the server (4xx) is an error that says so in its own words, bounded and without secrets, and is not
repeated: nothing happened. 408, 425 and 429 ask to come again. A failure of the server (5xx) may have happened.
"""

from __future__ import annotations

import base64
import logging
from typing import Any, Final

import msgspec

from podium.core.errors import NotDone, ToolError, ToolUnavailable, ToolValidationError
from podium.schema.foreign import Validator, validator

from .credentials import Carried
from .document import Document
from .operations import Operation, is_json
from .schemas import Schemas
from .wire import Response

_WORDS: Final = 600
"""Characters of the server's words that an error repeats."""
_BYTES: Final = 512 * 1024
"""Most bytes of a binary answer."""
_AGAIN: Final = frozenset((408, 425, 429))


class Reader:
    """Reads the answers of one operation. With `strict`, one that does not fit its schema is an error."""

    def __init__(self, name: str, document: Document, operation: Operation, *, strict: bool) -> None:
        self._name, self._document, self._strict = name, document, strict
        self._schemas = operation.responses
        self._validators: dict[str, Validator | None] = {}
        self._noted = False

    def value(self, response: Response, carried: Carried) -> Any:
        """The value of a successful answer. Raises ToolError and its kin for any other."""
        if not 200 <= response.status < 300:
            raise self._refused(response, carried)
        if not response.body:
            return {"status": response.status}
        if (is_json(response.media) and response.media) or (not response.media and response.body[:1] in b"{["):
            return self._json(response, carried)
        if response.media.startswith("text/") or response.media.endswith(("xml", "yaml", "javascript", "x-ndjson")):
            return carried.hide(_text(response))
        if len(response.body) > _BYTES:
            raise ToolValidationError(
                f"{self._name}: the answer is {len(response.body)} bytes of {response.media or 'no type'}, more than "
                f"{_BYTES}",
                where="result",
            )
        return {"media_type": response.media, "base64": base64.b64encode(response.body).decode()}

    def _json(self, response: Response, carried: Carried) -> Any:
        try:
            # Once read, so that a secret the server repeats is found however it is written (`\/` and `\u002f` are one).
            value = carried.hide(msgspec.json.decode(response.body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ToolValidationError(
                f"{self._name}: the answer says it is {response.media} and is not", where="result"
            ) from None
        check = self._validator(response.status)
        found = check.findings(value) if check is not None else []
        if found and self._strict and check is not None:
            check.check(value, where="result")
        if found and not self._noted:
            self._noted = True
            logging.getLogger("podium").warning(
                "%s: the answer does not fit the document's own schema (%s): it is given on as it is; strict=True "
                "would refuse it",
                self._name,
                f"{found[0].pointer or 'the whole'}: {found[0].says.partition(', got ')[0]}"[:300],
            )
        return value

    def _validator(self, status: int) -> Validator | None:
        key = next((each for each in (str(status), f"{status // 100}XX", "DEFAULT") if each in self._schemas), None)
        if key is None:
            return None
        if key not in self._validators:
            try:
                schema = Schemas(self._document, "out").whole(self._schemas[key])
                made = validator(schema, what=f"{self._name}: its answer", formats=False)
            except Exception as error:  # noqa: BLE001 - a bad schema of an answer costs its check, not the answer
                logging.getLogger("podium").warning("%s: answers are not checked: %s", self._name, error)
                made = None
            self._validators[key] = made
        return self._validators[key]

    def _refused(self, response: Response, carried: Carried) -> ToolError:
        said = f"{self._name}: the server answered {response.status} {response.reason}".rstrip()
        words = carried.one_line(_text(response), _WORDS) if _wordy(response) else ""
        message = f"{said}: {words}" if words else said
        data: dict[str, Any] = {"status": response.status}
        if response.retry_after is not None:
            data["retry_after"] = response.retry_after
        if response.status in _AGAIN:
            return NotDone(message, **data)
        if 400 <= response.status < 500:
            return ToolValidationError(message, where="server", **data)
        return ToolUnavailable(message, **data)


def _wordy(response: Response) -> bool:
    return (
        not response.media or is_json(response.media) or response.media.startswith("text/") or "xml" in response.media
    )


def _text(response: Response) -> str:
    try:
        return response.body.decode(response.charset, "replace")
    except LookupError:
        return response.body.decode("utf-8", "replace")
