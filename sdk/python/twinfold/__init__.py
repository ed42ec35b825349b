"""Twinfold: every row twice, its newest value online and its whole history in Delta Lake.

Examples
--------
>>> import tempfile
>>> import twinfold
>>> with twinfold.connect(tempfile.mkdtemp()) as store:
...     cities = store.create_feature_group("cities", primary_key=["city"])
...     receipt = cities.insert({"city": ["Oslo", "Rome"], "population": [717_710, 2_748_109]})
...     receipt.wait()
...     cities.read().sort_values("city").to_dict("records")
[{'city': 'Oslo', 'population': 717710}, {'city': 'Rome', 'population': 2748109}]
"""

from twinfold import exceptions
from twinfold._connect import connect
from twinfold._core import VERSION as __version__
from twinfold.dataset import DatasetCheck, PinnedTable, TrainingDataset
from twinfold.exceptions import TwinfoldError
from twinfold.feature import Feature, Filter
from twinfold.feature_group import FeatureGroup
from twinfold.feature_store import FeatureStore
from twinfold.feature_view import FeatureView
from twinfold.quarantine import QuarantinedRow
from twinfold.query import Query
from twinfold.receipt import Receipt
from twinfold.statistics import ColumnStatistics, DatasetStatistics
from twinfold.streaming import StreamingQuery
from twinfold.vectors import FeatureVector, GroupPresence

__all__ = [
    "ColumnStatistics",
    "DatasetCheck",
    "DatasetStatistics",
    "Feature",
    "FeatureGroup",
    "FeatureStore",
    "FeatureVector",
    "FeatureView",
    "Filter",
    "GroupPresence",
    "PinnedTable",
    "QuarantinedRow",
    "Query",
    "Receipt",
    "StreamingQuery",
    "TrainingDataset",
    "TwinfoldError",
    "__version__",
    "connect",
    "exceptions",
]
