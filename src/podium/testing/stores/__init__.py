"""The conformance kit of stores: what every `podium.ports.Store` promises, as tests that a store author inherits.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def clock(self): ...            # a Clock with `advance(seconds)`
        @pytest.fixture
        def make_store(self, clock):    # called for each test; the kit closes what it returns
            return lambda: MyStore(clock)

Needs pytest and pytest-asyncio. Everything goes through the port; nothing here knows how a store keeps what it keeps.
What only one kind of store promises (files, processes, syncs) is tested beside that store. Each module here holds the
promises of one concern; `moves` is what the tests are made of.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from podium.ports import Store

from .attachments import AttachmentPromises
from .audit import AuditPromises
from .fencing import FencingPromises
from .journal import JournalPromises
from .leases import LeasePromises
from .ledger import LedgerPromises
from .mailbox import MailPromises
from .moves import (
    TTL,
    MakeStore,
    SettableClock,
    driven,
    keys,
    mail,
    new_run,
    settled,
    step,
    suspend,
    suspended,
    take,
    write,
)
from .runs import RunPromises
from .sessions import SessionPromises
from .shelf import ShelfPromises
from .transitions import TransitionPromises

__all__ = [
    "TTL",
    "MakeStore",
    "SettableClock",
    "StoreConformance",
    "driven",
    "keys",
    "mail",
    "new_run",
    "settled",
    "step",
    "suspend",
    "suspended",
    "take",
    "write",
]


class StoreConformance(
    RunPromises,
    LeasePromises,
    JournalPromises,
    FencingPromises,
    TransitionPromises,
    MailPromises,
    AttachmentPromises,
    SessionPromises,
    LedgerPromises,
    ShelfPromises,
    AuditPromises,
):
    """Inherit, and give `clock` and `make_store`; every test must pass."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[Store]:
        """An empty store, closed after the test."""
        made = make_store()
        store = await made if inspect.isawaitable(made) else made
        yield store
        await store.close()
