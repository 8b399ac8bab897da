"""`rslice demo`: every claim the project makes, measured with real traffic on this machine."""

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilientslice.commands.terminal import on_interrupts, say
from resilientslice.demo.report import Result, all_hold, write_report
from resilientslice.demo.runner import run_claims, set_stage
from resilientslice.demo.stage import Stage
from resilientslice.local.errors import LocalError
from resilientslice.local.runtime import LocalRuntime
from resilientslice.text import visible_lines

INTERRUPTED = 130
"""Exit code, as a shell gives it for Ctrl-C."""

EPILOG = """\b
Examples:
  rslice demo                     prove the claims, print a table, stop everything
  rslice demo --keep              the same, then stay up to be played with
  rslice demo --keep --no-claims  only start it
"""


@click.command(epilog=EPILOG)
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=Path("samples/shop.yaml"),
    show_default=True,
    help="The sample shop. Claims are about its services; its procfile lies beside it.",
)
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C, and print what to try.")
@click.option("--claims/--no-claims", default=True, help="Measure the claims.", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the front; 0 takes a free one.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    show_default=True,
    help="Where the demo works and writes report.json.",
)
def command(file: Path, keep: bool, claims: bool, port: int, folder: Path) -> None:
    """Start the sample shop for real, drive traffic through Envoy, and measure each claim.

    Needs no root, no Docker and no cluster. The sample is copied; your files are not touched. Exits with 1 if a claim
    does not hold, with 2 if the shop cannot be started.
    """
    try:
        code = asyncio.run(_main(file, keep=keep, claims=claims, port=port, folder=folder))
    except LocalError as error:
        say(f"error: {error}", err=True)
        code = 2
    except asyncio.CancelledError:
        code = INTERRUPTED
    sys.exit(code)


async def _main(file: Path, *, keep: bool, claims: bool, port: int, folder: Path) -> int:
    click.echo(f"starting {file}: PostgreSQL, a Redis-compatible server, Envoy with its agent, and the services …")
    loop = asyncio.get_running_loop()
    started = loop.time()
    interrupts = _Interrupts(asyncio.current_task())
    async with set_stage(file, folder, port=port, watch=keep, runs=interrupts.runtimes.append) as stage:
        click.echo(f"ready after {loop.time() - started:.1f} s at {stage.runtime.front_url}")
        results = await run_claims(stage, say=say) if claims else []
        if claims:
            report = folder / "report.json"
            write_report(results, report)
            _print_table(results)
            click.echo(f"{loop.time() - started:.0f} s in all; figures in {report}")
        if keep:
            interrupts.staying = True
            await _stay(stage, interrupts.stopped)
    return 0 if not claims or all_hold(results) else 1


class _Interrupts:
    """The first one ends the demo in order, whatever it is doing; the next ones at once."""

    def __init__(self, task: "asyncio.Task[int] | None") -> None:
        self.runtimes: list[LocalRuntime] = []
        self.staying = False
        self.stopped = asyncio.Event()
        self._task = task
        on_interrupts(self._first, self._next)

    def _first(self) -> None:
        self.stopped.set()
        if not self.staying and self._task is not None:
            self._task.cancel()

    def _next(self) -> None:
        for runtime in self.runtimes:
            runtime.kill()


def _print_table(results: list[Result]) -> None:
    table = Table(title="What was measured", show_lines=True)
    for header in ("verdict", "claim", "measured", "bar"):
        table.add_column(header, overflow="fold")
    for result in results:
        cells = (result.verdict.upper(), result.claim, result.measured, result.bar)
        table.add_row(*(Text(visible_lines(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


async def _stay(stage: Stage, stopped: asyncio.Event) -> None:
    front, file = stage.runtime.front_url, stage.file
    click.echo(
        f"""
The shop stays up at {front} until Ctrl-C. Try, in another terminal:

  curl -s {front}/products -H 'X-Tenant: gold'
  curl -s {front}/orders -H 'X-Tenant: gold' -H 'Idempotency-Key: mine' \\
       -H 'Content-Type: application/json' -d '{{"items":[{{"sku":"tea","quantity":1}}]}}'
  for i in $(seq 60); do curl -s -o /dev/null -w '%{{http_code}} ' {front}/products -H 'X-Tenant: noisy'; done
  $EDITOR {file}                  # a new image tag, then canary.weight 30, then 100
  tail -f {stage.runtime.access_log}
"""
    )
    await stopped.wait()
    click.echo("stopping …")
