"""What may be seen of a log line: Podium's own messages without secrets.

A filter for the logger `podium`, while an app is open. It knows the vault and nothing of handlers or levels.
"""

from __future__ import annotations

import logging
import traceback

from podium.core.redaction import redact_text
from podium.runtime.vault import Vault


class SecretsFilter(logging.Filter):
    """Lets every record pass, with secrets taken out of its message and its traceback."""

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._vault = vault

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact in place. A message that is no message any more is left to the handler to complain about."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  (arguments that do not fit the message: logging reports that itself)
            return True
        record.msg, record.args = self._clean(message), None
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter would print the exception as it is; it prints this instead when it is there.
            record.exc_text = self._clean("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True

    def _clean(self, text: str) -> str:
        return self._vault.mask_text(redact_text(text))
