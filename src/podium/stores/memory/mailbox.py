"""The mail of one run in memory."""

from __future__ import annotations

import msgspec

from podium.ports import Mail


class Mailbox:
    """Mail by id, in order of arrival. Ids of what was read stay, so that posting it again is harmless."""

    __slots__ = ("_mail",)

    def __init__(self) -> None:
        self._mail: dict[str, Mail | None] = {}
        """None for what was read."""

    def post(self, mail: Mail) -> bool:
        """Keep mail, once per id; whether it waits to be read."""
        return self._mail.setdefault(mail.id, mail) is not None

    def mark_read(self, mail: str) -> None:
        """Mail is in the journal now."""
        if mail in self._mail:
            self._mail[mail] = None

    def erase(self) -> None:
        """Leave nothing of what was written in it; that it came stays."""
        for name, mail in self._mail.items():
            if mail is not None:
                self._mail[name] = msgspec.structs.replace(mail, data=b"")

    def unread(self) -> list[Mail]:
        """What was not read, oldest first."""
        return [mail for mail in self._mail.values() if mail is not None]
