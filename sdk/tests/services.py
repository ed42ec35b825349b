"""Our services as processes: `twinfold up`, and all of a deployment over real servers.

`make test` starts the servers and builds the services. `make servers` gives a shell in which single
tests run, after `cargo build --workspace --bins`.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/twinfold/target"))
BINARY = TARGET / "debug" / "twinfold"
START_S = 60
END_S = 60
CREATE_MS = 30_000

# Where a platform over a folder can be.
WAYS = ["embedded", "remote"]


class Server:
    """`twinfold up` in a process of its own."""

    def __init__(self, folder, port=0, **settings):
        assert BINARY.exists(), f"{BINARY} is not there: `cargo build --workspace --bins` makes it"
        variables = {f"TWINFOLD__{name}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [BINARY, "up", "--folder", folder, "--address", f"127.0.0.1:{port}"],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self.process.stdout.readline()
        assert said.startswith("listening on http://127.0.0.1:"), said
        self.url = said.split()[-1]

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def stop(self):
        """In the orderly way; twice is once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=END_S)
        return self.process.returncode


@contextmanager
def address_of(folder, way):
    """What to connect to for the platform of a folder: itself, or the URL of one that serves it."""
    if way == "embedded":
        yield folder
        return
    server = Server(folder)
    try:
        yield server.url
    finally:
        assert server.stop() == 0


class Service:
    """One service of ours, with settings such as `HTTP__ADDRESS`."""

    def __init__(self, name, **settings):
        self.binary = TARGET / "debug" / name
        assert self.binary.exists(), f"{name}: `cargo build --workspace --bins` makes it"
        settings |= {"PROCESS__ADMIN_ADDRESS": free_address(), "PROCESS__LOG_FILTER": "warn"}
        variables = {f"TWINFOLD__{key}": value for key, value in settings.items()}
        # Settings of the platform in this process are none of a service.
        others = {k: v for k, v in os.environ.items() if not k.startswith("TWINFOLD__")}
        self.environment = others | variables
        self.process = subprocess.Popen([self.binary], env=self.environment)
        eventually(self._is_ready, within_s=START_S)

    def _is_ready(self):
        assert self.process.poll() is None, f"{self.binary.name} has ended"
        check = [self.binary, "healthcheck"]
        ended = subprocess.run(check, env=self.environment, stderr=subprocess.DEVNULL)
        return ended.returncode == 0

    def stop(self):
        """In the orderly way; twice is once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=END_S)


class Deployment:
    """A registry and both materializers, over stores that nobody else uses."""

    def __init__(self):
        path = os.environ.get("TWINFOLD_TEST_SERVERS")
        assert path, "TWINFOLD_TEST_SERVERS is not set: `make servers` starts the servers"
        servers = json.loads(Path(path).read_text())["settings"]
        self.bootstrap_servers = servers["kafka"]["bootstrap_servers"]
        self.stores = _stores(servers, f"python_{uuid.uuid4().hex}")
        urls = {f"{store.upper()}__URL": url for store, url in self.stores.items()}
        address = free_address()
        self.registry_url = f"http://{address}"
        self.services = []
        try:
            self._start("twinfold-registry", HTTP__ADDRESS=address, **urls)
            topic = {"REGISTRY__URL": self.registry_url, "TOPIC__URL": self.stores["topic"]}
            for name, store in (("onlinefs", "online"), ("offlinefs", "offline")):
                self._start(
                    f"twinfold-{name}", **topic, **{f"{store.upper()}__URL": self.stores[store]}
                )
        except BaseException:
            self.stop()
            raise

    def _start(self, name, **settings):
        self.services.append(Service(name, **settings))

    def stop(self):
        """Last started, first stopped; how each of them ended."""
        return [service.stop() for service in reversed(self.services)]

    def create_group(self, name, features, primary_key, event_time=None):
        """Creates a feature group when its topic and tables are there; the name of its topic."""
        body = {
            "project": "default",
            "name": name,
            "version": 1,
            "features": features,
            "primary_key": primary_key,
            "event_time": event_time,
            "online_enabled": True,
            "partitions": 2,
        }
        request = urllib.request.Request(
            f"{self.registry_url}/v1/feature-groups?wait_ms={CREATE_MS}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["resource"]

    def wait_for(self, topic, end):
        """Returns when both stores have what stands before these offsets, by partition."""
        for consumer in ("onlinefs", "offlinefs"):
            settings = {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"{consumer}.{topic}",
                "enable.auto.commit": False,
            }
            reader = Consumer(settings)
            places = [TopicPartition(topic, partition) for partition in end]

            def has_passed(reader=reader, places=places):
                committed = reader.committed(places, timeout=END_S)
                return all(place.offset >= end[place.partition] for place in committed)

            try:
                eventually(has_passed, within_s=END_S)
            finally:
                reader.close()


def _stores(servers, place):
    postgres, s3 = servers["postgres"]["url"], servers["s3"]
    create = ["psql", postgres, "-qc", f"CREATE SCHEMA {place}"]
    subprocess.run(create, check=True)
    bucket = f"s3://{s3['bucket']}/{place}?endpoint={s3['endpoint']}&region={s3['region']}"
    secrets = f"access_key_id={s3['access_key_id']}&secret_access_key={s3['secret_access_key']}"
    contact_points = servers["cassandra"]["contact_points"]
    return {
        "metadata": f"{postgres}?options=-c%20search_path%3D{place}",
        "topic": f"kafka://{servers['kafka']['bootstrap_servers']}",
        "online": f"scylla://{contact_points}/{place}?replication=1",
        "offline": f"{bucket}&{secrets}",
    }


def free_address():
    """An address of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host, port = probe.getsockname()
    return f"{host}:{port}"


def eventually(holds, within_s):
    """Returns when a condition holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)
