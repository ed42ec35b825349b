-- The tables of SQLite's 0001, in the types of PostgreSQL.
-- Times are microseconds since 1970-01-01T00:00:00Z. Bodies are the JSON of wire::rest.
-- COLLATE "C": lists are ordered byte by byte, as everywhere else, whatever the locale of the database.
-- Identities: the ids of removed rows are never given again.

-- A schema stays when nobody uses it any more, so that its id never stands for another. `guid` is drawn from
-- what tells schemas apart; the text itself cannot be UNIQUE, because an entry of an index holds at most
-- 2,704 bytes.
CREATE TABLE schemas (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid      TEXT   NOT NULL UNIQUE,
    avro_json TEXT   NOT NULL,
    metadata  TEXT
);

CREATE TABLE feature_groups (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project       TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    body          TEXT   NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('creating', 'active', 'failed', 'deleting')),
    state_reason  TEXT,
    schema_id     BIGINT NOT NULL REFERENCES schemas (id),
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

-- A deleted version keeps its row until it is removed, so that its number is not given again.
CREATE TABLE schema_versions (
    subject   TEXT COLLATE "C" NOT NULL,
    version   BIGINT  NOT NULL,
    schema_id BIGINT  NOT NULL REFERENCES schemas (id),
    origin    TEXT    NOT NULL CHECK (origin IN ('feature_group', 'producer')),
    deleted   BIGINT  NOT NULL CHECK (deleted IN (0, 1)),
    PRIMARY KEY (subject, version)
);

CREATE INDEX schema_versions_of_schema ON schema_versions (schema_id);

-- `scope` is a subject, a context (`:.name:`) or empty for all subjects.
CREATE TABLE subject_settings (
    scope         TEXT COLLATE "C" PRIMARY KEY,
    compatibility TEXT,
    mode          TEXT
);

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
