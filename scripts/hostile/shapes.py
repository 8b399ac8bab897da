"""Requests that no well-meaning client sends, as bytes, each with the statuses that are a fair answer to it.

Pure data, used by the run of 100,000 (`__main__.py`), and by the tests, against a service and through Envoy.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

REFUSED = frozenset({400, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 426, 431, 501, 505})
"""A refusal in the words of HTTP. 501 and 505 are about methods, codings and versions, and Envoy's parser's."""
FINE = REFUSED | {200, 201, 307}
"""Where the request is only odd, and may be served."""
SECRET = "smuggled"
"""Only ever in the path of a request that is hidden in another one."""

_ORDER = {"items": [{"sku": "MUG-01", "quantity": 1}]}
_INJECTIONS = (
    "'; DROP TABLE payments; --",
    '" OR 1=1 --',
    "$(reboot)",
    "{{7*7}}",
    "%0d%0aSet-Cookie: x=1",
    '{"level": "error", "event": "forged"}',
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "<script>alert(1)</script>",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """`raw` is a whole exchange of one connection; `most` is how many requests it may count as."""

    name: str
    raw: bytes
    fair: frozenset[int] = REFUSED
    most: int = 1


def request(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A well-formed request around whatever is in it; a Content-Length unless the caller's headers say one."""
    fields = {"Host": "shop"} | dict(headers or {})
    if body and not {"content-length", "transfer-encoding"} & {name.lower() for name in fields}:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def bodies(target: str, good: object = None, **headers: str) -> Iterator[Shape]:
    """Bodies for a POST of JSON. `good` is one that would be taken."""
    document = json.dumps(_ORDER if good is None else good).encode()
    kind = {"Content-Type": "application/json", "Idempotency-Key": "k-hostile"} | headers

    def post(name: str, body: bytes, fair: frozenset[int] = REFUSED, **more: str) -> Shape:
        fields = {key: value for key, value in (kind | more).items() if value}
        return Shape(f"body: {name}", request("POST", target, fields, body), fair)

    yield post("NaN", b'{"items": NaN, "amount_cents": NaN}')
    yield post("Infinity", b'{"items": [{"sku": "MUG-01", "quantity": -Infinity}]}')
    yield post("nested lists", b"[" * 30_000)
    yield post("nested and closed", b"[" * 20_000 + b"]" * 20_000)
    yield post("nested objects", b'{"a":' * 10_000)
    yield post("key twice", document[:-1] + b"," + document[1:])
    yield post("huge integer", b'{"items": [{"sku": "MUG-01", "quantity": ' + b"9" * 50_000 + b"}]}")
    yield post("huge exponent", b'{"items": [{"sku": "MUG-01", "quantity": 1e999999999}]}')
    yield post("negative quantity", b'{"items": [{"sku": "MUG-01", "quantity": -1}]}')
    yield post("zero quantity", b'{"items": [{"sku": "MUG-01", "quantity": 0}]}')
    yield post("quantity beyond", b'{"items": [{"sku": "MUG-01", "quantity": 1001}]}')
    yield post("fraction", b'{"items": [{"sku": "MUG-01", "quantity": 1.5}]}')
    yield post("quantity in words", b'{"items": [{"sku": "MUG-01", "quantity": "1"}]}')
    yield post("true for a number", b'{"items": [{"sku": "MUG-01", "quantity": true}]}')
    yield post("unknown sku", b'{"items": [{"sku": "NO-SUCH-THING", "quantity": 1}]}')
    yield post("a thousand items", json.dumps({"items": _ORDER["items"] * 1000}).encode())
    yield post("unknown field", b'{"items": [], "__proto__": {"admin": true}}')
    yield from encodings(post, document)


def encodings(post: Callable[..., Shape], document: bytes) -> Iterator[Shape]:
    """Bodies that are no JSON of ours for what they are made of, or said to be."""
    yield post("not UTF-8", b'{"items": "\xff\xfe"}')
    yield post("UTF-16", document.decode().encode("utf-16"))
    yield post("byte order mark", b"\xef\xbb\xbf" + document)
    yield post("lone surrogate", b'{"items": [{"sku": "\\ud800", "quantity": 1}]}')
    yield post("null character", b'{"items": [{"sku": "A\\u0000B", "quantity": 1}]}')
    yield post("truncated", document[:-3])
    yield post("two documents", document + document)
    yield post("empty", b"")
    yield post("only space", b" " * 60_000)
    yield post("a list", b"[]")
    yield post("null", b"null")
    yield post("oversized", b'{"items": "' + b"x" * 100_000 + b'"}')
    yield post("text/plain", document, **{"Content-Type": "text/plain"})
    yield post("no content type", document, **{"Content-Type": ""})
    yield post("form", b"items=1", **{"Content-Type": "application/x-www-form-urlencoded"})
    yield post("other charset", document, **{"Content-Type": "application/json; charset=utf-7"})
    yield post("bomb", gzip.compress(b" " * 30_000_000), **{"Content-Encoding": "gzip"})
    yield post("unknown coding", document, **{"Content-Encoding": "aws-chunked"})
    for number, text in enumerate(_INJECTIONS):
        yield post(f"injection {number}", json.dumps({"items": [{"sku": text, "quantity": 1}], text: text}).encode())


