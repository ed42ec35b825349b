-- Times are microseconds since 1970-01-01T00:00:00Z. Bodies are the JSON of wire::rest.
-- AUTOINCREMENT: the ids of removed rows are never given again.

-- A schema stays when nobody uses it any more, so that its id never stands for another. `guid` is drawn from
-- what tells schemas apart.
CREATE TABLE schemas (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    guid      TEXT    NOT NULL UNIQUE,
    avro_json TEXT    NOT NULL,
    metadata  TEXT
) STRICT;

CREATE TABLE feature_groups (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    project       TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    body          TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('creating', 'active', 'failed', 'deleting')),
    state_reason  TEXT,
    schema_id     INTEGER NOT NULL REFERENCES schemas (id),
    revision      INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    resource      TEXT    NOT NULL UNIQUE,
    UNIQUE (project, name, version)
) STRICT;

-- How often a group of this id was created: a removed group keeps its row, so that the name of its topic
-- and tables is not given again.
CREATE TABLE feature_group_lives (
    project TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    lives   INTEGER NOT NULL,
    PRIMARY KEY (project, name, version)
) STRICT, WITHOUT ROWID;

-- A deleted version keeps its row until it is removed, so that its number is not given again.
CREATE TABLE schema_versions (
    subject   TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    schema_id INTEGER NOT NULL REFERENCES schemas (id),
    origin    TEXT    NOT NULL CHECK (origin IN ('feature_group', 'producer')),
    deleted   INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    PRIMARY KEY (subject, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX schema_versions_of_schema ON schema_versions (schema_id);

-- `scope` is a subject, a context (`:.name:`) or empty for all subjects.
CREATE TABLE subject_settings (
    scope         TEXT PRIMARY KEY NOT NULL,
    compatibility TEXT,
    mode          TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE feature_views (
    project       TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    body          TEXT    NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (project, name, version)
) STRICT, WITHOUT ROWID;

-- A removed dataset keeps its row, so that its version is not given again.
CREATE TABLE training_datasets (
    project TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('reserved', 'finished', 'removed')),
    body    TEXT,
    PRIMARY KEY (project, name, version),
    CHECK ((state = 'finished') = (body IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- A replayed record keeps its row, without its bytes: reported again, it does not come back.
CREATE TABLE quarantine (
    group_id          INTEGER NOT NULL REFERENCES feature_groups (id) ON DELETE CASCADE,
    partition_id      INTEGER NOT NULL,
    record_offset     INTEGER NOT NULL,
    record_key        BLOB    NOT NULL,
    record_value      BLOB    NOT NULL,
    headers           BLOB    NOT NULL,
    code              TEXT    NOT NULL,
    reason            TEXT    NOT NULL,
    quarantined_at_us INTEGER NOT NULL,
    replayed_at_us    INTEGER,
    PRIMARY KEY (group_id, partition_id, record_offset)
) STRICT, WITHOUT ROWID;

CREATE INDEX quarantine_open ON quarantine (group_id, partition_id, record_offset)
    WHERE replayed_at_us IS NULL;

CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    subject  TEXT    NOT NULL
                     CHECK (subject IN ('feature_group', 'feature_view', 'training_dataset')),
    project  TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    version  INTEGER NOT NULL
) STRICT;
