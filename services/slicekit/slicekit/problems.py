"""Errors as callers see them: `application/problem+json` (RFC 9457), with a detail that says what to do."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the name of RFC 9457
    """Raise it anywhere in a handler; the middleware turns it into the answer.

    `retry_after` is in whole seconds; `extra` becomes members of the document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.extra = extra
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


class StoreUnavailableError(Problem):
    """A store (PostgreSQL, Redis) did not answer in time. Callers get a 503; the reason is for the log only."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(503, f"{store} is not available; try again", retry_after=1)
        self.store = store
        self.reason = reason


def problem_body(problem: Problem, *, trace_id: str | None = None) -> bytes:
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        **({"trace_id": trace_id} if trace_id else {}),
        **problem.extra,
    }
    return json.dumps(document).encode()


def problem_response(problem: Problem, *, trace_id: str | None = None) -> web.Response:
    return web.Response(
        status=problem.status,
        body=problem_body(problem, trace_id=trace_id),
        content_type=CONTENT_TYPE,
        headers=problem.headers,
    )


def from_http_exception(exc: web.HTTPException) -> Problem | None:
    """aiohttp's own plain answers (404, 405 …) as a problem; None for redirects and what a handler worded itself."""
    if exc.status < 400 or exc.text != f"{exc.status}: {exc.reason}":
        return None
    headers = {
        name: value for name, value in exc.headers.items() if name.lower() not in {"content-type", "content-length"}
    }
    return Problem(exc.status, _DETAILS.get(exc.status, exc.reason or title_of(exc.status)), headers=headers)


async def answer_or_problem(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For what has no context: probes and the admin port."""
    try:
        return await handler(request)
    except Problem as exc:
        return problem_response(exc)
    except web.HTTPException as exc:
        problem = from_http_exception(exc)
        if problem is None:
            raise
        return problem_response(problem)


def title_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


_DETAILS = {
    404: "there is nothing at this path",
    405: "this path does not take this method; see the Allow header",
    413: "the body is larger than this service accepts",
}
