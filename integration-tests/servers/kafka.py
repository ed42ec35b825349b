"""Apache Kafka in KRaft mode: each node is broker and controller.

Clients go where a broker says that it is. So each has a second listener that says the address of a
proxy: who wants one puts it there, between the two ports of `proxied`.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import artifacts
from .process import Spec, free_port

CLUSTER_ID = "dHdpbmZvbGQtdGVzdHMtMQ"
LOGGING = """\
<Configuration>
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console>
  </Appenders>
  <Loggers><Root level="info"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


@dataclass
class Ports:
    client: int
    controller: int
    # Where the proxy is to listen, and where it finds the broker.
    proxy: int
    proxied: int


def prepare(folder: Path, nodes: int) -> tuple[list[Spec], dict[str, object]]:
    """Formats `nodes` nodes; gives how to start them and how clients reach them."""
    jars = artifacts.jars("kafka")
    ports = [Ports(free_port(), free_port(), free_port(), free_port()) for _ in range(nodes)]
    specs = [_node(folder / f"kafka-{node}", jars, node, ports) for node in range(nodes)]
    settings = {
        "bootstrap_servers": ",".join(f"127.0.0.1:{node.client}" for node in ports),
        "proxied": [
            {"listen": f"127.0.0.1:{node.proxy}", "upstream": f"127.0.0.1:{node.proxied}"}
            for node in ports
        ],
    }
    return specs, settings


def _node(folder, jars, node, ports):
    folder.mkdir(parents=True)
    logging = folder / "log4j2.xml"
    logging.write_text(LOGGING)
    properties = folder / "server.properties"
    properties.write_text(_properties(folder / "data", node, ports))
    java = [
        artifacts.require("java", "openjdk-17-jdk-headless"),
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        f"{jars}/*",
    ]
    tool = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
    subprocess.run(tool, check=True, stdout=subprocess.DEVNULL)
    return Spec(
        name=folder.name,
        command=[java[0], "-Xms128m", "-Xmx512m", *java[1:], "kafka.Kafka", str(properties)],
        folder=str(folder),
        port=ports[node].client,
        ready_text="Kafka Server started",
    )


def _properties(data, node, ports):
    ours = ports[node]
    voters = ",".join(f"{i + 1}@127.0.0.1:{each.controller}" for i, each in enumerate(ports))
    listeners = {
        "PLAINTEXT": ours.client,
        "PROXIED": ours.proxied,
        "CONTROLLER": ours.controller,
    }
    advertised = {"PLAINTEXT": ours.client, "PROXIED": ours.proxy}
    replicas = min(3, len(ports))
    in_sync = max(1, replicas - 1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": node + 1,
        "controller.quorum.voters": voters,
        "listeners": _addresses(listeners),
        "advertised.listeners": _addresses(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Nobody waits three seconds for consumers that may yet join.
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed may come back as soon as its old session is over.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "auto.create.topics.enable": "false",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _addresses(ports):
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
