-- The tables of SQLite's 0004, in the types of PostgreSQL.

-- Whose replay of a group's quarantine is under way, and until when it is taken for one that goes on.
CREATE TABLE replays (
    group_id         BIGINT NOT NULL PRIMARY KEY REFERENCES feature_groups (id) ON DELETE CASCADE,
    replay           TEXT   NOT NULL,
    claimed_until_us BIGINT NOT NULL
);
