"""Every statement the store runs, by name. Only `schema` runs others: the migrations.

`n` is a run's number, `base` that number shifted left by 32 bits: the journal's rows of a run lie between `base` and
`base + LAST`.
"""

from __future__ import annotations

LAST = 0xFFFFFFFF
"""The highest record number of a run."""

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
# A unit that may be refused is undone without its group.
SAVE = "SAVEPOINT unit"
UNDO = "ROLLBACK TO unit"
RELEASE = "RELEASE unit"

# --- the fence: whoever writes for a run must name its epoch and its owner. The owner matters when the lease was given
# back, and when the number of a forgotten run is used again.

# Store a unit of records if the lease is the writer's. (id, count, body, head, n, epoch, owner)
APPEND = "INSERT INTO journal SELECT ?, ?, ?, ? FROM runs WHERE n = ? AND epoch = ? AND owner = ?"
# The fence for a unit without records; always a real write, since an empty commit does not sync. (n, epoch, owner)
TOUCH = "UPDATE runs SET tick = tick + 1 WHERE n = ? AND epoch = ? AND owner = ?"
# Change the run's row. (status, wake_at, cost, costs, updated, head, n)
TRANSITION = """UPDATE runs SET status = ?, wake_at = ?, cost = coalesce(?, cost), costs = coalesce(?, costs),
updated = ?, head = ?, anchored = NULL, tick = tick + 1 WHERE n = ?"""
# Change it and give the lease back. (status, wake_at, cost, costs, updated, head, n)
LEAVE = """UPDATE runs SET status = ?, wake_at = ?, cost = coalesce(?, cost), costs = coalesce(?, costs),
updated = ?, head = ?, anchored = NULL, tick = tick + 1,
owner = '', lease_until = 0 WHERE n = ?"""

# --- runs

# Accept a run; no change when the id exists: its id, member, target, when created and updated, parent, session, digest,
# title, head and secret.
CREATE = """INSERT OR IGNORE INTO runs
(id, member, target, status, epoch, owner, lease_until, wake_seq, created, updated, parent, session, digest, cost,
title, tick, head, secret) VALUES (?, ?, ?, 'pending', 0, '', 0, 0, ?, ?, ?, ?, ?, '0', ?, 0, ?, ?)"""
# The first records of a run that was just accepted. (id, count, body, head)
FIRST = "INSERT INTO journal VALUES (?, ?, ?, ?)"
# The number of a run. (id)
NUMBER = "SELECT n FROM runs WHERE id = ?"
# What the salts of a run's frames are made of. (n)
SALTS = "SELECT secret FROM runs WHERE n = ?"
# What a lease is decided by. (id)
LEASE = "SELECT n, epoch, owner, lease_until, wake_seq, secret FROM runs WHERE id = ?"
# Take the lease. (owner, lease_until, n)
ACQUIRE = """UPDATE runs SET epoch = epoch + 1, owner = ?, lease_until = ?,
status = CASE WHEN status IN ('pending', 'suspended') THEN 'running' ELSE status END WHERE n = ?"""
# Extend the lease. (lease_until, id, epoch, owner)
RENEW = "UPDATE runs SET lease_until = ? WHERE id = ? AND epoch = ? AND owner = ?"
# Give the lease back if it is still this one. (id, epoch, owner)
GIVE_BACK = "UPDATE runs SET owner = '', lease_until = 0 WHERE id = ? AND epoch = ? AND owner = ?"

# The columns of a `RunRow`, in its order. The number of records is not kept: every commit would write one more page.
_ROW = """SELECT id, member, target, status, epoch, owner, lease_until, wake_seq, wake_at,
coalesce((SELECT (j.id & 4294967295) + j.count - 1 FROM journal j
  WHERE j.id BETWEEN n << 32 AND (n << 32) + 4294967295 ORDER BY j.id DESC LIMIT 1), 0),
created, updated, parent, session, digest, cost, title FROM runs """
# One row. (id)
ROW = _ROW + "WHERE id = ?"
# Rows under conditions made of the fragments below, newest first.
ROWS = _ROW + "WHERE {} ORDER BY n DESC LIMIT ?"
BY_STATUS = "status IN ({})"
# A status that is not over has a `due`, or waits for something else; this lets the small index answer. ()
RUNNABLE = "due IS NOT NULL"
BY_PARENT = "parent = ? AND parent <> ''"
BY_NO_PARENT = "parent = ''"
BY_SESSION = "session = ? AND session <> ''"
BY_NO_SESSION = "session = ''"
# Takes the prefix and the first text after all that have it.
BY_PREFIX = "id >= ? AND id < ?"
# Who holds live leases of runs that could go on; some may be dead. (now, now)
DRIVERS = "SELECT DISTINCT owner FROM runs WHERE due <= ? AND owner <> '' AND lease_until > ?"
# Runs that could go on and that nobody drives, oldest first. The gap is for dead owners. (now, now, owner..., limit)
DUE = _ROW + "WHERE due <= ? AND (owner = '' OR lease_until <= ? OR owner IN ({})) ORDER BY n LIMIT ?"
# The earliest time at which a suspended run goes on by itself.
NEXT_WAKE = "SELECT min(due) FROM runs WHERE due >= 0"
# Leases that may be live. (now)
HELD = "SELECT id, owner, lease_until FROM runs WHERE owner <> '' AND lease_until > ?"

