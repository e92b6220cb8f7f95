-- Which runs can go on. Made when there are more than a few runs.
CREATE INDEX runs_due ON runs (due) WHERE due IS NOT NULL;
