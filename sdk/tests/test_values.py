"""Any value of any type comes out as it went in."""

import threading
from collections import UserDict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import twinfold
from services import WAYS, address_of
from twinfold import Feature
from twinfold.exceptions import SchemaMismatchError

INT32, INT64 = 1 << 31, 1 << 63
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)
VALUES = {
    "boolean": st.booleans(),
    "int": st.integers(-INT32, INT32 - 1),
    "bigint": st.integers(-INT64, INT64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "decimal(38,10)": st.decimals(-(10**28) + 1, 10**28 - 1, places=10),
    "string": TEXT,
    "binary": st.binary(max_size=20),
    "date": st.dates(),
    "timestamp": TIMES,
    "array<int>": st.lists(st.none() | st.integers(-INT32, INT32 - 1), max_size=4),
    "map<string,string>": st.dictionaries(TEXT, st.none() | TEXT, max_size=4),
    "struct<a:double,b:array<date>>": st.fixed_dictionaries(
        {
            "a": st.none() | st.floats(allow_nan=False),
            "b": st.none() | st.lists(st.dates(), max_size=3),
        }
    ),
    "embedding(3)": st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
}
NAMES = {type_name: f"f{i}" for i, type_name in enumerate(VALUES)}
ROWS = st.fixed_dictionaries({NAMES[t]: st.none() | values for t, values in VALUES.items()})
KEYS = {
    "a": st.integers(-INT64, INT64 - 1),
    "b": TEXT,
    "c": st.binary(max_size=20),
    "d": st.dates(),
    "e": TIMES,
    "f": st.booleans(),
    "g": st.integers(-INT32, INT32 - 1),
}
KEY_TYPES = ["bigint", "string", "binary", "date", "timestamp", "boolean", "int"]
NUMBERS = ["int", "bigint", "float", "double", "decimal(38,10)"]
NANOSECONDS = np.datetime64(5, "ns")
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=WAYS)
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    with address_of(folder, request.param) as address, twinfold.connect(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def group(store):
    features = [Feature("id", "bigint"), *(Feature(n, t) for t, n in NAMES.items())]
    return store.create_feature_group("values", primary_key="id", features=features)


@pytest.fixture(scope="module")
def view(store, group):
    return store.create_feature_view("values", group.select_except(["id"]))


@SETTINGS
@given(row=ROWS)
def test_values_pass_the_border_unchanged(view, row):
    assert view.get_feature_vector({"id": 0}, passed_features=row, return_type="dict") == row


@settings(SETTINGS, max_examples=8)
@given(rows=st.lists(ROWS, min_size=1, max_size=20))
def test_values_are_served_as_they_were_inserted(group, view, rows):
    group.insert([{"id": i} | row for i, row in enumerate(rows)], wait=True)
    entries = [{"id": i} for i in range(len(rows))]
    assert view.get_feature_vectors(entries, return_type="dict") == rows


@pytest.fixture(scope="module")
def keyed(store):
    features = [Feature(n, t) for n, t in zip(KEYS, KEY_TYPES, strict=True)]
    features.append(Feature("level", "int"))
    group = store.create_feature_group("keyed", primary_key=list(KEYS), features=features)
    return group, store.create_feature_view("keyed", group.select(["level"]))


@settings(SETTINGS, max_examples=8)
@given(keys=st.lists(st.fixed_dictionaries(KEYS), min_size=1, max_size=30, unique_by=str))
def test_any_key_finds_its_row(keyed, keys):
    group, view = keyed
    newest = {identity(key): level for level, key in enumerate(keys)}
    group.insert([key | {"level": level} for level, key in enumerate(keys)], wait=True)
    found = view.get_feature_vectors(keys, allow_missing=False)
    assert found == [[newest[identity(key)]] for key in keys]


def identity(key):
    """The same instant in two zones is one key."""
    values = key.values()
    return tuple(v.astimezone(timezone.utc) if isinstance(v, datetime) else v for v in values)


@pytest.mark.parametrize(
    ("type_name", "value", "found"),
    [
        ("int", INT32, "int 2147483648"),
        ("bigint", INT64, "int 9223372036854775808"),
        ("bigint", 1.0, "float 1.0"),
        ("boolean", 1, "int 1"),
        ("double", "1", "str '1'"),
        ("double", (1 << 53) + 1, "int 9007199254740993"),
        ("decimal(38,10)", Decimal("0.00000000001"), "Decimal Decimal('1E-11')"),
        ("decimal(38,10)", Decimal("NaN"), "Decimal Decimal('NaN')"),
        ("decimal(38,10)", 0.5, "float 0.5"),
        ("string", b"x", "bytes b'x'"),
        ("binary", "x", "str 'x'"),
        ("date", datetime(2013, 1, 1), "datetime datetime.datetime(2013, 1, 1, 0, 0)"),
        ("timestamp", 1, "int 1"),
        ("timestamp", "2013-01-01", "str '2013-01-01'"),
        ("array<int>", "12", "str '12'"),
        ("array<int>", [1.5], "float 1.5"),
        ("array<int>", bytearray(b"12"), "bytearray bytearray(b'12')"),
        ("array<int>", {1: 2}, "dict {1: 2}"),
        ("array<int>", MappingProxyType({1: 2}), "mappingproxy mappingproxy({1: 2})"),
        ("array<int>", UserDict({1: 2}), "UserDict {1: 2}"),
        ("embedding(3)", bytearray(b"123"), "bytearray bytearray(b'123')"),
        ("embedding(3)", UserDict({1: 1, 2: 2, 3: 3}), "UserDict {1: 1, 2: 2, 3: 3}"),
        *((type_name, NANOSECONDS, f"datetime64 {NANOSECONDS!r}") for type_name in NUMBERS),
        *(
            (type_name, np.timedelta64(5, "ns"), f"timedelta64 {np.timedelta64(5, 'ns')!r}")
            for type_name in NUMBERS
        ),
        ("array<int>", np.array([5], "m8[ns]"), f"timedelta64 {np.timedelta64(5, 'ns')!r}"),
        ("timestamp", NANOSECONDS, f"datetime64 {NANOSECONDS!r}"),
        ("timestamp", np.timedelta64(5, "us"), f"timedelta64 {np.timedelta64(5, 'us')!r}"),
        ("map<string,string>", {"a": 1}, "int 1"),
        ("struct<a:double,b:array<date>>", {"c": 1}, "dict {'c': 1}"),
        ("embedding(3)", [1.0, 2.0], "list [1.0, 2.0]"),
    ],
)
def test_what_is_not_of_the_type_is_refused(view, type_name, value, found):
    with pytest.raises(SchemaMismatchError, match=f"`{NAMES[type_name]}`") as caught:
        view.get_feature_vector({"id": 0}, passed_features={NAMES[type_name]: value})
    assert caught.value.found == found


def test_a_memoryview_is_no_list(view):
    name = NAMES["array<int>"]
    with pytest.raises(SchemaMismatchError, match=f"`{name}`: found memoryview"):
        view.get_feature_vector({"id": 0}, passed_features={name: memoryview(b"12")})


@pytest.mark.parametrize(
    ("type_name", "value", "wanted"),
    [
        ("timestamp", np.datetime64("2013-01-02T03:04:05", "us"), datetime(2013, 1, 2, 3, 4, 5)),
        ("timestamp", np.datetime64("2013-01-02", "D"), datetime(2013, 1, 2)),
        ("date", np.datetime64("2013-01-02", "D"), date(2013, 1, 2)),
        ("bigint", np.int64(7), 7),
        ("double", np.float32(0.5), 0.5),
        ("array<int>", np.array([1, 2]), [1, 2]),
        ("array<int>", (1, 2), [1, 2]),
        ("array<int>", range(2), [0, 1]),
    ],
)
def test_values_of_numpy_and_friends_are_taken(view, type_name, value, wanted):
    name = NAMES[type_name]
    found = view.get_feature_vector({"id": 0}, passed_features={name: value}, return_type="dict")
    if isinstance(wanted, datetime):
        wanted = wanted.replace(tzinfo=timezone.utc)
    assert found[name] == wanted


def test_an_instant_of_numpy_is_no_number_in_a_filter(group):
    for value in (NANOSECONDS, np.timedelta64(5, "ns")):
        with pytest.raises(SchemaMismatchError, match=r"found (datetime|timedelta)64"):
            group.filter(group[NAMES["bigint"]] > value).read()


def test_dates_stand_for_their_midnight(view):
    name = NAMES["timestamp"]
    found = view.get_feature_vector(
        {"id": 0}, passed_features={name: date(2013, 1, 2)}, return_type="dict"
    )
    assert found[name] == datetime(2013, 1, 2, tzinfo=timezone.utc)


def test_many_threads_read_while_one_writes(store):
    group = store.create_feature_group("busy", primary_key="id")
    ids = list(range(1_000))
    group.insert({"id": ids, "a": [0] * 1_000, "b": [0] * 1_000}, wait=True)
    view = store.create_feature_view("busy", group.select(["a", "b"])).init_serving()
    torn, done = [], threading.Event()

    def read():
        while not done.is_set():
            for a, b in view.get_feature_vectors({"id": ids[:100]}):
                if a != b:
                    torn.append((a, b))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for level in range(1, 10):
        group.insert({"id": ids, "a": [level] * 1_000, "b": [level] * 1_000}, wait=True)
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert view.get_feature_vector({"id": 5}) == [9, 9]


def test_null_embeddings_among_many_batches(fs):
    features = [
        Feature("k", "bigint"),
        Feature("e", "embedding(2)"),
        Feature("s", "struct<v:embedding(1)>"),
    ]
    group = fs.create_feature_group("sparse", primary_key="k", features=features)
    embeddings = [[1.0, 2.0], [3.0, 4.0], None, None, [5.0, 6.0]]
    for k, embedding in enumerate(embeddings):
        inner = {"v": None if embedding is None else embedding[:1]}
        group.insert({"k": [k], "e": [embedding], "s": [inner]}, wait=True)
    joined = group.select(["k"]).join(group.select(["e"]), prefix="r_")
    for found, column in [
        (group.read(dataframe_type="arrow"), "e"),
        (group.select_all().filter(group.k >= 0).read(dataframe_type="arrow"), "e"),
        (joined.read(dataframe_type="arrow"), "r_e"),
        (group.read_changes(dataframe_type="arrow"), "e"),
    ]:
        rows = sorted(found.select(["k", column]).to_pylist(), key=lambda row: row["k"])
        assert [row[column] for row in rows] == embeddings
