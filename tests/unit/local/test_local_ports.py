"""Ports are free when they are given out, and given out once."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from resilientslice.local.errors import LocalError
from resilientslice.local.ports import LOOPBACK, REPLICA_PORTS, Ports, is_free, take_front_port


@pytest.fixture
def busy() -> Iterator[int]:
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        yield server.getsockname()[1]


def test_never_the_same_twice_and_never_one_in_use(busy: int) -> None:
    ports = Ports()
    taken = [ports.take() for _ in range(50)]
    assert len(set(taken)) == 50
    assert all(port in REPLICA_PORTS for port in taken)
    assert ports.take(busy) != busy
    ports.give_back(taken[0])
    assert ports.take(taken[0]) == taken[0]
    assert ports.take(taken[0]) != taken[0]


def test_a_port_in_use_names_its_holder_and_the_flag(busy: int) -> None:
    assert not is_free(busy)
    with pytest.raises(LocalError, match=rf"port {busy} on 127.0.0.1 is in use by .* \(PID \d+\);.*--port"):
        take_front_port(Ports(), busy, None)


def test_front_port_zero_prefers_the_one_it_had(busy: int) -> None:
    ports = Ports()
    before = ports.take()
    ports.give_back(before)
    assert take_front_port(ports, 0, before) == before
    assert take_front_port(ports, 0, busy) in REPLICA_PORTS
    free = ports.take()
    ports.give_back(free)
    assert take_front_port(ports, free, None) == free
