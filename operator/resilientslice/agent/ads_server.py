"""The gRPC edge: aggregated discovery on a unix socket. Translates messages and decides nothing.

The service's method is registered by name, which spares the generated stubs and what they import.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import structlog
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Closed, Opened
from resilientslice.agent.ads_stream import Send
from resilientslice.agent.installer import Installer
from resilientslice.agent.resources import TYPES_BY_URL

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_MESSAGE_LIMIT = 64 * 1024 * 1024
_STOP_GRACE_SECONDS = 0.5
_log = structlog.get_logger("resilientslice.agent")


class AdsServer:
    """Serves one installer's configuration to any number of Envoys."""

    def __init__(self, installer: Installer, socket: Path) -> None:
        self._installer = installer
        self._ids = itertools.count(1)
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", -1)]
        )
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )
        methods = {"StreamAggregatedResources": handler}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        self._server.add_insecure_port(f"unix:{socket}")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(_STOP_GRACE_SECONDS)

    async def _stream(self, requests: AsyncIterator[Any], context: Any) -> None:
        stream = next(self._ids)
        _log.info("Envoy connected", stream=stream)
        self._installer.dispatch(Opened(stream))
        writer = asyncio.create_task(self._write(stream, context))
        writer.add_done_callback(_written)
        try:
            async for message in requests:
                self._receive(stream, message)
        finally:
            # gRPC may cancel this task at any await, also after the last request: so there is none here
            writer.cancel()
            self._installer.dispatch(Closed(stream))
            self._installer.forget(stream)
            _log.info("Envoy disconnected", stream=stream)

    def _receive(self, stream: int, message: Any) -> None:
        kind = TYPES_BY_URL.get(message.type_url)
        if kind is None:
            _log.warning("Envoy asks for a type that isn't served", type_url=message.type_url, stream=stream)
            return
        self._installer.dispatch(
            Request(
                stream=stream,
                kind=kind,
                names=frozenset(message.resource_names),
                version=message.version_info,
                nonce=message.response_nonce,
                error=message.error_detail.message if message.HasField("error_detail") else None,
            )
        )

    async def _write(self, stream: int, context: Any) -> None:
        queue = self._installer.queue(stream)
        while True:
            await context.write(_response(await queue.get()))


def _written(writer: asyncio.Task[None]) -> None:
    """A stream that breaks is the end of its writer; its reader tells the state."""
    error = None if writer.cancelled() else writer.exception()
    if error is not None:
        _log.info("a stream can't be written on any more", error=str(error))


def _response(send: Send) -> Any:
    resources = [any_pb2.Any(type_url=send.kind.url, value=resource.encoded) for resource in send.resources]
    return discovery_pb2.DiscoveryResponse(
        version_info=send.version, nonce=send.nonce, type_url=send.kind.url, resources=resources
    )
