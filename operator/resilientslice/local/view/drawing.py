"""Draws a scene for a terminal. Colour only underlines what the words say, so it reads the same without.

What others said (services, Envoy, tenants, files) comes through `visible`, so that colours here are only ours.
"""

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resilientslice.local.processes.report import Event, Severity
from resilientslice.local.view.scene import Scene, TrackRow
from resilientslice.render.names import Track
from resilientslice.text import visible, visible_lines

EVENTS_SHOWN = 8
TENANTS_SHOWN = 5
TENANT_CHARACTERS = 64
REFRESH_SECONDS = 0.25


def draw(scene: Scene) -> RenderableType:
    """The whole view."""
    parts: list[RenderableType] = [_headline(scene), _table(scene)]
    parts += [_stores(scene)] if scene.stores else []
    parts += [_limited(scene)] if scene.limited else []
    parts += [_warning("edit refused, the last good one runs on", scene.rejected)] if scene.rejected else []
    parts += [_warning("trouble", scene.trouble)] if scene.trouble else []
    parts += [Text()] + [_event(event) for event in list(scene.events)[-EVENTS_SHOWN:]]
    parts += [Text()] + [Text(f"  {visible(hint)}", style="dim") for hint in scene.hints]
    return Group(*parts)


def _headline(scene: Scene) -> Text:
    style = {"Ready": "bold green", "Degraded": "bold red", "Stalled": "bold red"}.get(scene.phase, "bold yellow")
    text = Text.assemble(
        (visible(scene.slice), "bold"), "  ", (scene.phase, style), "  ", (scene.front_url, "underline")
    )
    if scene.canary:
        text.append(f"  {visible(scene.canary)}")
    if scene.message:
        text.append(f"\n{visible_lines(scene.message)}")
    return text


def _table(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("SERVICE", no_wrap=True)
    for name in ("TRACK", "READY", "VERSION", "WEIGHT", "2XX", "4XX", "5XX", "REQ/S", "EJECTED"):
        right = name not in ("TRACK", "VERSION", "EJECTED")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("STATE", overflow="fold")
    for row in scene.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: TrackRow) -> list[Text]:
    answers = row.answers
    whole = row.ready == row.desired
    state = visible(row.problem) or ("ok" if whole else "starting")
    if row.restarts:
        state = f"{state} (restarts: {row.restarts})"
    return [
        Text(visible(row.service)),
        Text(row.track.value, style="" if row.track is Track.STABLE else "cyan"),
        Text(f"{row.ready}/{row.desired}", style="" if whole else "yellow"),
        Text(visible(",".join(row.versions))),
        Text("-" if row.weight is None else f"{row.weight}%"),
        Text(str(answers.ok)),
        Text(str(answers.client_error), style="yellow" if answers.client_error else ""),
        Text(str(answers.server_error), style="red" if answers.server_error else ""),
        Text(f"{row.rate:.0f}"),
        Text(visible(",".join(row.ejected)) or "-", style="red" if row.ejected else ""),
        Text(state, style="red" if row.problem else ""),
    ]


def _stores(scene: Scene) -> Text:
    return Text("stores: " + ", ".join(f"{name} {'ready' if ready else 'not ready'}" for name, ready in scene.stores))


def _limited(scene: Scene) -> Text:
    shown = ", ".join(
        f"{visible(tenant, TENANT_CHARACTERS)} {count}x" for tenant, count in list(scene.limited)[:TENANTS_SHOWN]
    )
    more = len(scene.limited) - TENANTS_SHOWN
    return Text(f"tenants over their limit (429): {shown}" + (f", {more} more" if more > 0 else ""), style="yellow")


def _warning(title: str, text: str) -> Text:
    return Text(f"! {title}: {visible_lines(text)}", style="red")


def _event(event: Event) -> Text:
    mark = "!" if event.severity is Severity.WARNING else " "
    first = visible(event.message.partition("\n")[0])
    style = "yellow" if event.severity is Severity.WARNING else "dim"
    return Text(
        f"{mark} {event.at.astimezone():%H:%M:%S} {visible(event.reason)}: {first}", style=style, overflow="ellipsis"
    )


def plain_line(event: Event) -> str:
    """One event as a line of a log: time, severity, reason, message with its further lines indented."""
    message = visible_lines(event.message).replace("\n", "\n    ")
    return f"{event.at:%Y-%m-%dT%H:%M:%SZ} {event.severity.value.upper()} {visible(event.reason)} {message}"


def live(console: Console) -> Live:
    """The place on the terminal that is redrawn by `update(draw(scene))`."""
    return Live(console=console, auto_refresh=False, transient=False, vertical_overflow="ellipsis")
