-- How many records runs had before there was a chain. Only stores have it that were made before.
CREATE TABLE unchained (run INTEGER PRIMARY KEY, records INT);
INSERT INTO unchained SELECT id >> 32, max((id & 4294967295) + count - 1) FROM journal GROUP BY id >> 32;