def lengths(target: str) -> Iterator[Shape]:
    """Lengths that are wrong, absent, or said twice. Those that promise more than they send end with the connection."""
    kind = {"Content-Type": "application/json", "Idempotency-Key": "k-hostile"}
    for value in ("-1", "1e3", "0x10", "+5", "5 5", "5,5", "99999999999999999999999", "five", "1_0"):
        yield Shape(f"length: {value}", request("POST", target, kind | {"Content-Length": value}, b"[]"))
    yield Shape("length: huge", request("POST", target, kind | {"Content-Length": "99999999999"}, b"[]"))
    yield Shape("length: absent", request("POST", target, kind))
    yield Shape(
        "length: expected", request("POST", target, kind | {"Content-Length": "999999", "Expect": "100-continue"})
    )
    yield Shape("expect: nonsense", request("GET", target, {"Expect": "miracles"}))


def heads(target: str) -> Iterator[Shape]:
    """Methods, targets, versions and headers."""
    for method in ("PATCH", "TRACE", "PROPFIND", "OPTIONS", "DELETE"):
        yield Shape(f"method: {method}", request(method, target))
    for method in ("BREW", "get", "G\x00T", "GE T", "A" * 300, "\x16\x03\x01"):
        yield Shape(f"method: {method[:8]!r}", request(method, target))
    yield Shape("method: CONNECT", request("CONNECT", "shop:443"))
    yield Shape("method: OPTIONS *", request("OPTIONS", "*"))
    odd = (
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc",
        "//products//..//x",
        "/products%2fMUG-01",
        "/\\..\\x",
        "/%00",
        "/%zz",
    )
    for path in (
        *odd,
        "/products/%0d%0aX-Evil:%201",
        "/products/%F0%9F%92%A9",
        "/products/" + "%c3" * 50,
        "/;jsessionid=1",
    ):
        yield Shape(f"target: {path[:40]}", request("GET", path), FINE)
    for text in _INJECTIONS:
        path = "/products/" + text.replace(" ", "%20").replace('"', "%22")
        yield Shape(f"target: {path[:40]}", request("GET", path), FINE)
    yield Shape("target: absolute", request("GET", f"http://evil.example{target}"), FINE)
    yield Shape("target: other scheme", request("GET", "file:///etc/passwd"), FINE)
    yield Shape("target: too long", request("GET", "/" + "a" * 9000), FINE)
    yield Shape("target: with a space", request("GET", "/a b"))
    yield Shape("target: raw bytes", b"GET /\xff\xfe HTTP/1.1\r\nHost: shop\r\n\r\n", FINE)
    yield Shape(
        "target: many parameters", request("GET", "/products?" + "&".join(f"sku=A{n}" for n in range(200))), FINE
    )
    for version in ("HTTP/0.9", "HTTP/3.7", "HTTX/1.1", "HTTP/1.", ""):
        yield Shape(f"version: {version}", f"GET {target} {version}\r\nHost: shop\r\n\r\n".encode(), FINE)
    yield Shape("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield Shape("noise", bytes(range(256)) * 4)
    yield Shape("header: too many", request("GET", target, {f"X-{n}": "1" for n in range(200)}))
    yield Shape("header: too long", request("GET", target, {"X-Long": "x" * 40_000}))
    yield Shape("header: large together", request("GET", target, {f"X-{n}": "x" * 7000 for n in range(30)}))
    yield Shape("header: no colon", f"GET {target} HTTP/1.1\r\nHost: shop\r\nnonsense\r\n\r\n".encode())
    yield Shape("header: space before colon", f"GET {target} HTTP/1.1\r\nHost: shop\r\nX-A : 1\r\n\r\n".encode())
    yield Shape("header: folded", f"GET {target} HTTP/1.1\r\nHost: shop\r\nX-A: 1\r\n  2\r\n\r\n".encode())
    yield Shape("header: null", f"GET {target} HTTP/1.1\r\nHost: shop\r\nX-A: a\x00b\r\n\r\n".encode())
    yield Shape("header: upgrade", request("GET", target, {"Connection": "Upgrade", "Upgrade": "h2c"}), FINE)
    yield Shape("header: websocket", request("GET", target, {"Connection": "Upgrade", "Upgrade": "websocket"}), FINE)


def tenants(target: str, header: str = "X-Tenant") -> Iterator[Shape]:
    def named(name: str, value: bytes, fair: frozenset[int] = REFUSED) -> Shape:
        head = f"GET {target} HTTP/1.1\r\nHost: shop\r\n{header}: ".encode()
        return Shape(f"tenant: {name}", head + value + b"\r\n\r\n", fair)

    yield named("10 KB", b"t" * 10_240)
    yield named("129 characters", b"t" * 129)
    yield named("control characters", b"a\x0bb\x1b[31m")
    yield named("bare return", b"gold\rX-Evil: 1")
    yield named("not UTF-8", b"\xff\xfe\xfd")
    yield named("Unicode", "Größe-💩".encode(), FINE)
    yield named("right to left", "gold\u202egnp".encode())
    yield named("repeated", f"gold\r\n{header}: bob".encode(), FINE)
    for number, text in enumerate(_INJECTIONS):
        yield named(f"injection {number}", text.encode(), FINE)


def smuggling(target: str) -> Iterator[Shape]:
    """A second request hidden where two readers may disagree about where the first one ends."""
    hidden = f"GET /{SECRET} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()
    head = f"POST {target} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"

    def post(name: str, fields: str, body: bytes, fair: frozenset[int] = REFUSED) -> Shape:
        return Shape(f"smuggling: {name}", head.encode() + fields.encode("latin-1") + b"\r\n\r\n" + body, fair)

    ended = b"0\r\n\r\n" + hidden
    length = f"Content-Length: {len(ended)}\r\n"
    yield post("length and chunked", length + "Transfer-Encoding: chunked", ended)
    yield post("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 4", b"2\r\n{}\r\n" + ended)
    for coding in (
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "cHuNkEd, gzip",
        "\x0bchunked",
    ):
        yield post(f"coding {coding!r}", f"{length}Transfer-Encoding: {coding}", ended)
    yield post("space before the colon", f"{length}Transfer-Encoding : chunked", ended)
    yield post("folded coding", f"{length}Transfer-Encoding:\r\n chunked", ended)
    yield post("coding twice", f"{length}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", ended)
    yield post("two lengths", f"Content-Length: 2\r\nContent-Length: {2 + len(hidden)}", b"{}" + hidden)
    yield post("same length twice", "Content-Length: 2\r\nContent-Length: 2", b"{}", FINE)
    yield post("bare line feed", "Content-Length: 2\nX-A: 1", b"{}", FINE)
    yield post("bare return", f"Content-Length: 2\rContent-Length: {2 + len(hidden)}", b"{}" + hidden)
    yield post("bad chunk size", "Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n")
    yield post("negative chunk", "Transfer-Encoding: chunked", b"-1\r\n" + hidden)
    yield post("huge chunk size", "Transfer-Encoding: chunked", b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n")
    yield post("chunk ends early", "Transfer-Encoding: chunked", b"2\r\n{}XX0\r\n\r\n" + hidden)
    yield post("chunk ends in line feed", "Transfer-Encoding: chunked", b"2\n{}\n0\n\n")
    yield post("chunk extension", "Transfer-Encoding: chunked", b"2;a=" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n", FINE)
    yield post("extension with line feed", "Transfer-Encoding: chunked", b"2;\n{}\r\n0\r\n\r\n" + hidden)
    yield post(
        "trailers", "Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nHost: evil\r\n\r\n", FINE
    )
    yield Shape("smuggling: no host", f"GET {target} HTTP/1.1\r\n\r\n".encode(), FINE)
    yield Shape("smuggling: two hosts", f"GET {target} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".encode())
    yield Shape("smuggling: GET with a body", request("GET", target, {}, hidden), FINE)
    yield Shape("smuggling: line feeds only", f"GET {target} HTTP/1.1\nHost: shop\n\n".encode(), FINE)


def every_shape(*, get: str, post: str) -> tuple[Shape, ...]:
    """All of them, for a service that answers `GET get` and takes JSON at `POST post`."""
    return (*bodies(post), *lengths(post), *heads(get), *tenants(get), *smuggling(post))
