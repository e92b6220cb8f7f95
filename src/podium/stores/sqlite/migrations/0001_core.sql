-- Runs and their records: what every store has. Comments and layout are dropped before the text reaches SQLite, which
-- would keep them in the file.

-- `n` is the run's number, used instead of its id wherever rows are many. `tick` grows with every touch of the row; it
-- orders a run's mail. `due` is when the run can go on: -1 for at once, NULL for not by itself.
CREATE TABLE runs (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  member TEXT, target TEXT, status TEXT, epoch INT, owner TEXT, lease_until REAL, wake_seq INT, wake_at REAL,
  created REAL, updated REAL, parent TEXT, session TEXT, digest BLOB, cost TEXT, title TEXT, tick INT, costs BLOB,
  due REAL AS (CASE status WHEN 'suspended' THEN wake_at WHEN 'pending' THEN -1.0 WHEN 'running' THEN -1.0 END)
);

-- One row for the records that a run commits together. `id` is the run's number in the upper 32 bits and the number
-- of the first record in the lower: one B-tree whose rows lie in order of run and record.
CREATE TABLE journal (id INTEGER PRIMARY KEY, count INT, body BLOB);
