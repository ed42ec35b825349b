"""Where the platform of a test is: in this process, behind an address, as services."""

import pytest

import twinfold
from services import WAYS, Deployment, Server, address_of


def pytest_generate_tests(metafunc):
    """Tests that have a platform run on each kind, unless they say that they are about one."""
    if "address" in metafunc.fixturenames:
        about_the_folder = metafunc.definition.get_closest_marker("about_the_folder")
        metafunc.parametrize("address", WAYS[:1] if about_the_folder else WAYS, indirect=True)


@pytest.fixture
def address(request, folder):
    """What to connect to."""
    with address_of(folder, request.param) as found:
        yield found


@pytest.fixture
def fs(address):
    with twinfold.connect(address) as store:
        yield store


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
