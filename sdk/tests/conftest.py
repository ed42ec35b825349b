"""What several tests share that need more than a folder."""

import pytest

from services import Deployment, Server


@pytest.fixture
def server(folder):
    """`twinfold up`."""
    running = Server(folder)
    yield running
    assert running.stop() == 0


@pytest.fixture
def deployment():
    """The services as processes over real servers."""
    running = Deployment()
    yield running
    assert set(running.stop()) == {0}
