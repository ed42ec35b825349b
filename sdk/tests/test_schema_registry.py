"""Programs of the Kafka world, with nothing of ours: to them the registry is a schema registry."""

import json
import uuid
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.common.schema_registry_client import (
    ConfigCompatibilityLevel,
    Metadata,
    MetadataProperties,
    ServerConfig,
)
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

import twinfold

START = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
FEATURES = [
    {"name": "driver", "type": "bigint", "nullable": False},
    {"name": "at", "type": "timestamp", "nullable": False},
    {"name": "fare", "type": "double"},
    {"name": "city", "type": "string"},
]
# As another team would write it: its own name, an order of its own, narrower types, a field more.
RIDE = {
    "type": "record",
    "name": "Ride",
    "namespace": "com.example",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "driver", "type": "int"},
        {"name": "fare", "type": ["null", "float"], "default": None},
        {"name": "note", "type": "string", "default": ""},
    ],
}


def record(*fields, name="ride"):
    fields = [{"name": field, "type": kind, **more} for field, kind, more in fields]
    return Schema(json.dumps({"type": "record", "name": name, "fields": fields}), "AVRO")


ID = ("id", "long", {})
FARE = ("fare", ["null", "double"], {"default": None})


@pytest.fixture
def rides(deployment):
    """The topic of a feature group of rides, keyed by driver."""
    name = f"rides_{uuid.uuid4().hex[:8]}"
    return deployment.create_group(name, FEATURES, ["driver"], "at")


@pytest.fixture
def client_of():
    """Makes clients, which are closed in the end."""
    with ExitStack() as clients:
        yield lambda url: clients.enter_context(SchemaRegistryClient({"url": url}))


def produce(deployment, topic, serializer, rows):
    """Sends rows with the driver as their key; per partition the offset after the last."""
    end = {}

    def delivered(error, message):
        assert error is None, error
        end[message.partition()] = max(end.get(message.partition(), 0), message.offset() + 1)

    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    context = SerializationContext(topic, MessageField.VALUE)
    for row in rows:
        value = serializer(row, context)
        key = str(row["driver"]).encode()
        producer.produce(topic, key=key, value=value, on_delivery=delivered)
    assert producer.flush(60) == 0
    return end


def ride(number, **more):
    at = START + timedelta(minutes=number)
    return {"driver": number % 10, "at": at, "fare": number / 2, "note": "cash", **more}


def test_rows_of_others_reach_both_stores(client_of, deployment, rides, folder, monkeypatch):
    registry = client_of(deployment.registry_url)
    registering = AvroSerializer(registry, json.dumps(RIDE))
    end = produce(deployment, rides, registering, [ride(number) for number in range(100)])
    assert registry.get_versions(f"{rides}-value") == [1, 2]

    # The newest version is used, whatever schema the program was built with.
    latest = AvroSerializer(
        registry, None, conf={"auto.register.schemas": False, "use.latest.version": True}
    )
    end |= produce(deployment, rides, latest, [ride(number) for number in range(100, 120)])
    # Only what is registered already, such as the group's own schema.
    own = registry.get_version(f"{rides}-value", 1).schema.schema_str
    known = AvroSerializer(registry, own, conf={"auto.register.schemas": False})
    rows = [{**ride(number), "city": "Oslo"} for number in range(120, 130)]
    end |= produce(deployment, rides, known, rows)
    deployment.wait_for(rides, end)
    deployment.stop()

    for store, url in deployment.stores.items():
        monkeypatch.setenv(f"TWINFOLD__STORES__{store.upper()}", url)
    with twinfold.connect(folder) as store:
        group = store.get_feature_group(rides.removeprefix("default.").removesuffix("_1"))
        assert group.quarantine() == []
        assert len(group.read()) == 130
        newest = group.read(online=True).set_index("driver").sort_index()
        assert newest["fare"].tolist() == [number / 2 for number in range(120, 130)]
        assert set(newest["city"]) == {"Oslo"}
        assert newest["at"].tolist() == [START + timedelta(minutes=n) for n in range(120, 130)]


def test_a_schema_that_no_row_could_have_is_refused(client_of, deployment, rides):
    registry = client_of(deployment.registry_url)
    fields = [field for field in RIDE["fields"] if field["name"] != "driver"]
    for schema, feature in (
        ({**RIDE, "fields": fields}, "driver"),
        ({**RIDE, "fields": [*fields, {"name": "driver", "type": "string"}]}, "driver"),
    ):
        serializer = AvroSerializer(registry, json.dumps(schema))
        with pytest.raises(SchemaRegistryError) as caught:
            serializer({}, SerializationContext(rides, MessageField.VALUE))
        assert caught.value.http_status_code == caught.value.error_code == 409
        assert f"feature `{feature}`" in caught.value.error_message
    assert registry.get_versions(f"{rides}-value") == [1]


def test_a_record_is_read_back_by_a_client_of_confluent(client_of, deployment, rides):
    registry = client_of(deployment.registry_url)
    context = SerializationContext(rides, MessageField.VALUE)
    value = AvroSerializer(registry, json.dumps(RIDE))(ride(7), context)
    assert AvroDeserializer(client_of(deployment.registry_url))(value, context) == ride(7)


