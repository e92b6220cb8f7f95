-- Versions of what people change while programs run; the highest number of a subject is in force.
CREATE TABLE versions (
  subject TEXT, number INT, data BLOB, at REAL, by TEXT, note TEXT, PRIMARY KEY (subject, number)
) WITHOUT ROWID;
