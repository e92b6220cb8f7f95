"""The store in one SQLite file: for one host, and several processes at most.

`store` is the port; `group` decides when and on which connection things are written; `commit` writes a group. What is
kept has a room each: `runs`, `mailbox`, `sessions`, `ledger`, `anchors`; `evidence` is what a proof reads. `schema`
makes and migrates tables; `files` opens connections; `sql` holds every statement; `errors` translates SQLite's errors
into ours.
"""

from .store import SqliteStore

__all__ = ["SqliteStore"]
