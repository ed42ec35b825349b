"""Toxiproxy, which stands between a client and a server and breaks the network on demand."""

from pathlib import Path

from . import artifacts
from .process import Spec, free_port


def prepare(folder: Path) -> tuple[list[Spec], dict[str, str]]:
    """Gives how to start it and where it takes orders."""
    program = artifacts.go_program("toxiproxy", artifacts.TOXIPROXY)
    port = free_port()
    spec = Spec(
        name="toxiproxy",
        command=[str(program), "-host", "127.0.0.1", "-port", str(port)],
        folder=str(folder / "toxiproxy"),
        port=port,
    )
    return [spec], {"url": f"http://127.0.0.1:{port}"}
