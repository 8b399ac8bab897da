"""Every reason of a condition and of an Event, once: its word, what it means, and what to do.

Code takes reasons from here, which the type checker sees to; docs/reference/conditions.md is made from here, too.
A Reason is the reason of a condition, and of the Event that tells of it. An EventReason is of an Event alone. Which
conditions give which Reason stands in `api/conditions.py`.
"""

from enum import StrEnum
from typing import Self


class EventType(StrEnum):
    """The two types of Kubernetes' Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Described(StrEnum):
    """A word and what it stands for. `remedy` is empty where nothing is to be done."""

    meaning: str
    remedy: str

    def __new__(cls, word: str, meaning: str, remedy: str = "") -> Self:
        made = str.__new__(cls, word)
        made._value_ = word
        made.meaning = meaning
        made.remedy = remedy
        return made

    @classmethod
    def of(cls, word: str) -> Self:
        """The reason with that word. Raises ValueError for one that is not declared here."""
        return cls(word)  # type: ignore[call-arg]  # the other arguments are of a member's making


class Reason(Described):
    """Reasons of conditions."""

    @property
    def event(self) -> EventType:
        """Of the Event that a condition has turned bad."""
        return EventType.WARNING

    # Ready
    SERVING = "Serving", "Callers are served by the stable revision."
    PENDING = "Pending", "The operator has not looked at the slice yet.", "Check that the operator runs."
    PROXIES_NOT_READY = (
        "ProxiesNotReady",
        "No Envoy of the slice is ready. Only pods that Deployment SLICE-proxy has made count.",
        "Look at the pods of Deployment SLICE-proxy.",
    )
    STORE_NOT_READY = (
        "StoreNotReady",
        "A store that a stable service uses has fewer ready instances than it is to have.",
        "Look at the pods of the store.",
    )
    PODS_NOT_READY = (
        "PodsNotReady",
        "A stable service has fewer ready replicas than it is to have.",
        "Look at the pods of the service, and at their readiness probe.",
    )
    ENDPOINTS_NOT_DISCOVERED = (
        "EndpointsNotDiscovered",
        "Pods are ready that not every Envoy has discovered by DNS yet.",
        "Wait; where it lasts, check the cluster's DNS and the NetworkPolicies in its way.",
    )
    CONFIG_PENDING = (
        "ConfigPending",
        "Not every Envoy has acknowledged its configuration yet.",
        "Wait; where it lasts, the message names the pods whose agents don't answer.",
    )
    CONFIG_REJECTED = (
        "ConfigRejected",
        "An Envoy rejected the configuration; the last accepted one serves.",
        "Correct the field that Envoy's words point to.",
    )
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "A rollout made no progress within its deadline; what ran before serves.",
        "Correct what fails, or return to what ran before.",
    )
    ROLLING_OUT = "RollingOut", "A rollout is under way; callers are served meanwhile."

    # Reconciling
    UP_TO_DATE = "UpToDate", "Everything is as the spec asks."
    STALE_WEIGHT = (
        "StaleWeight",
        "The pinned weight was set for an earlier revision; the canary waits at weight 0.",
        "Set spec.canary.weight again, or remove it.",
    )
    CANARY_STARTING = "CanaryStarting", "The canary's pods start."
    CANARY_PROGRESSING = "CanaryProgressing", "The canary runs its steps, or its weight is on the way to the Envoys."
    CANARY_PROMOTING = "CanaryPromoting", "The stable track is updated to the canary's revision."
    CANARY_DRAINING = "CanaryDraining", "The canary has ended; requests under way are let finish."
    CANARY_PAUSED = "CanaryPaused", "The canary is held where it is, and its weight is on the way to the Envoys."
    PROXY_UPDATE_QUEUED = (
        "ProxyUpdateQueued",
        "A new version of the operator changes the proxies; other slices' proxies are replaced first.",
    )
    VOLUME_EXPANDING = "VolumeExpanding", "A store's volume grows."
    SUSPENDED = "Suspended", "spec.suspend is set: nothing is changed, what runs keeps running.", "Set it to false."

    # Stalled
    NOT_STALLED = "NotStalled", "Nothing waits for an edit."
    INVALID_SPEC = "InvalidSpec", "The resource breaks a rule; the last valid one serves.", "Correct the field named."
    MEMORY_UNREADABLE = (
        "MemoryUnreadable",
        "What the operator stored of the slice can't be read; nothing is changed.",
        "Follow the message: restore the object it names, or delete it.",
    )
    AGENT_KEY_INVALID = (
        "AgentKeyInvalid",
        "The Secret with the agents' key holds no usable key; nothing is changed.",
        "Restore the Secret, or delete it so that a new key is made.",
    )
    CREDENTIALS_MISSING = (
        "CredentialsMissing",
        "The Secret that opens a store's data is gone; the store is not started again without it.",
        "Restore the Secret.",
    )
    CREDENTIALS_INVALID = (
        "CredentialsInvalid",
        "The Secret of a store lacks a key that the store needs.",
        "Write the key, as the message says.",
    )
    STORAGE_CLASS_IMMUTABLE = (
        "StorageClassImmutable",
        "storageClassName differs from that of the volume, which can't be changed.",
        "Take the edit back.",
    )
    VOLUME_EXPANSION_FAILED = (
        "VolumeExpansionFailed",
        "A store's volume could not be expanded.",
        "Take the size back, or use a StorageClass that allows expansion.",
    )
    VOLUME_SHRINK_FORBIDDEN = (
        "VolumeShrinkForbidden",
        "A store's storage is set below the size of its volume.",
        "Set the size that the message names.",
    )
    FORBIDDEN = "Forbidden", "The operator lacks a right.", "Grant it: see docs/rbac.md."
    QUOTA_EXCEEDED = "QuotaExceeded", "A ResourceQuota refuses an object or a pod.", "Raise it, or ask for less."
    LIMIT_RANGE = "LimitRange", "A LimitRange refuses an object or a pod.", "Ask for resources within it."
    POD_SECURITY = "PodSecurity", "The namespace's Pod Security level refuses a pod.", "Change the slice, or the level."
    NAMESPACE_TERMINATING = "NamespaceTerminating", "The namespace is being deleted."
    REFUSED = "Refused", "The API server, or an admission policy, refuses an object.", "Follow the message."
    IMMUTABLE = "Immutable", "A field can't be changed.", "Undo the edit, or delete the object so that it is made anew."
    OBJECT_TOO_LARGE = "ObjectTooLarge", "An object is larger than the API server accepts.", "Make the slice smaller."
    KIND_NOT_INSTALLED = "KindNotInstalled", "A kind is not installed in the cluster.", "Install its CRD."

    # Reconciling: writes that fail and are tried again
    WRITE_FAILED = "WriteFailed", "The API server fails; the write is tried again."
    WEBHOOK_FAILED = (
        "WebhookFailed",
        "An admission webhook doesn't answer.",
        "Have it running, or remove its configuration.",
    )
    REQUEST_TIMED_OUT = "RequestTimedOut", "The API server doesn't answer in time; the request is tried again."
    TOO_MANY_REQUESTS = "TooManyRequests", "The API server throttles the operator; the request is tried again."
    UNAUTHORIZED = "Unauthorized", "The API server rejects the operator's credentials.", "Check its ServiceAccount."
    CONFLICT = "Conflict", "An object was changed at the same moment; the write is tried again."

    # why pods don't come up: beside Ready, Reconciling and Stalled
    IMAGE_PULL_FAILED = "ImagePullFailed", "An image can't be pulled.", "Correct its name, or give imagePullSecrets."
    CRASH_LOOP = "CrashLoopBackOff", "A container ends again and again.", "Read its log."
    CONTAINER_CONFIG = (
        "ContainerConfigError",
        "A container can't be made or started, such as for want of a Secret or ConfigMap.",
        "Create what the message names.",
    )
    POD_CREATION_FAILED = "PodCreationFailed", "A workload's pods are refused.", "Follow the message."
    VOLUME_PENDING = "VolumePending", "A volume claim has no volume.", "Check its StorageClass and provisioner."
    UNSCHEDULABLE = "Unschedulable", "No node takes a pod.", "Add nodes, or ask for less."
    PROXY_CONFIG_REJECTED = (
        "ProxyConfigRejected",
        "A new Envoy rejects the configuration that the others run; its rollout waits.",
        "Take spec.proxy.image back, or follow Envoy's words.",
    )

    # ConfigAccepted
    ACKNOWLEDGED = "Acknowledged", "Every Envoy runs the configuration that it was sent."
    INVALID_AGENT_RESPONSE = (
        "InvalidAgentResponse",
        "An agent's answer can't be understood; its Envoy counts for nothing.",
        "Replace the pod that the message names.",
    )

    # CanaryHealthy
    STARTING = "Starting", "The canary's pods start; it gets no traffic yet."
    NO_READY_HOSTS = "NoReadyHosts", "The canary lost its last ready host; stable has all traffic."
    ABORTED = (
        "Aborted",
        "The canary was aborted; stable serves.",
        "Change a service, or spec.restartedAt, to try again.",
    )
    STEPS = "Steps", "The steps decide the weight."
    STEPS_DONE = "StepsDone", "Every step has passed; the promotion follows."
    NO_STEPS = "NoSteps", "Neither steps nor a weight are set; the canary is reached by its header.", "Set one of them."
    PINNED = "Pinned", "spec.canary.weight decides the weight."
    PAUSED_BY_USER = "PausedByUser", "spec.canary.paused holds the steps."
    REVISION_NOT_STORED = "RevisionNotStored", "The wanted revision can't be stored; nothing moves by itself meanwhile."
    PROMOTE = "Promote", "spec.canary.promote names this revision."
    RETURN_TO_FORMERLY_STABLE = "ReturnToFormerlyStable", "The revision was stable before; it skips the steps."
    PLAIN_UPDATE = "PlainUpdate", "spec.canary is absent; the update is a rolling one."
    REVERTED = "Reverted", "The spec returned to the stable revision; the canary ends."
    REPLACED = "Replaced", "A newer revision is wanted; the canary ends."
    PROMOTED = "Promoted", "The canary was promoted; its own pods are no longer needed."
    IDLE = "Idle", "There is no canary."
    PROGRESSING = "Progressing", "The canary is on its way."
    PAUSED = "Paused", "The canary is held where it is."
    PROMOTING = "Promoting", "The stable track is updated to the canary's revision."
    DRAINING = "Draining", "Requests under way are let finish."

    # conflicts, and fields without effect
    OBJECT_NOT_OWNED = (
        "ObjectNotOwned",
        "An object that the slice doesn't control has a name that the slice needs; it is left alone.",
        "Delete or rename it, or rename the slice or its service.",
    )
    FIELD_MANAGER_CONFLICT = (
        "FieldManagerConflict",
        "Another field manager keeps setting a field that the slice sets.",
        "Stop the other one, and make the change in the slice.",
    )
    MULTIPLE_INSTALLATIONS = (
        "MultipleInstallations",
        "Two installations of the operator watch the namespace; one of them manages the slice.",
        "Restrict one of them to other namespaces.",
    )
    NOT_IMPLEMENTED = (
        "NotImplemented",
        "The slice sets a field that has no effect yet.",
        "Remove it, or don't rely on it.",
    )


class EventReason(Described):
    """Reasons of Events that tell of no condition, or of one that turned good."""

    @property
    def event(self) -> EventType:
        """A Warning asks for something to be done."""
        return EventType.WARNING if self.remedy else EventType.NORMAL

    READY = "Ready", "The slice has become ready."
    CONFIG_ACCEPTED = "ConfigAccepted", "Every Envoy runs the wanted configuration again."
    RESUMED = "Resumed", "What stalled the slice is resolved."
    NAME_CONFLICT_RESOLVED = "NameConflictResolved", "The name that the slice needs is free."
    FIELD_CONFLICT_RESOLVED = "FieldConflictResolved", "No other field manager sets the field any more."
    OPERATOR_CONFLICT_RESOLVED = "OperatorConflictResolved", "One installation manages the slice."
    FIELDS_TAKE_EFFECT = "FieldsTakeEffect", "Every field that the slice sets takes effect."

    CANARY_STARTED = "CanaryStarted", "A canary track is made for a new revision."
    CANARY_READY = "CanaryReady", "The canary's pods are ready; it is reached by its header, and by weight."
    CANARY_WEIGHT = "CanaryWeight", "The weight has changed."
    CANARY_STEP = "CanaryStep", "A step has passed."
    CANARY_PAUSED = "CanaryPaused", "The canary is held at its weight."
    CANARY_RESUMED = "CanaryResumed", "The canary moves again."
    STALE_WEIGHT = "StaleWeight", "The pinned weight belongs to an earlier revision.", "Set it again, or remove it."
    CANARY_UNHEALTHY = (
        "CanaryUnhealthy",
        "The canary lost its last ready host; stable has all traffic.",
        "Look at the canary's pods.",
    )
    CANARY_ABORTED = "CanaryAborted", "The canary was aborted; stable serves.", "The message names the cause."
    CANARY_CLEARED = "CanaryCleared", "The stable revision is wanted again; the abortion is cleared."
    CANARY_ENDED = "CanaryEnded", "The canary ends without a promotion."
    CANARY_REMOVED = "CanaryRemoved", "The canary is drained and removed."
    PROMOTING = "Promoting", "The stable track is updated to the canary's revision."
    PROMOTED = "Promoted", "The stable track is rolled out; traffic returns to it."
    UPDATED = "Updated", "A new revision is rolled out without a canary."

    MEMORY_LOST = "MemoryLost", "The stored state was lost and was read off what runs.", "Check who deleted it."
    STATUS_NOT_WRITTEN = "StatusNotWritten", "The status can't be written.", "Follow the message."
    MANAGED_BY_ANOTHER = (
        "ManagedByAnother",
        "Another installation of the operator manages the slice.",
        "Restrict one of them to other namespaces.",
    )
    AGENT_KEY_ROTATED = "AgentKeyRotated", "A new key of the agents was made and is being distributed."
    AGENT_KEY_ROTATION_COMPLETE = "AgentKeyRotationComplete", "Only the new key of the agents is accepted."
    AGENT_KEY_NOT_CONFIRMED = (
        "AgentKeyNotConfirmed",
        "The former key of the agents is gone, though not every Envoy has shown that it knows the new one.",
        "Wait for the nodes to bring the Secret to the pods named; where it lasts, delete these pods.",
    )
    AGENT_KEY_NOT_ROTATED = "AgentKeyNotRotated", "The agents' key could not be rotated.", "Follow the message."
