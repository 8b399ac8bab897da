"""`rslice run`: a slice on this machine, from the same plan as the operator's."""

import asyncio
import contextlib
import sys
from pathlib import Path

import click
from rich.console import Console

from resilientslice.commands.terminal import on_interrupts, say
from resilientslice.files import SliceFileError
from resilientslice.local.errors import LocalError
from resilientslice.local.runtime import LOG_FILE, LocalRuntime
from resilientslice.local.settings import DEFAULT_PORT, RunSettings
from resilientslice.local.view.drawing import REFRESH_SECONDS, draw, live, plain_line

EPILOG = """\b
Examples:
  rslice run -f samples/shop.yaml                  live view; edit the file, Ctrl-C to stop
  rslice run -f samples/shop.yaml --port 0         take any free port
  rslice run -f samples/shop.yaml --plain          timestamped lines instead of the view
  rslice run -f samples/shop.yaml --until-ready    start, wait until all is ready, stop: a check

\b
Files beside shop.yaml:
  shop.procfile   NAME: COMMAND, or NAME@TAG: COMMAND for one image tag
                  `python` is the interpreter of rslice; words are split, no shell is used
                  services without a line run their own `command` and `args`
  shop.env        VARIABLE=value, or OBJECT/KEY=value: what Secrets and ConfigMaps hold in a cluster,
                  such as the URLs of external stores; variables of the shell come after it
  .rslice/shop/   state: data of the stores, credentials, logs/, status.json

\b
Each replica gets PORT, HOST, ADMIN_PORT, POD_NAME and what the resource says; of the shell only PATH, HOME,
LANG and the like. A change of an image makes a revision with a canary (with spec.canary), a change of
spec.canary.weight moves traffic, 100 promotes. A wrong edit is refused, and what ran continues.

\b
Exit codes: 0 stopped, 1 an internal error, 2 could not start or (--until-ready) did not become ready.
"""


@click.command(epilog=EPILOG)
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="The resource.")
@click.option("--procfile", type=click.Path(path_type=Path), help="Commands of the services.  [FILE's .procfile]")
@click.option("--env-file", type=click.Path(path_type=Path), help="Values of Secrets and ConfigMaps.  [FILE's .env]")
@click.option("--state", type=click.Path(path_type=Path), help="State folder.  [.rslice/NAME beside FILE]")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port; 0: any.")
@click.option("--plain", is_flag=True, help="Timestamped lines, also on a terminal.")
@click.option("--until-ready", is_flag=True, help="Stop as soon as everything is ready.")
@click.option(
    "--ready-timeout", type=click.IntRange(1), default=120, show_default=True, help="Seconds for --until-ready."
)
def command(
    *,
    file: Path,
    procfile: Path | None,
    env_file: Path | None,
    state: Path | None,
    port: int,
    plain: bool,
    until_ready: bool,
    ready_timeout: int,
) -> None:
    """Run a slice on this machine: stores, services and Envoy as processes on loopback.

    The files are followed: an edit is applied while everything else continues.
    """
    settings = RunSettings(file=file, procfile=procfile, env_file=env_file, state=state, port=port)
    view = not plain and not until_ready and sys.stdout.isatty()
    try:
        asyncio.run(_run(settings, view=view, ready_within=ready_timeout if until_ready else None))
    except (LocalError, SliceFileError) as error:
        for line in str(error).split("\n"):
            say(f"error: {line}" if not line.startswith(" ") else line, err=True)
        sys.exit(2)
    except Exception as error:  # everything that was started has been ended on the way here
        say(f"error: internal error: {error!r}; its traceback is in logs/{LOG_FILE} of the state folder", err=True)
        sys.exit(1)


async def _run(settings: RunSettings, *, view: bool, ready_within: float | None) -> None:
    runtime, stop = LocalRuntime(settings), asyncio.Event()
    _listen_to_signals(runtime, stop)
    if not view:
        runtime.journal.listeners.append(lambda event: _print(plain_line(event), stop))
    with contextlib.suppress(asyncio.CancelledError):
        async with runtime:
            _print(f"{settings.file}: {runtime.front_url} (state and logs: {runtime.state})", stop)
            if ready_within is not None:
                await _until_ready(runtime, ready_within, stop)
            elif view:
                await _watch(runtime, stop)
            else:
                await stop.wait()
            _print("stopping: services drain, then Envoy, then the stores (Ctrl-C again: at once)", stop)


def _listen_to_signals(runtime: LocalRuntime, stop: asyncio.Event) -> None:
    """The first one stops in order, the next ones at once."""
    task = asyncio.current_task()

    def first() -> None:
        stop.set()
        if not runtime.entered and task is not None:
            task.cancel()

    on_interrupts(first, runtime.kill)


async def _watch(runtime: LocalRuntime, stop: asyncio.Event) -> None:
    with live(Console()) as screen:
        while not stop.is_set():
            screen.update(draw(runtime.scene()), refresh=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await stop.wait()


async def _until_ready(runtime: LocalRuntime, seconds: float, stop: asyncio.Event) -> None:
    settled, stopped = asyncio.ensure_future(runtime.settled(seconds)), asyncio.ensure_future(stop.wait())
    await asyncio.wait((settled, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if settled.done():
        settled.result()
        _print(f"ready: {runtime.front_url}", stop)
    settled.cancel()


def _print(line: str, stop: asyncio.Event) -> None:
    """A closed output ends the runtime."""
    try:
        say(line)
    except OSError:
        stop.set()
