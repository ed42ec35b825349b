"""Apache Cassandra, which speaks the CQL of ScyllaDB. Nothing may rely on what only one has."""

import json
from pathlib import Path

from . import artifacts
from .process import Spec, free_port

# What the server's own start script opens to it of Java 17's modules.
EXPORTS = [
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
]
OPENS = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
]
LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %c{0}: %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""


def prepare(folder: Path) -> tuple[list[Spec], dict[str, str]]:
    """Gives how to start one node and how clients reach it."""
    jars = artifacts.jars("cassandra")
    folder = folder / "cassandra"
    folder.mkdir(parents=True)
    port, storage_port, jmx_port = free_port(), free_port(), free_port()
    # JSON is YAML.
    configuration = folder / "cassandra.yaml"
    configuration.write_text(json.dumps(_settings(port, storage_port), indent=1))
    logging = folder / "logback.xml"
    logging.write_text(LOGGING)
    properties = {
        "cassandra.config": configuration.as_uri(),
        "cassandra.storagedir": folder / "data",
        "cassandra.logdir": folder,
        "logback.configurationFile": logging,
        "cassandra-foreground": "yes",
        "cassandra.jmx.local.port": jmx_port,
        "cassandra.ring_delay_ms": 0,
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra.superuser_setup_delay_ms": 0,
        "cassandra.available_processors": 2,
        "cassandra.disable_mlock": "true",
        "java.net.preferIPv4Stack": "true",
        "jdk.attach.allowAttachSelf": "true",
        "io.netty.tryReflectionSetAccessible": "true",
    }
    command = [
        artifacts.require("java", "openjdk-17-jdk-headless"),
        *("-Xss512k", "-Xms512m", "-Xmx1g", "-XX:+UseG1GC", "-XX:+PerfDisableSharedMem"),
        f"-javaagent:{jars}/jamm-0.4.0.jar",
        *(f"-D{name}={value}" for name, value in properties.items()),
        *(f"--add-exports={module}=ALL-UNNAMED" for module in EXPORTS),
        *(f"--add-opens={module}=ALL-UNNAMED" for module in OPENS),
        *("-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon"),
    ]
    spec = Spec(
        name="cassandra",
        command=command,
        folder=str(folder),
        port=port,
        ready_text="Starting listening for CQL clients",
    )
    return [spec], {"contact_points": f"127.0.0.1:{port}"}


def _settings(port, storage_port):
    seeds = [{"seeds": f"127.0.0.1:{storage_port}"}]
    provider = "org.apache.cassandra.locator.SimpleSeedProvider"
    return {
        "cluster_name": "twinfold",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "num_tokens": 1,
        "listen_address": "127.0.0.1",
        "rpc_address": "127.0.0.1",
        "storage_port": storage_port,
        "native_transport_port": port,
        "seed_provider": [{"class_name": provider, "parameters": seeds}],
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        "commitlog_segment_size": "8MiB",
        "commitlog_total_space": "64MiB",
        "memtable_heap_space": "128MiB",
        "memtable_offheap_space": "128MiB",
        "file_cache_size": "32MiB",
        "key_cache_size": "8MiB",
        "concurrent_reads": 8,
        "concurrent_writes": 16,
        "native_transport_max_threads": 32,
        "hinted_handoff_enabled": False,
        "auto_snapshot": False,
        # Rows of one replica go in one batch.
        "batch_size_warn_threshold": "64KiB",
        "batch_size_fail_threshold": "640KiB",
    }
