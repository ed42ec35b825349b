-- A schema may come with an id that a registry elsewhere gave it, and the sequence would not know of it: the
-- one writer there is counts on from the greatest id.
ALTER TABLE schemas ALTER COLUMN id DROP IDENTITY;
