"""Starts and stops real servers for tests, on free ports of loopback, below one folder.

    python -m servers start --folder F kafka cassandra postgres s3 toxiproxy
    python -m servers restart --folder F kafka-0 --kill
    python -m servers stop --folder F cassandra
    python -m servers stop --folder F
    python -m servers run kafka cassandra postgres s3 toxiproxy -- command with arguments

`start` returns when all of them answer, and prints as JSON how clients reach them; the same is in
`F/servers.json`. `kafka=3` is a cluster of three. `restart` also starts again what was stopped, on
the same ports and data. `run` keeps servers for as long as the command runs, and tells it of that
file in the environment.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from . import cassandra, kafka, postgres, process, s3, toxiproxy
from .process import Spec

# Where the command of `run` finds how the servers are reached.
VARIABLE = "TWINFOLD_TEST_SERVERS"
ONE_NODE = {"cassandra": cassandra, "postgres": postgres, "s3": s3, "toxiproxy": toxiproxy}


class State:
    """What runs below a folder, kept in a file there."""

    def __init__(self, folder: Path):
        self.path = folder / "servers.json"
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.settings = known.get("settings", {})
        self.pids = known.get("pids", {})
        self.specs = {name: Spec(**spec) for name, spec in known.get("specs", {}).items()}

    def save(self):
        specs = {name: asdict(spec) for name, spec in self.specs.items()}
        content = {"settings": self.settings, "pids": self.pids, "specs": specs}
        self.path.write_text(json.dumps(content, indent=1))


def start(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = State(folder)
    specs = []
    for system in wanted:
        name, _, nodes = system.partition("=")
        if name in state.settings:
            raise SystemExit(f"{name} runs below {folder} already")
        if name == "kafka":
            prepared, settings = kafka.prepare(folder, int(nodes or 1))
        elif name in ONE_NODE:
            prepared, settings = ONE_NODE[name].prepare(folder)
        else:
            raise SystemExit(f"unknown server {system}; known: kafka[=3], {', '.join(ONE_NODE)}")
        state.settings[name] = settings
        specs += prepared
    _run(state, specs)
    print(json.dumps(state.settings, indent=1))


def run(wanted: list[str], command: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="twinfold-servers-"))
    try:
        start(folder, wanted)
        environment = {**os.environ, VARIABLE: str(State(folder).path)}
        return subprocess.run(command, env=environment).returncode
    finally:
        stop(folder, [], kill=True)
        shutil.rmtree(folder, ignore_errors=True)


def restart(folder: Path, names: list[str], kill: bool) -> None:
    specs = [_known(State(folder), name) for name in names]
    stop(folder, names, kill)
    _run(State(folder), specs)


def stop(folder: Path, names: list[str], kill: bool) -> None:
    state = State(folder)
    # Last started, first stopped.
    for name in names or list(reversed(state.pids)):
        spec = _known(state, name)
        # Not there when it was stopped before.
        if pid := state.pids.pop(name, None):
            process.stop(spec, pid, kill)
            state.save()


def _known(state, name):
    if name not in state.specs:
        raise SystemExit(f"unknown server {name}; known: {', '.join(state.specs) or 'none'}")
    return state.specs[name]


def _run(state, specs):
    for spec in specs:
        state.specs[spec.name] = spec
        state.pids[spec.name] = process.spawn(spec)
        # At once, so that what has started can be stopped whatever follows.
        state.save()
    with ThreadPoolExecutor() as waiters:
        waiting = [
            waiters.submit(process.wait_until_ready, spec, state.pids[spec.name]) for spec in specs
        ]
    for outcome in waiting:
        outcome.result()


def main() -> int:
    parser = argparse.ArgumentParser(prog="servers", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("start", "restart", "stop"):
        command = commands.add_parser(name)
        command.add_argument("--folder", type=Path, required=True)
        command.add_argument("names", nargs="*" if name == "stop" else "+")
        if name != "start":
            command.add_argument("--kill", action="store_true", help="kill -9 instead of asking")
    commands.add_parser("run").add_argument("names", nargs="+")

    # What stands behind `--` is the command to run and not ours to read.
    ours, _, command = _split(sys.argv[1:], "--")
    arguments = parser.parse_args(ours)
    if arguments.command == "run":
        return run(arguments.names, command)
    folder = arguments.folder.resolve()
    if arguments.command == "start":
        start(folder, arguments.names)
    elif arguments.command == "restart":
        restart(folder, arguments.names, arguments.kill)
    else:
        stop(folder, arguments.names, arguments.kill)
    return 0


def _split(words, separator):
    at = words.index(separator) if separator in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


sys.exit(main())
