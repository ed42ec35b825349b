"""What the columns of a training dataset hold, as it was found while the dataset was written."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from twinfold.dataframes import imported
from twinfold.display import count, html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

    from twinfold import _shapes


@dataclass(frozen=True)
class ColumnStatistics:
    """One column. Beside nulls, NaN and infinities it is about finite values alone.

    Attributes
    ----------
    name
        The name of the column.
    nulls, nans, infinities
        How many values are missing, are NaN, are infinite.
    min, max
        Of numbers, dates and timestamps, exact.
    mean, standard_deviation
        Of numbers. The deviation is that of a sample, as in pandas: it needs two numbers.
    distinct_values
        How many different strings or booleans there are; ``None`` when there are more than 1,000,
        or more than 256 KiB of them.
    length_min, length_max
        Of strings, in characters.
    """

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


_HEADERS = [field.name.replace("_", " ") for field in fields(ColumnStatistics)]
_COUNTS = ["nulls", "nans", "infinities", "distinct_values", "length_min", "length_max"]
_MOMENTS = ["mean", "standard_deviation"]


@dataclass(frozen=True, repr=False)
class DatasetStatistics:
    """What :meth:`TrainingDataset.get_statistics` found, of all rows or of one split.

    Attributes
    ----------
    rows
        How many rows there are.
    columns
        What each column holds, in the order of the dataset.
    """

    rows: int
    columns: dict[str, ColumnStatistics]

    def to_pandas(self) -> pd.DataFrame:
        """One row per column of the dataset."""
        described = [asdict(column) for column in self.columns.values()]
        types = dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_MOMENTS, "float64")
        frame: pd.DataFrame = imported("pandas").DataFrame(described, dtype=object)
        return frame.set_index("name").astype(types)

    @classmethod
    def _from_core(cls, split: _shapes.SplitStatisticsDict) -> DatasetStatistics:
        columns = {column["name"]: ColumnStatistics(**column) for column in split["columns"]}
        return cls(split["rows"], columns)

    def _title(self) -> str:
        return f"DatasetStatistics: {count(self.rows, 'row')}"

    def _described(self) -> list[tuple[Any, ...]]:
        return [astuple(column) for column in self.columns.values()]

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(_HEADERS, self._described())}"

    def _repr_html_(self) -> str:
        return html_table(self._title(), _HEADERS, self._described())
