-- Conversations as chains: a session names its last entry, an entry the one before it. A branch names an entry of
-- another session's chain, so that branching copies nothing and nothing is ever changed.
CREATE TABLE sessions (
  id TEXT PRIMARY KEY, created REAL, updated REAL, messages INT, version INT, parent TEXT, last INT
) WITHOUT ROWID;
CREATE INDEX sessions_updated ON sessions (updated);
CREATE TABLE entries (n INTEGER PRIMARY KEY, prev INT, start INT, run TEXT, at REAL, label BLOB, body BLOB);
