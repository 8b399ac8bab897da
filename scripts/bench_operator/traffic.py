"""Traffic beside a stage or a cluster while weights change, and what both saw of each other."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from scripts.bench_operator.changes import Answers, Change, Measured, Weigher, measured
from scripts.bench_operator.sizes import Sizes
from scripts.build_apiserver import built

from resilientslice.render.names import FRONT_PORT
from testkit.operator_process import Command, rslice_operator
from testkit.processes import piped
from testkit.stage import Stage, stage

FRONT_HOST = "127.0.0.1"


@asynccontextmanager
async def live_canary(sizes: Sizes, command: Command = rslice_operator) -> AsyncIterator[Stage]:
    """A stage whose real slice has a live canary. The API server is built first, where it isn't in the cache."""
    async with stage(built(), command=command) as at:
        await at.bring_up(sizes.proxies)
        yield at


async def change_weights(at: Stage, sizes: Sizes) -> tuple[Measured, Answers, list[Change]]:
    """Weights back and forth under traffic to the front of the real slice."""
    with load(FRONT_HOST, FRONT_PORT, rate=sizes.rate, folder=at.folder, mark="track=canary") as out:
        changes = await Weigher(at.editor).back_and_forth(sizes.changes, progress)
    answers = Answers.read(out)
    return measured(changes, answers, at.editor.statuses), answers, changes


def progress(done: int) -> None:
    if done % 50 == 0:
        print(f"    {done} changes", flush=True)


@contextmanager
def load(host: str, port: int, *, rate: float, folder: Path, mark: str) -> Iterator[Path]:
    """Traffic while the block runs; yields the file where its answers are afterwards."""
    out = folder / "answers.txt"
    where = ["--host", host, "--port", str(port), "--rate", str(rate)]
    with piped(["scripts.bench_operator.load", *where, "--mark", mark, "--out", str(out)]):
        yield out
