"""A server as a process: started, waited for, stopped by its id."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 20
TICK_SECONDS = 0.05


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

    @property
    def log(self) -> Path:
        return Path(self.folder) / "log.txt"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def stop(name: str, pid: int, first: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end with `first`, and kills it and its children when it does not."""
    for attempt in (first, signal.SIGKILL):
        try:
            if attempt == signal.SIGKILL:
                os.killpg(pid, attempt)
            else:
                os.kill(pid, attempt)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while is_running(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(TICK_SECONDS)
        else:
            return
    raise SystemExit(f"{name} (process {pid}) cannot be stopped")


def is_running(pid: int) -> bool:
    try:
        # A child of ours that has ended stays as a zombie until it is asked for.
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _is_ready(spec):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", spec.port)) != 0:
            return False
    return spec.ready_text in spec.log.read_text(errors="replace")


def _tail(log, lines=30):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
