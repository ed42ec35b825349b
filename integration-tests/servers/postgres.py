"""PostgreSQL from Debian's package."""

import os
import pwd
import signal
import subprocess
from pathlib import Path

from . import artifacts
from .process import Spec, free_port

USER = "twinfold"
# Its server refuses to run as root.
UNPRIVILEGED = "postgres"


def prepare(folder: Path) -> tuple[list[Spec], dict[str, str]]:
    """Initializes a cluster; gives how to start it and how clients reach it."""
    programs = artifacts.postgres()
    folder = folder / "postgres"
    data = folder / "data"
    data.mkdir(parents=True)
    as_user = []
    if os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--init-groups"]
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(data, account.pw_uid, account.pw_gid)
        for parent in (folder, *folder.parents):
            # A temporary folder is closed to others; that user has to get to its own.
            if parent.stat().st_uid == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    initdb = [*as_user, programs / "initdb", "--pgdata", data, "--username", USER]
    initdb += ["--auth", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
    command = [*as_user, programs / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    spec = Spec(
        name="postgres",
        command=[str(part) for part in command],
        folder=str(folder),
        port=port,
        pid_file=str(data / "postmaster.pid"),
        ready_text="database system is ready to accept connections",
        stop_signal=signal.SIGINT,
    )
    return [spec], {"url": f"postgres://{USER}@127.0.0.1:{port}/postgres"}
