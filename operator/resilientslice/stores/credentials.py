"""Passwords of the stores: drawn once, made and never changed, and, like the volumes, left behind with the slice.

A Secret is only ever asked for by its name. Credentials that exist are used, whatever made them: the volume
of a slice that was deleted can only be opened with them. For the same reason a volume without them is an error that
nobody but a person can resolve: new ones would look right, and no service could log in.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.api.slice import DeletionPolicy, ResilientSlice
from resilientslice.applying.expected import owned
from resilientslice.applying.refusals import Collected, refusal_of, steady
from resilientslice.kube.children import MANAGER
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, KubeError
from resilientslice.kube.kinds import SECRET, VOLUME_CLAIM, Kind, Object
from resilientslice.planning.observed import Trouble, TroubleKind
from resilientslice.render.names import store_name
from resilientslice.render.store_settings import managed_stores
from resilientslice.render.stores.credentials import render_credentials
from resilientslice.render.stores.kept import protection
from resilientslice.render.stores.workload import CREDENTIALS, claim_name
from resilientslice.stores.provisioned import Provisioned

LOOK_SECONDS = 50.0
"""Until it is looked whether a Secret is still there: within a minute, whatever else continues."""
PASSWORD_BYTES = 24
_KEYS = {
    StoreName.POSTGRES: ("password", "superuser-password", "url"),
    StoreName.REDIS: ("password", "auth.conf", "url"),
}


@dataclass(frozen=True, slots=True)
class Credentials:
    client: KubeClient

    async def ensure(
        self,
        slice_: ResilientSlice,
        known: Provisioned,
        now: float,
        *,
        failed: list[KubeError],
        before: Collection[Trouble] = (),
        running: Collection[StoreName] = (),
    ) -> tuple[Trouble, ...]:
        """Make what is missing. Troubles are terminal: the stores they are about must not be started, nor those of
        which something failed that may pass by itself, which is added to `failed`. `before`: troubles of the last
        pass. `running`: stores that have ready pods."""
        with Collected(failed):
            await self._look_again(slice_, known, now)
        found: list[Trouble] = []
        policy = slice_.spec.deletion_policy
        for store in managed_stores(slice_):
            name = store_name(slice_.name, store)
            if known.credentials.get(name) is policy:
                continue
            trouble, whole = None, None
            with Collected(failed):
                trouble, whole = await self._tried(slice_, store, known, now, runs=store in running)
            if whole is None:
                known.credentials.pop(name, None)
            elif trouble is None:
                # a volume comes to be after its store was started, and is nobody's: only Delete has to wait for it
                known.credentials[name] = policy if whole or policy is DeletionPolicy.RETAIN else None
            else:
                known.credentials.pop(name, None)
                found.append(steady(before, trouble))
        return tuple(found)

    async def _look_again(self, slice_: ResilientSlice, known: Provisioned, now: float) -> None:
        """Whether Secrets that were there still are, and unchanged: nobody tells, they are not watched. What is in them
        isn't read for that."""
        if known.secrets_due is None:
            known.secrets_due = now + LOOK_SECONDS * _share(slice_.metadata.uid)
        if known.secrets_due > now:
            return
        known.secrets_due = now + LOOK_SECONDS
        for store in managed_stores(slice_):
            name = store_name(slice_.name, store)
            if name in known.credentials:
                there = await self.client.find_metadata(SECRET, slice_.namespace, name)
                if there is None or there["metadata"]["resourceVersion"] != known.secrets.get(name):
                    del known.credentials[name]

    async def _tried(
        self, slice_: ResilientSlice, store: StoreName, known: Provisioned, now: float, *, runs: bool
    ) -> tuple[Trouble | None, bool]:
        """As `_ensure`; what the API server refuses stands in the way of this store and of nothing else."""
        try:
            return await self._ensure(slice_, store, known, runs=runs)
        except KubeError as error:
            refusal = refusal_of((SECRET.kind, store_name(slice_.name, store)), "", error, now)
            if refusal is None:
                raise
            return refusal.trouble, False

    async def _ensure(
        self, slice_: ResilientSlice, store: StoreName, known: Provisioned, *, runs: bool
    ) -> tuple[Trouble | None, bool]:
        """What stands in the way, and whether the volume is there, too."""
        name, volume_name = store_name(slice_.name, store), claim_name(slice_.name, store)
        secret = await self.client.find(SECRET, slice_.namespace, name)
        volume = await self.client.find(VOLUME_CLAIM, slice_.namespace, volume_name)
        if secret is None and runs:
            return _refused(Reason.CREDENTIALS_MISSING, _still_runs(slice_, store, name)), volume is not None
        if secret is None and volume is not None:
            trouble = _refused(Reason.CREDENTIALS_MISSING, _without_credentials(slice_, store, name, volume_name))
            return trouble, True
        if secret is not None:
            missing = [key for key in _KEYS[store] if key not in (secret.get("data") or {})]
            if missing:
                return _refused(Reason.CREDENTIALS_INVALID, _damaged(slice_, name, missing)), volume is not None
        else:
            secret = await self._create(slice_, store)
        known.secrets[name] = await self._kept(slice_, store, secret)
        if volume is not None:
            await self._follow_policy(slice_, VOLUME_CLAIM, volume)
        return None, volume is not None

    async def _create(self, slice_: ResilientSlice, store: StoreName) -> Object:
        """Create, never apply: someone who was quicker keeps what he made. Without an owner: one that is applied
        afterwards can be taken back the same way."""
        made = render_credentials(
            slice_,
            store,
            password=secrets.token_urlsafe(PASSWORD_BYTES),
            superuser_password=secrets.token_urlsafe(PASSWORD_BYTES),
        )
        try:
            return await self.client.create(made)
        except AlreadyExistsError:
            return await self.client.get(SECRET, slice_.namespace, made["metadata"]["name"])

    async def _kept(self, slice_: ResilientSlice, store: StoreName, present: Object) -> str:
        """Owned as the policy says, and kept from tools that remove what they don't know; its resource version then."""
        present = await self._follow_policy(slice_, SECRET, present)
        change = protection(slice_, store, present)
        if change is not None:
            name = present["metadata"]["name"]
            present = await self.client.merge(SECRET, slice_.namespace, name, change, manager=MANAGER)
        return str(present["metadata"]["resourceVersion"])

    async def _follow_policy(self, slice_: ResilientSlice, kind: Kind, present: Object) -> Object:
        """Under Delete they go with the slice, under Retain they have no owner."""
        uids = {owner.get("uid") for owner in present["metadata"].get("ownerReferences") or ()}
        delete = slice_.spec.deletion_policy is DeletionPolicy.DELETE
        if delete == (slice_.metadata.uid in uids):
            return present
        metadata = {key: present["metadata"][key] for key in ("name", "namespace", "uid")}
        only = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        return await self.client.apply(owned(slice_, only) if delete else only, manager=MANAGER, force=True)