def test_clients_find_their_way(client_of, server):
    registry = client_of(server.url)
    subject = "a/subject of/others-value"
    first, second = record(ID), record(ID, FARE)
    id_first = registry.register_schema(subject, first)
    id_second = registry.register_schema(subject, second)
    assert client_of(server.url).register_schema("elsewhere", first) == id_first

    # Each time another client, because they remember.
    def ask():
        return client_of(server.url)

    assert json.loads(ask().get_schema(id_first).schema_str) == json.loads(first.schema_str)
    assert ask().get_schema_types() == ["AVRO"]
    assert ask().get_subjects() == [subject, "elsewhere"]
    assert ask().get_subjects(subject_prefix="a/") == [subject]
    assert ask().get_versions(subject) == [1, 2]
    found = ask().get_latest_version(subject)
    assert (found.schema_id, found.version, found.subject) == (id_second, 2, subject)
    assert ask().get_schema_by_guid(found.guid).schema_str == second.schema_str
    assert ask().get_version(subject, 1).schema_id == id_first
    assert ask().lookup_schema(subject, second).version == 2
    assert sorted(ask().get_subjects_by_schema_id(id_first)) == [subject, "elsewhere"]
    places = ask().get_schema_versions(id_first)
    assert [(place.subject, place.version) for place in places] == [(subject, 1), ("elsewhere", 1)]
    assert ask().get_referenced_by(subject, 1) == []
    assert ask().get_contexts() == ["."]


def test_clients_set_and_check_compatibility(client_of, server):
    registry = client_of(server.url)
    registry.register_schema("rides-value", record(ID, FARE))
    required = record(ID, FARE, ("tip", "double", {}))
    assert registry.get_compatibility() == "BACKWARD"
    assert not registry.test_compatibility("rides-value", required)
    assert not registry.test_compatibility_all_versions("rides-value", required, verbose=True)
    assert registry.set_compatibility("rides-value", "FORWARD") == {"compatibility": "FORWARD"}
    assert registry.get_compatibility("rides-value") == "FORWARD"
    assert registry.test_compatibility("rides-value", required, version=1)
    registry.set_config("rides-value", ServerConfig(compatibility=ConfigCompatibilityLevel.FULL))
    level = registry.get_config("rides-value").compatibility_level
    assert level == ConfigCompatibilityLevel.FULL
    assert registry.delete_config("rides-value").compatibility_level == level
    assert registry.get_global_mode() == "READWRITE"
    assert registry.update_mode("rides-value", "READONLY") == "READONLY"
    assert registry.get_mode("rides-value") == "READONLY"
    assert registry.delete_mode("rides-value") == "READONLY"
    assert registry.update_global_mode("READWRITE") == "READWRITE"


def test_clients_find_versions_by_what_is_said_of_them(client_of, server):
    registry = client_of(server.url)
    for owner, schema in (("rides", record(ID)), ("taxis", record(ID, FARE))):
        properties = MetadataProperties(properties={"owner": owner})
        metadata = Metadata(tags=None, properties=properties, sensitive=None)
        said = Schema(schema.schema_str, "AVRO", metadata=metadata)
        registry.register_schema("rides-value", said)
    found = registry.get_latest_with_metadata("rides-value", {"owner": "rides"})
    assert found.version == 1
    assert found.schema.metadata.properties.properties == {"owner": "rides"}


def test_clients_delete_in_two_steps(client_of, server):
    registry = client_of(server.url)
    registry.register_schema("rides-value", record(ID))
    registry.register_schema("rides-value", record(ID, FARE))
    assert registry.delete_version("rides-value", 1) == 1
    assert registry.get_versions("rides-value") == [2]
    assert registry.get_versions("rides-value", deleted=True) == [1, 2]
    assert registry.delete_version("rides-value", 1, permanent=True) == 1
    assert registry.delete_subject("rides-value") == [2]
    assert registry.get_subjects() == []
    assert registry.get_subjects(deleted=True) == ["rides-value"]
    assert registry.delete_subject("rides-value", permanent=True) == [2]


def test_clients_are_told_what_is_wrong(client_of, server):
    registry = client_of(server.url)
    registry.register_schema("rides-value", record(ID))
    other = record(("id", "string", {}))
    for code, ask in (
        (40401, lambda: registry.get_versions("trips-value")),
        (40402, lambda: registry.get_version("rides-value", 9)),
        (40403, lambda: registry.get_schema(999)),
        (40403, lambda: registry.lookup_schema("rides-value", other)),
        (40405, lambda: registry.delete_subject("rides-value", permanent=True)),
        (40407, lambda: registry.delete_version("rides-value", 1, permanent=True)),
        (40408, lambda: registry.get_compatibility("rides-value")),
        (40409, lambda: registry.get_mode("rides-value")),
        (409, lambda: registry.register_schema("rides-value", other)),
        (42201, lambda: registry.register_schema("rides-value", Schema("{", "AVRO"))),
        (42202, lambda: registry.get_version("rides-value", 0)),
        (42203, lambda: registry.set_compatibility("rides-value", "sideways")),
        (42204, lambda: registry.update_mode("rides-value", "IMPORT")),
    ):
        with pytest.raises(SchemaRegistryError) as caught:
            ask()
        assert caught.value.error_code == code, caught.value
