"""What a service promises, said once: the same declaration validates a request, routes it and documents it.

A contract is data. `openapi.py` renders it, `routes.py` binds its operations to handlers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from slicekit.problems import Problem


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""For integers of a body: JSON and its schemas know no difference between 1 and 1.0. Comes last in `Annotated`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value beside the body. `kind` is a type of pydantic's; a list is a query parameter that may be repeated.

    A value that isn't of `kind` is refused with `status` and `refusal`.
    """

    where: Literal["path", "query", "header"]
    name: str
    kind: Any
    text: str
    refusal: str
    status: int = 400
    required: bool = True
    _adapter: TypeAdapter[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", TypeAdapter(self.kind))

    def read(self, request: web.Request) -> Any:
        """The value; None, or an empty list, where it is absent and may be. Problem `status` otherwise."""
        found = self._find(request)
        many = isinstance(found, list) and self.where == "query"
        if not found and not self.required:
            return [] if many else None
        try:
            # Of text a number or an enum may be made; a list is not text, and its items are.
            return self._adapter.validate_python(found) if many else self._adapter.validate_strings(found)
        except ValidationError as exc:
            raise Problem(self.status, self.refusal) from exc

    def _find(self, request: web.Request) -> Any:
        match self.where:
            case "path":
                return request.match_info[self.name]
            case "query":
                return list(dict.fromkeys(request.query.getall(self.name, [])))
        values = request.headers.getall(self.name, [])
        if len(values) > 1:
            raise Problem(400, f"{self.name} is given more than once")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered when all is well. `headers` are names with what they say."""

    text: str
    model: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Link:
    """Another operation that an answer leads to; its parameters as runtime expressions of OpenAPI."""

    operation: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `problems` are the statuses of `application/problem+json` beyond those that the body,
    the parameters and slicekit itself bring."""

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    text: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    """Of the first answer."""
    plain: bool = False
    """A probe: no tenant, no limit, no faults."""


@dataclass(frozen=True, slots=True)
class Contract:
    """`operations` of the service itself; slicekit adds its own to the document."""

    title: str
    text: str
    operations: tuple[Operation, ...]


class ProblemDocument(BaseModel):
    """RFC 9457. More members may follow."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str
    title: str
    status: int
    detail: str
    trace_id: str | None = None


class Alive(BaseModel):
    ok: bool


class CheckFinding(BaseModel):
    ok: bool
    required: bool
    reason: str


class ReadyReport(BaseModel):
    ready: bool
    phase: Literal["starting", "serving", "draining"]
    checks: dict[str, CheckFinding]


class OpenApiDocument(BaseModel):
    """This document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


PROBES = (
    Operation(
        name="healthz",
        method="GET",
        path="/healthz",
        text="Whether the process is alive.",
        answers={200: Answer("It is.", Alive)},
        plain=True,
    ),
    Operation(
        name="readyz",
        method="GET",
        path="/readyz",
        text="Whether the service wants traffic, with a reason for each check.",
        answers={200: Answer("It does.", ReadyReport), 503: Answer("It does not.", ReadyReport)},
        plain=True,
    ),
    Operation(
        name="metrics",
        method="GET",
        path="/metrics",
        text="The metrics of Prometheus.",
        answers={200: Answer("In the text format.", media="text/plain")},
        plain=True,
    ),
)
DOCUMENT = Operation(
    name="openapi",
    method="GET",
    path="/openapi.json",
    text="This document.",
    answers={200: Answer("OpenAPI 3.1.", OpenApiDocument)},
)
