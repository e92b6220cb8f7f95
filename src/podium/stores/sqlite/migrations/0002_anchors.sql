-- The chain above all runs. Row 0 names the last one. Made with the first anchor.
CREATE TABLE anchors (n INTEGER PRIMARY KEY, at REAL, kind TEXT, data BLOB, hash BLOB, mac BLOB);
