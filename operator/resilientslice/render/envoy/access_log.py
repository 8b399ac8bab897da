"""One line of JSON for each request, with what is needed to say where it went and why it ended as it did."""

from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.headers import TRACK_HEADER, canary_header, tenant_header
from resilientslice.render.envoy.scalars import METADATA, extension

_FIELDS = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):2048%",
    "protocol": "%PROTOCOL%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "upstream_ms": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:ms)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "route": "%ROUTE_NAME%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_track": f"%UPSTREAM_METADATA({METADATA}:track)%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "traceparent": "%REQ(TRACEPARENT):64%",
    "request_id": "%REQ(X-REQUEST-ID):64%",
    "user_agent": "%REQ(USER-AGENT):256%",
}


def render_access_log(slice_: ResilientSlice, listener: str, path: str) -> list[dict[str, Any]]:
    """Numbers stay numbers, and what is absent is null. Standard output gets its own logger, since a container's
    `/dev/stdout` cannot always be opened by its user."""
    fields = _FIELDS | {
        "listener": listener,
        "tenant": f"%REQ({tenant_header(slice_)}):64%",
        "track": f"%REQ({TRACK_HEADER}):16%",
        "canary_header": f"%REQ({canary_header(slice_).name}):64%",
    }
    log_format = {"json_format": fields}
    if path == "/dev/stdout":
        message = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
        return [extension("envoy.access_loggers.stdout", message, log_format=log_format)]
    message = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return [extension("envoy.access_loggers.file", message, path=path, log_format=log_format)]
