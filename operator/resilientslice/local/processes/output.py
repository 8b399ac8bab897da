"""The last of what a command writes, however much that is and whether or not it is text."""

import asyncio
import contextlib
import os

READ_BYTES = 64 * 1024


class Output:
    """A pipe that is emptied all the time, so that its writer never waits. Keeps the last `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = b""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)

    def tail(self) -> bytes:
        """All that was written until now, down to the limit."""
        self._read()
        return self._kept

    def close(self) -> None:
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        os.close(self.writer)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._kept = (self._kept + os.read(self._reader, READ_BYTES))[-self._limit :]
