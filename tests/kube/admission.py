"""What a cluster may put before every write: policies, quotas, and webhooks that deny, fail, hang or are gone."""

import asyncio
import base64
import secrets
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from resilientslice.kube.errors import KubeError
from resilientslice.kube.kinds import LEASE, Kind, Object
from resilientslice.kube.session import Session
from testkit.pass_world import World
from testkit.ports import free_port

POLICY = Kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False)
BINDING = Kind(POLICY.group, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False)
WEBHOOKS = Kind(POLICY.group, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False)
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
FAR = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _rules(kind: Kind, operations: list[str], subresource: str) -> list[Object]:
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    where = {"apiGroups": [kind.group], "apiVersions": [kind.version], "resources": [resource]}
    return [{**where, "operations": operations}]


class Admission:
    """Of one namespace. What is put up is in force when its block begins, and gone when it ends."""

    def __init__(self, world: World, session: Session) -> None:
        self._world = world
        self._session = session
        self._selector = {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}

    @asynccontextmanager
    async def policy(
        self, kind: Kind, text: str, *, operations: tuple[str, ...] = ("CREATE", "UPDATE"), subresource: str = ""
    ) -> AsyncIterator[None]:
        """Denies everything of a kind, with `text`."""
        name = f"p-{secrets.token_hex(4)}"
        rules = {"resourceRules": _rules(kind, list(operations), subresource), "namespaceSelector": self._selector}
        spec = {"matchConstraints": rules, "validations": [{"expression": "false", "message": text}]}
        bound = {"policyName": name, "validationActions": ["Deny"]}
        made = [(POLICY, spec), (BINDING, bound)]
        async with self._there(*((of, name, {"spec": spec}) for of, spec in made)):
            if subresource or "CREATE" not in operations:
                await self._in_force_by_probe(name, text)
            else:
                await self._in_force(kind, lambda error: text in error.message)
            yield
        if not subresource and "CREATE" in operations:
            await self._out_of_force(kind)

    async def _in_force_by_probe(self, name: str, text: str) -> None:
        """A policy of another operation is in force a moment after it was written: all are taken up together."""
        async with self.policy(LEASE, f"probe after {name}: {text}"):
            pass

    @asynccontextmanager
    async def quota(self, resource: str) -> AsyncIterator[None]:
        """Nothing more of a resource."""
        amounts = {"hard": {resource: "0"}, "used": {resource: "0"}}
        async with self._there((QUOTA, "none-left", {"spec": {"hard": amounts["hard"]}}), namespaced=True):
            await self._world.others.patch_status(QUOTA, self._world.namespace, "none-left", amounts, manager="quota")
            yield

    @asynccontextmanager
    async def webhook(
        self, kind: Kind, port: int, authority: bytes = b"", *, in_force: Callable[[KubeError], bool], seconds: int = 1
    ) -> AsyncIterator[str]:
        """Asks `https://127.0.0.1:PORT/` about every write of a kind; gives the webhook's name."""
        name = f"w-{secrets.token_hex(4)}.example.org"
        client = {"url": f"https://127.0.0.1:{port}/", "caBundle": base64.b64encode(authority).decode()}
        hook = {
            "name": name,
            "clientConfig": client if authority else {"url": client["url"]},
            "rules": _rules(kind, ["CREATE", "UPDATE"], ""),
            "namespaceSelector": self._selector,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": seconds,
        }
        async with self._there((WEBHOOKS, name, {"webhooks": [hook]})):
            await self._in_force(kind, in_force)
            yield name
        await self._out_of_force(kind)

    @asynccontextmanager
    async def _there(self, *objects: tuple[Kind, str, Object], namespaced: bool = False) -> AsyncIterator[None]:
        place = {"namespace": self._world.namespace} if namespaced else {}
        async with AsyncExitStack() as stack:
            for kind, name, body in objects:
                path = kind.path(place.get("namespace"))
                obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, **place}, **body}
                await self._session.request("POST", path, kind=kind, what=name, body=obj)
                stack.push_async_callback(
                    self._session.request, "DELETE", f"{path}/{name}", kind=kind, what=name, body=None
                )
            yield

    async def _in_force(self, kind: Kind, holds: Callable[[KubeError], bool]) -> None:
        async with asyncio.timeout(FAR):
            while (error := await self._probe(kind)) is None or not holds(error):
                await asyncio.sleep(0.05)

    async def _out_of_force(self, kind: Kind) -> None:
        async with asyncio.timeout(FAR):
            while await self._probe(kind) is not None:
                await asyncio.sleep(0.05)

    async def _probe(self, kind: Kind) -> KubeError | None:
        """What is said of another object of that kind. Nothing is written."""
        metadata = {"name": f"probe-{secrets.token_hex(4)}"}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        path, dry = kind.path(self._world.namespace), {"dryRun": "All"}
        try:
            await self._session.request(
                "POST", path, kind=kind, what="probe", body=body | _LEAST.get(kind.kind, {}), query=dry
            )
        except KubeError as error:
            return error
        return None


_POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
_LEAST: Mapping[str, Any] = {
    "Service": {"spec": {"ports": [{"port": 1}]}},
    "Deployment": {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": _POD}},
    "ControllerRevision": {"revision": 1, "data": {}},
}


def certificate(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """For 127.0.0.1, signed by itself."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=webhook"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert.read_bytes()


@asynccontextmanager
async def serving(context: ssl.SSLContext, handler: Handler) -> AsyncIterator[int]:
    """A webhook's server; gives its port."""
    application = web.Application()
    application.router.add_post("/", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def denying(text: str, code: int, reason: str = "") -> Handler:
    async def answer(request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        status = {"code": code, "message": text, **({"reason": reason} if reason else {})}
        response = {"uid": uid, "allowed": False, "status": status}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    return answer


async def failing(_: web.Request) -> web.Response:
    return web.Response(status=500, text="out of order")


async def hanging(_: web.Request) -> web.Response:
    await asyncio.sleep(FAR)
    return web.Response()
