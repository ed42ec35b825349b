"""The dicts that cross the border to the native module."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict


class FeatureDict(TypedDict):
    """One feature."""

    name: str
    type: str
    nullable: bool
    default: Any
    description: str


class GroupSpecDict(TypedDict):
    """What a feature group shall be."""

    name: str
    version: int
    features: list[FeatureDict]
    primary_key: list[str]
    event_time: str | None
    ttl_us: int | None
    online_enabled: bool
    partitions: int | None
    description: str
    tags: dict[str, str]


class GroupDict(TypedDict):
    """A feature group as it is."""

    name: str
    version: int
    features: list[FeatureDict]
    primary_key: list[str]
    event_time: str | None
    ttl_us: int | None
    online_enabled: bool
    partitions: int
    description: str
    tags: dict[str, str]
    state: str
    reason: str | None


class SelectionDict(TypedDict):
    """Features of one group."""

    group: tuple[str, int]
    features: list[str]
    as_of_commit: int | None
    as_of_us: int | None


class JoinDict(TypedDict):
    """A look-up of another group."""

    right: SelectionDict
    on: list[tuple[str, str]]
    inner: bool
    prefix: str | None


class QueryDict(TypedDict):
    """What to read."""

    left: SelectionDict
    joins: list[JoinDict]
    filter: dict[str, Any] | None


class ViewSpecDict(TypedDict):
    """What a feature view shall be; defaults come with their types."""

    name: str
    version: int
    query: QueryDict
    labels: list[str]
    defaults: dict[str, tuple[str, Any]]
    description: str


class ViewDict(TypedDict):
    """A feature view as it is."""

    name: str
    version: int
    query: QueryDict
    labels: list[str]
    defaults: dict[str, Any]
    description: str


class DatasetSpecDict(TypedDict):
    """What a training dataset shall be."""

    name: str
    version: int | None
    query: QueryDict | None
    view: tuple[str, int] | None
    labels: list[str]
    csv: bool
    splits: list[tuple[str, float]]
    seed: int
    start_us: int | None
    end_us: int | None
    description: str


class DatasetDict(TypedDict):
    """A training dataset as it is."""

    name: str
    version: int
    query: QueryDict
    view: tuple[str, int] | None
    labels: list[str]
    csv: bool
    splits: list[tuple[str, float]]
    seed: int
    description: str
    pins: list[tuple[str, int, int]]
    features: list[tuple[str, str]]
    rows: dict[str, int]
    location: str
    digest: str
    created_at: datetime


class DatasetCheckDict(TypedDict):
    """Three digests of a dataset."""

    recorded: str
    files: str
    rebuilt: str


class ColumnStatisticsDict(TypedDict):
    """What one column holds."""

    name: str
    nulls: int
    nans: int
    infinities: int
    min: Any
    max: Any
    mean: float | None
    standard_deviation: float | None
    distinct_values: int | None
    length_min: int | None
    length_max: int | None


class SplitStatisticsDict(TypedDict):
    """What the columns of some rows hold."""

    rows: int
    columns: list[ColumnStatisticsDict]


class DatasetStatisticsDict(TypedDict):
    """What the columns of a dataset hold: of all rows, and of each split when there are several."""

    whole: SplitStatisticsDict
    splits: dict[str, SplitStatisticsDict]


class CommitDict(TypedDict):
    """One commit of a history."""

    id: int
    committed_at: datetime
    rows_upserted: int
    rows_deleted: int
    bytes: int
    positions: dict[int, int]


class ProgressDict(TypedDict):
    """Per partition, how far the log and the stores have come."""

    topic: dict[int, int]
    online: dict[int, int] | None
    offline: dict[int, int]


class QuarantinedRowDict(TypedDict):
    """A row that could not be applied."""

    group: str
    version: int
    partition: int
    offset: int
    code: str
    reason: str
    key: bytes
    value: bytes
    headers: bytes
    quarantined_at: datetime
    replayed_at: datetime | None
