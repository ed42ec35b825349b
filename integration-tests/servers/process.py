"""A server as a process: started, waited for, stopped by its id."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 20
TICK_SECONDS = 0.05
PORT_MIN = 10_000
CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass
class Spec:
    """All that it takes to start a server, also again on the same data."""

    name: str
    command: list[str]
    folder: str
    # It is ready when this port takes connections and, if there is one, its log has this text.
    port: int
    ready_text: str = ""
    env: dict[str, str] = field(default_factory=dict)
    # Left behind by a server that was killed, and in the way of the next.
    pid_file: str = ""
    # Asks it to end without waiting for its clients.
    stop_signal: int = signal.SIGTERM

    @property
    def log(self) -> Path:
        return Path(self.folder) / "log.txt"


def free_port() -> int:
    """A port of loopback that nobody listens on now.

    None of those that the system gives to clients: one of them could have it when a server that was
    stopped wants it back, and a client that looks for a server there could even find itself.
    """
    first_client_port = int(CLIENT_PORTS.read_text().split()[0])
    candidates = range(PORT_MIN, max(first_client_port, PORT_MIN + 1))
    for port in random.sample(candidates, len(candidates)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise SystemExit(f"no free port from {candidates.start} to {candidates.stop - 1}")


# A port is bound only when its server starts.
_given: set[int] = set()


def _is_free(port):
    with socket.socket() as probe:
        # What an earlier server's connections left is no obstacle to the next.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def spawn(spec: Spec) -> int:
    """Starts the process in a session of its own and returns its id at once."""
    Path(spec.folder).mkdir(parents=True, exist_ok=True)
    if spec.pid_file:
        Path(spec.pid_file).unlink(missing_ok=True)
    # What an earlier start printed must not count as ready.
    with spec.log.open("wb") as output:
        process = subprocess.Popen(
            spec.command,
            cwd=spec.folder,
            env={**os.environ, **spec.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process.pid


def wait_until_ready(spec: Spec, pid: int) -> None:
    """Returns when the server answers; when it does not, the end of its log is in the error."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _is_ready(spec):
        if not is_running(pid):
            raise SystemExit(f"{spec.name} ended while starting:\n{_tail(spec.log)}")
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            waited = f"{START_SECONDS_MAX} s"
            raise SystemExit(f"{spec.name} is not ready after {waited}:\n{_tail(spec.log)}")
        time.sleep(TICK_SECONDS)


def stop(spec: Spec, pid: int, kill: bool) -> None:
    """Asks a process to end, and kills it and its children if it does not; with `kill` at once."""
    if not kill:
        _signal(pid, spec.stop_signal)
        if _has_ended([pid]):
            return
    # All at once, as when the machine fails: what outlives a server stands in the way of the next.
    family = [pid, *_descendants(pid)]
    for member in family:
        _signal(member, signal.SIGKILL)
    if not _has_ended(family):
        raise SystemExit(f"{spec.name} (process {pid}) cannot be stopped")


def _signal(pid, what):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def _has_ended(pids):
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_SECONDS)
    return True


def _descendants(pid):
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        state_and_parent = _stat(int(folder.name))
        if state_and_parent:
            parents[int(folder.name)] = int(state_and_parent[1])
    found = [child for child, parent in parents.items() if parent == pid]
    for child in found:
        # It grows while it is walked.
        found += [next_child for next_child, parent in parents.items() if parent == child]
    return found


def is_running(pid: int) -> bool:
    # A child of ours that has ended stays as a zombie until it is asked for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def _stat(pid):
    """State and parent and so on; `None` when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _is_ready(spec):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", spec.port)) != 0:
            return False
    return spec.ready_text in spec.log.read_text(errors="replace")


def _tail(log, lines=30):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