# --- journal

# Units from the one that holds record `after + 1`. (base, base + after + 1, base, base + LAST)
READ = """SELECT id & 4294967295, count, body FROM journal
WHERE id >= coalesce((SELECT max(id) FROM journal WHERE id BETWEEN ? AND ?), ?) AND id <= ? ORDER BY id"""
# The number of a run's last record, and the head there. (base, base + LAST)
TAIL = "SELECT (id & 4294967295) + count - 1, head FROM journal WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
# All units of a run. A cross join is done in the order written: one run, then its part of the journal. (id)
UNITS = """SELECT j.id & 4294967295, j.count, j.body FROM runs r CROSS JOIN journal j
WHERE r.id = ? AND j.id BETWEEN r.n << 32 AND (r.n << 32) + 4294967295 ORDER BY j.id"""
# Delete a run's records. (base, base + LAST)
FORGET_RECORDS = "DELETE FROM journal WHERE id BETWEEN ? AND ?"
# Delete a run's mail. (n)
FORGET_MAIL = "DELETE FROM mail WHERE run = ?"
# Delete a run. (n)
FORGET = "DELETE FROM runs WHERE n = ?"
# The epoch of a run. (id)
EPOCH = "SELECT epoch FROM runs WHERE id = ?"

# --- blobs

# Store content once. (address, data)
KEEP_BLOB = "INSERT OR IGNORE INTO blobs VALUES (?, ?)"
# Content by address.
BLOB = "SELECT data FROM blobs WHERE address = ?"

# --- mail

# What a post is decided by, and whether a run may be forgotten. (run id)
ADDRESSEE = "SELECT n, status, tick FROM runs WHERE id = ?"
# Whether this mail is known, and was read. (n, mail id)
KNOWN = "SELECT read FROM mail WHERE run = ? AND read IN (0, 1) AND id = ?"
# Store unread mail. (run, id, n, kind, request, data, by, at)
POST = "INSERT INTO mail VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)"
# Count an arrival. (n)
COUNT_MAIL = "UPDATE runs SET tick = tick + 1 WHERE n = ?"
# Wake a suspended run. (updated, n)
WAKE = """UPDATE runs SET status = 'pending', wake_at = NULL, wake_seq = wake_seq + 1, updated = ?
WHERE n = ? AND status = 'suspended'"""
# Mail is in the journal now; its id stays, so that posting it again is harmless. (n, mail id)
MARK_READ = "UPDATE mail SET read = 1, data = x'' WHERE run = ? AND read = 0 AND id = ?"
# Whether a run has unread mail. (n)
HAS_UNREAD = "SELECT EXISTS (SELECT 1 FROM mail WHERE run = ? AND read = 0)"
# Unread mail in order of arrival. (run id)
UNREAD = """SELECT m.id, r.id, m.kind, m.request, m.data, m.by, m.at FROM runs r JOIN mail m ON m.run = r.n
WHERE r.id = ? AND m.read = 0 ORDER BY m.n"""
# Whether a run has unread mail. (run id)
HAS_UNREAD_BY_ID = "SELECT EXISTS (SELECT 1 FROM runs r JOIN mail m ON m.run = r.n WHERE r.id = ? AND m.read = 0)"

# --- sessions

