import os
from collections.abc import Iterator

import grpc
import pytest

from processes import Service
from scene import Scene

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash[FIGURES]:
        terminalreporter.write_line(figure)


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are printed behind all tests."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Of the service under test: the one at STINT_ADDRESS, else one that is started for the run."""
    given = os.environ.get("STINT_ADDRESS")
    if given is not None:
        yield given
        return
    service = Service()
    try:
        service.start()
        yield service.address
        service.stop()
    finally:
        service.remove()


@pytest.fixture(scope="session")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def scene(channel: grpc.Channel) -> Scene:
    return Scene(channel)


@pytest.fixture
def own_service() -> Iterator[Service]:
    """A service that the test may stop."""
    service = Service()
    try:
        service.start()
        yield service
    finally:
        service.remove()
