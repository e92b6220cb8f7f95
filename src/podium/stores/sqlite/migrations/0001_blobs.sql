-- Content too large for a record, once per address. An erased blob has no row.
CREATE TABLE blobs (address TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID;
