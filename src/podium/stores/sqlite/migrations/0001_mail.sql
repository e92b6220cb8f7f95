-- Mail from outsiders to runs. `run` is the run's number, `n` the order of arrival. `read` is part of the key so that
-- unread mail is found without looking at what was read, which is kept (without its data) to know its id again.
CREATE TABLE mail (
  run INT, read INT, id TEXT, n INT, kind TEXT, request TEXT, data BLOB, by BLOB, at REAL,
  PRIMARY KEY (run, read, id)
) WITHOUT ROWID;
