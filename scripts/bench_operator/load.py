"""`python -m scripts.bench_operator.load`: asks one address at a fixed rate, and writes down when each answer came.

Each thread has a connection and a slot of its own in the period, and keeps to it whatever happened before: threads
that start anew from their last answer bunch together, and then see a change late by up to a whole period. A process of
its own, so that nobody else's work delays it. Ends when its standard input does.

A line an answer: sent, answered (nanoseconds of the monotonic clock), status (0: none), 1 if it has the mark.
"""

import argparse
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

CLIENT_SECONDS = 10.0
Row = tuple[int, int, int, int]


@dataclass(slots=True)
class Slot:
    """One connection that asks at `first`, `first + period` and so on (nanoseconds)."""

    host: str
    port: int
    request: bytes
    mark: bytes
    first: int
    period: int
    stop: threading.Event
    rows: list[Row] = field(default_factory=list)

    def run(self) -> None:
        number, connection = 0, self._connected()
        while not self.stop.is_set():
            at = self.first + number * self.period
            wait = at - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            sent = time.monotonic_ns()
            try:
                status, marked, keep = self._ask(connection)
            except OSError:
                status, marked, keep = 0, False, False
            now = time.monotonic_ns()
            self.rows.append((sent, now, status, int(marked)))
            if not keep:
                connection.close()
                connection = self._connected()
            number = max(number + 1, (now - self.first) // self.period + 1)
        connection.close()

    def _connected(self) -> socket.socket:
        """Tried until it is there: that it can't be had shows in the rows of requests that fail."""
        try:
            made = socket.create_connection((self.host, self.port), CLIENT_SECONDS)
        except OSError:
            made = socket.socket()
        made.settimeout(CLIENT_SECONDS)
        if made.family in (socket.AF_INET, socket.AF_INET6):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _ask(self, connection: socket.socket) -> tuple[int, bool, bool]:
        """Status, whether the answer has the mark, and whether the connection stays."""
        connection.sendall(self.request)
        data = b""
        while True:
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionError("closed")
            data += chunk
            head, found, body = data.partition(b"\r\n\r\n")
            if found and len(body) >= _length(head):
                break
        lowered = head.lower()
        return int(head.split(b" ", 2)[1]), self.mark in data, b"connection: close" not in lowered


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    raise ConnectionError("an answer without content-length")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_operator.load", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--mark", required=True, help="what only the canary's answers have")
    parser.add_argument("--out", type=Path, required=True)
    values = parser.parse_args()
    request = f"GET {values.path} HTTP/1.1\r\nHost: {values.host}:{values.port}\r\nX-Tenant: gold\r\n\r\n".encode()
    stop, begin = threading.Event(), time.monotonic_ns() + 200_000_000
    gap = int(1e9 / values.rate)
    slots = [
        Slot(
            values.host,
            values.port,
            request,
            values.mark.encode(),
            begin + number * gap,
            gap * values.connections,
            stop,
        )
        for number in range(values.connections)
    ]
    threads = [threading.Thread(target=slot.run) for slot in slots]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, (begin - time.monotonic_ns()) / 1e9) + gap * values.connections / 1e9)  # all have asked once
    print("started", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    rows = sorted(row for slot in slots for row in slot.rows)
    values.out.write_text("".join(f"{sent} {done} {status} {mark}\n" for sent, done, status, mark in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
