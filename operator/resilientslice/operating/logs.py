"""One way out for all logs, ours and libraries': a line for each on standard error, with the slice it is about."""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog
from structlog.typing import Processor

from resilientslice.text import visible_lines

Format = Literal["json", "text"]

# Without the values of variables: they would be most of the line, and among them are keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)
_NOISY = {
    "kopf": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure_logs(level: str, format_: Format) -> None:
    """`level` as Python names it. Libraries say what is worse than information, unless `level` is DEBUG."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(format_)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else least)


def _ending(format_: Format) -> list[Processor]:
    if format_ == "text":
        return [_made_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [
        _TRACEBACKS,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=str),
    ]


def _made_visible(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For a terminal: among the values is what agents, Envoy and the API server said. JSON escapes it by itself."""
    return {key: visible_lines(value) if isinstance(value, str) else value for key, value in event.items()}


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Whatever is logged inside, also by libraries, carries these fields."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield
