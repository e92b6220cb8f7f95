-- The chain of frames: `head` is a frame's head. That of a run is the head when its row was last changed; `anchored` is how
-- many records an anchor covers, NULL when the row has changed since. The salts of frames come from the run's `secret`;
-- an erasure forgets it, and puts the salts of the frames it leaves behind their heads.
ALTER TABLE journal ADD COLUMN head BLOB;
ALTER TABLE runs ADD COLUMN head BLOB;
ALTER TABLE runs ADD COLUMN anchored INT;
ALTER TABLE runs ADD COLUMN secret BLOB;
UPDATE runs SET secret = randomblob(16);
