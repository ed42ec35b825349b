-- Whose replay of a group's quarantine is under way, and until when it is taken for one that goes on.
CREATE TABLE replays (
    group_id         INTEGER NOT NULL PRIMARY KEY REFERENCES feature_groups (id) ON DELETE CASCADE,
    replay           TEXT    NOT NULL,
    claimed_until_us INTEGER NOT NULL
) STRICT;
