"""Telling a driver what was committed, without letting its mistakes into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def announce(on_commit: Callable[[int], None], seq: int) -> None:
    """Call `on_commit(seq)`. What it raises goes to the loop's exception handler: the commit stands all the same, and
    the other runs of the group must hear of theirs.
    """
    try:
        on_commit(seq)
    except Exception as error:  # noqa: BLE001 - somebody else's callback
        asyncio.get_running_loop().call_exception_handler({"message": "on_commit raised", "exception": error})
