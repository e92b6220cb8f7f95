-- Which runs belong to a parent run or to a session. Made when the first run has either.
CREATE INDEX runs_parent ON runs (parent) WHERE parent <> '';
CREATE INDEX runs_session ON runs (session) WHERE session <> '';
