"""Ports are free when they are given out, and given out once."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.ports import LOOPBACK, REPLICA_PORTS, Ports, is_free, take_front_port, turn_file

TAKES_MANY = """
from resilientslice.local.processes.ports import Ports
ports = Ports()
print(*(ports.take() for _ in range(400)))
"""


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


@pytest.fixture
def turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a user who has none yet."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert turn_file().parent == tmp_path
    return turn_file()


def test_runtimes_of_one_user_that_start_at_once_get_different_ports() -> None:
    command = [sys.executable, "-c", TAKES_MANY]
    runtimes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    taken = [port for each in runtimes for port in each.communicate()[0].split()]
    assert all(each.returncode == 0 for each in runtimes)
    assert len(set(taken)) == len(taken) == 1200


@pytest.mark.usefixtures("turn")
def test_the_range_begins_anew_behind_its_end() -> None:
    turn_file().write_text(str(REPLICA_PORTS[-2]))
    first, second = Ports().take(), Ports().take()
    assert first >= REPLICA_PORTS[-1] or first < REPLICA_PORTS[50]
    assert second < REPLICA_PORTS[100]


@pytest.mark.parametrize("text", ["", "later", "80", "99999", "20000 and more", "²"])
def test_a_turn_that_cannot_be_read_is_begun_anew(turn: Path, text: str) -> None:
    turn.write_text(text)
    assert Ports().take() == int(turn.read_text()[:5])


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "nowhere"])
def test_without_the_turn_file_there_are_ports_all_the_same(
    turn: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    match kind:
        case "folder":
            turn.mkdir()
        case "link":
            (turn.parent / "precious").write_text("of someone")
            turn.symlink_to("precious")
        case "pipe":
            os.mkfifo(turn)
        case _:
            monkeypatch.setattr("tempfile.tempdir", str(turn.parent / "gone"))
    ports = Ports()
    assert len({ports.take() for _ in range(20)}) == 20
    if kind == "link":
        assert (turn.parent / "precious").read_text() == "of someone"


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