# What the next entry of a session follows. (id)
SESSION_TAIL = "SELECT messages, last FROM sessions WHERE id = ?"
# Add a link to a chain. (prev, start, run, at, label, body)
ENTRY = "INSERT INTO entries (prev, start, run, at, label, body) VALUES (?, ?, ?, ?, ?, ?)"
# Begin a session. (id, created, updated, messages, parent, last)
NEW_SESSION = "INSERT INTO sessions VALUES (?, ?, ?, ?, 1, ?, ?)"
# Move the end of a session. (updated, messages, last, id)
EXTEND_SESSION = "UPDATE sessions SET updated = ?, messages = ?, last = ? WHERE id = ?"
# The columns of a `SessionRow`, in its order.
_SESSION = "SELECT id, created, updated, messages, version, parent FROM sessions "
SESSION = _SESSION + "WHERE id = ?"
SESSIONS = _SESSION + "ORDER BY updated DESC LIMIT ?"
_CHAIN = """WITH RECURSIVE chain (n, prev, start, stop) AS (
  SELECT e.n, e.prev, e.start, s.messages FROM sessions s JOIN entries e ON e.n = s.last WHERE s.id = ?
  UNION ALL
  SELECT e.n, e.prev, e.start, c.start FROM chain c JOIN entries e ON e.n = c.prev WHERE c.start > ?
) """
# Entries with messages in a range: where each begins, where this session leaves it, the messages. (id, start, stop)
HISTORY = _CHAIN + "SELECT c.start, c.stop, e.body FROM chain c JOIN entries e USING (n) WHERE c.start < ? ORDER BY 1"  # noqa: S608 - two constants
# Everything in a session, entry by entry. (id, start)
_TURNS = "SELECT e.run, e.at, c.start, c.stop, e.label, e.body FROM chain c JOIN entries e USING (n) ORDER BY c.start"
TURNS = _CHAIN + _TURNS
# The labels of messages in a range, without the common case of none. (id, start, stop, start)
_LABELS = "SELECT DISTINCT e.label FROM chain c JOIN entries e USING (n) WHERE c.start < ? AND c.stop > ?"
LABELS = _CHAIN + _LABELS + " AND e.label IS NOT NULL"
# The entry that holds the message before `upto`. (id, upto - 1, upto)
ENTRY_BEFORE = _CHAIN + "SELECT n FROM chain WHERE start < ? ORDER BY start DESC LIMIT 1"  # noqa: S608 - two constants

# --- ledger: accounts move only inside the transaction of a unit, or of a report

# An account: spent, held. (scope)
ACCOUNT = "SELECT usd, tokens, calls, held_usd, held_tokens, held_calls FROM budgets WHERE scope = ?"
# Hold on an account, which is opened if need be. (scope, usd, tokens, calls)
HOLD = """INSERT INTO budgets VALUES (?1, 0, 0, 0, ?2, ?3, ?4) ON CONFLICT (scope) DO UPDATE SET
held_usd = held_usd + ?2, held_tokens = held_tokens + ?3, held_calls = held_calls + ?4"""
# Let go. (scope, usd, tokens, calls)
LET_GO = """UPDATE budgets SET held_usd = held_usd - ?2, held_tokens = held_tokens - ?3, held_calls = held_calls - ?4
WHERE scope = ?1"""
# Spend on an account, which is opened if need be. (scope, usd, tokens, calls)
SPEND = """INSERT INTO budgets VALUES (?1, ?2, ?3, ?4, 0, 0, 0) ON CONFLICT (scope) DO UPDATE SET
usd = usd + ?2, tokens = tokens + ?3, calls = calls + ?4"""
# Remember what a call holds. (run, key, attempt, usd, tokens, calls, charges)
KEEP_HOLD = "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)"
# What a call holds. (run, key, attempt)
FIND_HOLD = "SELECT usd, tokens, calls, charges FROM holds WHERE run = ? AND key = ? AND attempt = ?"
DROP_HOLD = "DELETE FROM holds WHERE run = ? AND key = ? AND attempt = ?"
# What a run holds. (run)
HOLDS = "SELECT key, attempt FROM holds WHERE run = ?"
# Close the account of a run that is over. (n)
CLOSE_ACCOUNT = "DELETE FROM budgets WHERE scope = (SELECT 'run:' || id FROM runs WHERE n = ?)"
CLOSE_ACCOUNT_OF = "DELETE FROM budgets WHERE scope = 'run:' || ?"
# A run and those above it, nearest first. (n)
ABOVE = """WITH RECURSIVE above (id, parent, far) AS (
  SELECT id, parent, 0 FROM runs WHERE n = ?
  UNION ALL
  SELECT a.parent, coalesce((SELECT parent FROM runs r WHERE r.id = a.parent), ''), a.far + 1
  FROM above a WHERE a.parent <> ''
) SELECT id FROM above ORDER BY far"""
# Whether a run, or one below it, is not over. (id)
GOES_ON = """WITH RECURSIVE below (id) AS (
  VALUES (?) UNION SELECT r.id FROM below b JOIN runs r ON r.parent = b.id AND r.parent <> ''
) SELECT EXISTS (SELECT 1 FROM below b JOIN runs r ON r.id = b.id WHERE r.due IS NOT NULL OR r.status = 'suspended')"""
# Accounts by name. (prefix, the first text after all that have it)
BALANCES = """SELECT scope, usd, tokens, calls, held_usd, held_tokens, held_calls FROM budgets
WHERE scope >= ? AND scope < ? ORDER BY scope"""
# What runs used. (since)
COSTS = """SELECT id, member, session, updated, costs FROM runs WHERE costs IS NOT NULL AND updated >= ?
ORDER BY updated, n"""
# Keep a report of spending. (at, session, row)
REPORT = "INSERT INTO spendings (at, session, row) VALUES (?, ?, ?)"
SPENDINGS = "SELECT session, at, row FROM spendings WHERE at >= ? ORDER BY at, n"

