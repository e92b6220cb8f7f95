"""The store that lives and dies with its process: for tests, notebooks and runs nobody wants to keep.

`store` is the port; `writer` is the journal of one driven run, and `group` commits the writers of a tick; `contents` is
what there is, and how each thing is put into it: `runs` with their `mailbox`es, `sessions`, the `ledger`, `anchors`.
`evidence` is what a proof is made of.
"""

from .store import MemoryStore

__all__ = ["MemoryStore"]
