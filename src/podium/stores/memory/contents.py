"""Everything a store in memory holds, and how each thing is put into it.

What is asked is done at once and in one piece; when that is, and who may ask, is the concern of `writer` and `store`.
"""

from __future__ import annotations

from collections.abc import Iterator

from podium.ports import Attachment, Blob, CacheEntry, CacheUse, NewRun, RunRow, SessionEntry, Settlement
from podium.stores.refusals import no_run, not_over

from .anchors import Anchors
from .ledger import Accounts, Shelf
from .runs import Run
from .sessions import Sessions


class Contents:
    """Runs, and all that belongs to them or stands beside them."""

    __slots__ = ("accounts", "anchors", "blobs", "open", "runs", "sessions", "shelf")

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.open: dict[str, Run] = {}
        """Runs that are not over, so that nobody looks at all that ever ran to find those that are due."""
        self.sessions = Sessions()
        self.blobs: dict[str, bytes] = {}
        self.accounts = Accounts()
        self.shelf = Shelf()
        self.anchors = Anchors()

    def get(self, run_id: str) -> Run:
        """A run. Raises RunNotFound."""
        run = self.runs.get(run_id)
        if run is None:
            raise no_run(run_id)
        return run

    def get_over(self, run_id: str, verb: str) -> Run:
        """A run that is over, to `verb` it. Raises RunNotFound, RunConflict."""
        run = self.get(run_id)
        if not run.status.over:
            raise not_over(run_id, run.status, verb)
        return run

    def accept(self, new: NewRun) -> RunRow | None:
        """Add a run; None (and no change) when the id exists."""
        if new.id in self.runs:
            return None
        run = self.runs[new.id] = self.open[new.id] = Run(new)
        return run.row()

    def keep(self, run: Run, item: Attachment) -> None:
        """Store what a run's writer attached."""
        if isinstance(item, str):
            if run.mailbox is not None:
                run.mailbox.mark_read(item)
        elif isinstance(item, Settlement):
            self.accounts.settle(run.new.id, item)
        elif isinstance(item, CacheEntry):
            self.shelf.put(item)
        elif isinstance(item, CacheUse):
            self.shelf.used(item.key)
        elif isinstance(item, Blob):
            self.blobs.setdefault(item.address, item.data)
        elif isinstance(item, SessionEntry):
            self.sessions.extend(item)
        else:
            self.accept(item)

    def changed(self, run: Run) -> None:
        """Follow a change of a run's status."""
        if not run.status.over:
            self.open[run.new.id] = run
            return
        self._close_accounts(run)
        self.open.pop(run.new.id, None)

    def _close_accounts(self, run: Run) -> None:
        """Close the account of a run that is over, and those of the runs above it, once no run below may be charged."""
        self.accounts.over(run.new.id)
        ended = [above for above in self._above(run) if self.accounts.kept(above)]
        if not ended:
            return
        charged = {above for each in self.open.values() if not each.status.over for above in self._above(each)}
        for above in ended:
            if above not in charged:
                self.accounts.close(above)

    def _above(self, run: Run | None) -> Iterator[str]:
        """A run and those above it, nearest first."""
        while run is not None:
            yield run.new.id
            parent = run.new.parent
            run = self.runs.get(parent)
            if run is None and parent:
                yield parent