# --- cache

# A value that has not expired. (key, now)
CACHED = "SELECT data FROM cache WHERE key = ? AND expires > ?"
# It was found. (used, key)
CACHE_USED = "UPDATE cache SET used = ? WHERE key = ?"
# How long a value is, if it is there. (key)
CACHE_LENGTH = "SELECT length(data) FROM cache WHERE key = ?"
# The value longest unused: its key and length.
CACHE_OLDEST = "SELECT key, length(data) FROM cache ORDER BY used LIMIT 1"
CACHE_DROP = "DELETE FROM cache WHERE key = ?"
# Keep a value: its key, itself, when it expires and when it was used last.
CACHE_PUT = "INSERT INTO cache VALUES (?, ?, ?, ?)"
CACHE_TOTAL = "SELECT total FROM cache_bytes"
# Set the sum of all lengths.
CACHE_COUNT = "UPDATE cache_bytes SET total = ?"
CACHE_SIZE = "SELECT count(*), (SELECT total FROM cache_bytes) FROM cache"
CACHE_CLEAR = "DELETE FROM cache"

# --- versions

# The next number of a subject. (subject)
NEXT_VERSION = "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE subject = ?"
# Add a version: subject, number, data, time, who and why.
ADD_VERSION = "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)"
# Versions of a subject, or of all for an empty one.
VERSIONS = "SELECT * FROM versions WHERE ? IN ('', subject) ORDER BY subject, number"

# --- audit: anchors, and what they are made of

# The last anchor, kept apart so that a missing one is noticed: its number and hash.
TIP = "SELECT data, hash FROM anchors WHERE n = 0"
# Set it: time, number, hash.
SET_TIP = "INSERT OR REPLACE INTO anchors VALUES (0, ?, 'tip', ?, ?, x'')"
# Add an anchor: number, time, kind, data, hash, signature.
ADD_ANCHOR = "INSERT INTO anchors VALUES (?, ?, ?, ?, ?, ?)"
ANCHORS = "SELECT n, at, kind, data, hash, mac FROM anchors WHERE n <> 0 ORDER BY n"
ERASURES = "SELECT data FROM anchors WHERE kind = 'erase' ORDER BY n"
# Runs that may have changed since they were anchored: a run under way changes without its row.
# Those after a number. (n)
UNANCHORED = "SELECT n, id, anchored, due FROM runs WHERE n > ? AND (anchored IS NULL OR due IS NOT NULL) ORDER BY n"
# The same of one run. (n)
IS_UNANCHORED = "SELECT n, id, anchored, due FROM runs WHERE n = ? AND (anchored IS NULL OR due IS NOT NULL)"
# An anchor covers so many records of a run. (records, n)
ANCHORED = "UPDATE runs SET anchored = ? WHERE n = ?"
COUNT_RUNS = "SELECT count(*) FROM runs"
NEWEST = "SELECT coalesce(max(n), 0) FROM runs"
# Everything there is, for a proof.
SEALS = "SELECT n, id, member, status, head, updated, secret FROM runs WHERE ? IN ('', id) ORDER BY n"
FRAMES = "SELECT id, count, body, head FROM journal WHERE id BETWEEN ? AND ? ORDER BY id"
ALL_FRAMES = "SELECT id, count, body, head FROM journal ORDER BY id"
UNCHAINED = "SELECT run, records FROM unchained"
FORGET_UNCHAINED = "DELETE FROM unchained WHERE run = ?"
CONTENTS = "SELECT address, data FROM blobs ORDER BY address"
# What a run is erased by: its number, status and secret. (id)
ERASABLE = "SELECT n, status, secret FROM runs WHERE id = ?"
UNSALT = "UPDATE runs SET secret = NULL WHERE n = ?"
# What is left of it. (body, head, id)
ERASE_FRAME = "UPDATE journal SET body = ?, head = ? WHERE id = ?"
ERASE_BLOB = "DELETE FROM blobs WHERE address = ?"
ERASE_MAIL = "UPDATE mail SET data = x'' WHERE run = ?"
