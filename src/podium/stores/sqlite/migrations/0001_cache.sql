-- Values that may be forgotten. `used` is when a value was last put or found; `cache_bytes` keeps their sum.
CREATE TABLE cache (key BLOB PRIMARY KEY, data BLOB, expires REAL, used REAL) WITHOUT ROWID;
CREATE INDEX cache_used ON cache (used);
CREATE TABLE cache_bytes (total INT);
INSERT INTO cache_bytes VALUES (0);
