"""The audit key: from the environment, or from a file beside the store that is made when it is first needed.

The file lies in a folder `.podium` of its owner's, which tells git to leave it out: a key in a repository is no key.

The key makes digests of values unguessable, and signatures of anchors and exports unforgeable. Whoever can read it can
forge both; whoever loses it can still check every chain, but no signature. Nothing here knows what it is used for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from podium.core.errors import ConfigurationError

from .opening import FOLDER, make_private

VARIABLE = "PODIUM_AUDIT_KEY"
FILE = "audit.key"
SHORTEST = 16
"""Characters that a key given as text must have."""


class AuditKey:
    """Where the key of a store is. `beside` is the store's file; None for one in memory, whose key dies with it."""

    def __init__(self, beside: Path | None) -> None:
        self.file = None if beside is None else _folder(beside) / FILE
        self._own = secrets.token_bytes(32) if beside is None else b""

    def known(self) -> bytes | None:
        """The key, if there is one. Raises ConfigurationError for one that cannot be used."""
        given = os.environ.get(VARIABLE, "")
        if given:
            return _from_text(given, VARIABLE)
        if self.file is None:
            return self._own
        try:
            mode, text = self.file.stat().st_mode, self.file.read_text("ascii")
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise ConfigurationError(
                f"the audit key {self.file} is not this user's to read: be its owner, or give {VARIABLE}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the audit key {self.file} cannot be read: {error}") from error
        if mode & 0o077:
            raise ConfigurationError(f"others may read the audit key: chmod 600 {self.file}")
        return _from_text(text.strip(), str(self.file))

    def hidden(self) -> bool:
        """Whether there is a key that this user may not read: enough to look at a log, and at its chains."""
        if self.file is None or os.environ.get(VARIABLE):
            return False
        try:
            with self.file.open("rb"):
                return False
        except PermissionError:
            return True
        except OSError:
            return False

    def wanted(self) -> bytes | None:
        """The key, made now if it can be; None where nothing can be written. Raises ConfigurationError."""
        known = self.known()
        if known is not None or self.file is None:
            return known
        folder = self.file.parent if self.file.parent.is_dir() else self.file.parent.parent
        return self.made() if os.access(folder, os.W_OK | os.X_OK) else None

    def made(self) -> bytes:
        """The key, made now if there is none. Of several processes that make one at a time, one wins.

        Raises ConfigurationError when it can be neither read nor made.
        """
        known = self.known()
        if known is not None or self.file is None:
            return known or self._own
        draft = self.file.with_name(f".{FILE}.{secrets.token_hex(8)}")
        try:
            make_private(self.file.parent)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # somebody else was quicker: theirs is the key
                os.link(draft, self.file)
        except OSError as error:
            raise ConfigurationError(
                f"the audit key {self.file} cannot be made ({error.strerror}): give {VARIABLE}, or write access there"
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        made = self.known()
        if made is None:
            raise ConfigurationError(f"the audit key {self.file} is gone again: who removes it?")
        return made


def _folder(store: Path) -> Path:
    return store.parent if store.parent.name == FOLDER else store.parent / FOLDER


def _from_text(text: str, where: str) -> bytes:
    if len(text) < SHORTEST:
        raise ConfigurationError(
            f"the audit key in {where} is too short: it needs {SHORTEST} characters or more, by chance "
            '(python -c "import secrets; print(secrets.token_hex(32))")'
        )
    return hashlib.sha256(b"podium audit key\0" + text.encode("utf-8", "surrogateescape")).digest()