def _without_credentials(slice_: ResilientSlice, store: StoreName, name: str, volume: str) -> str:
    return (
        f"PersistentVolumeClaim {volume} holds data of {store}, but Secret {name}, which opens it, is gone. Restore "
        f"the Secret in namespace {slice_.namespace}, or delete the PersistentVolumeClaim and with it the data. "
        f"{store} is not started before that."
    )


def _still_runs(slice_: ResilientSlice, store: StoreName, name: str) -> str:
    """Its pod keeps the files of a Secret that is gone; its next pod would not start."""
    return (
        f"Secret {name} in namespace {slice_.namespace} is gone. {store} still runs; its next pod will not start, and "
        f"neither will services that need the Secret. Make it again now: pod {name}-0 has its keys as files in "
        f"{CREDENTIALS} ({', '.join(_KEYS[store])}). {store} is not changed before that."
    )


def _share(uid: str) -> float:
    """From 0 to 1, of a slice's own: not all of them ask at the same time."""
    return int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=2).digest()) / 2**16


def _damaged(slice_: ResilientSlice, name: str, missing: list[str]) -> str:
    return (
        f"Secret {name} in namespace {slice_.namespace} lacks {', '.join(missing)}. Restore it; it is not made anew, "
        "because the store's data can only be opened with it."
    )


def _refused(reason: Reason, message: str) -> Trouble:
    return Trouble(TroubleKind.REFUSED, reason, message)
