-- Until when a version is reserved; those of before have lapsed.
ALTER TABLE training_datasets ADD COLUMN reserved_until_us INTEGER NOT NULL DEFAULT 0;

-- Those that were created as such: a project is also there when something is defined in it.
CREATE TABLE projects (
    name TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Requests that their callers may send again; without a status while nobody has answered.
CREATE TABLE idempotency_keys (
    idempotency_key TEXT    NOT NULL PRIMARY KEY,
    digest          TEXT    NOT NULL,
    claimed_at_us   INTEGER NOT NULL,
    status          INTEGER,
    etag            TEXT,
    body            TEXT,
    CHECK ((status IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at_us);
