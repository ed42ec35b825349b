-- The tables of SQLite's 0001, in the types of PostgreSQL.
-- Times are microseconds since 1970-01-01T00:00:00Z. Bodies are the JSON of wire::rest.
-- COLLATE "C": lists are ordered byte by byte, as everywhere else, whatever the locale of the database.
-- Identities: the ids of removed rows are never given again.

CREATE TABLE feature_groups (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project       TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    body          TEXT   NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('creating', 'active', 'failed', 'deleting')),
    state_reason  TEXT,
    schema_id     BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    resource      TEXT   NOT NULL UNIQUE,
    UNIQUE (project, name, version)
);

-- How often a group of this id was created: a removed group keeps its row, so that the name of its topic
-- and tables is not given again.
CREATE TABLE feature_group_lives (
    project TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    lives   BIGINT NOT NULL,
    PRIMARY KEY (project, name, version)
);

-- A text has one id within its group because writers look first and there is one writer at a time. It
-- cannot be UNIQUE: an entry of an index holds at most 2,704 bytes, and a schema may be longer.
CREATE TABLE schemas (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id  BIGINT NOT NULL REFERENCES feature_groups (id) ON DELETE CASCADE,
    avro_json TEXT   NOT NULL
);

CREATE INDEX schemas_of_group ON schemas (group_id);

-- Checked at commit, because a group and its first schema are born together.
ALTER TABLE feature_groups
    ADD FOREIGN KEY (schema_id) REFERENCES schemas (id) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE feature_views (
    project       TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    body          TEXT   NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (project, name, version)
);

-- A removed dataset keeps its row, so that its version is not given again.
CREATE TABLE training_datasets (
    project TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    state   TEXT   NOT NULL CHECK (state IN ('reserved', 'finished', 'removed')),
    body    TEXT,
    PRIMARY KEY (project, name, version),
    CHECK ((state = 'finished') = (body IS NOT NULL))
);

-- A replayed record keeps its row, without its bytes: reported again, it does not come back.
CREATE TABLE quarantine (
    group_id          BIGINT NOT NULL REFERENCES feature_groups (id) ON DELETE CASCADE,
    partition_id      BIGINT NOT NULL,
    record_offset     BIGINT NOT NULL,
    record_key        BYTEA  NOT NULL,
    record_value      BYTEA  NOT NULL,
    headers           BYTEA  NOT NULL,
    code              TEXT   NOT NULL,
    reason            TEXT   NOT NULL,
    quarantined_at_us BIGINT NOT NULL,
    replayed_at_us    BIGINT,
    PRIMARY KEY (group_id, partition_id, record_offset)
);

CREATE INDEX quarantine_open ON quarantine (group_id, partition_id, record_offset)
    WHERE replayed_at_us IS NULL;

-- Sequences are given one at a time, under the lock that every writer takes: in the order of commits.
CREATE TABLE changes (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject  TEXT   NOT NULL
                    CHECK (subject IN ('feature_group', 'feature_view', 'training_dataset')),
    project  TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL
);
