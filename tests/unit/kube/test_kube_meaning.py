"""What the API server's answers mean: its own words, as kube-apiserver 1.30 to 1.35 say them."""

import pytest

from resilientslice.applying.refusals import SAY_SECONDS, Failing, refusal_of
from resilientslice.kube.errors import (
    AdmissionDeniedError,
    ConflictError,
    KubeError,
    NotFoundError,
    UnreachableError,
    error_of,
)
from resilientslice.kube.meaning import meaning_of
from resilientslice.planning.observed import TroubleKind

CANNOT = 'User "you" cannot do this: is forbidden: exceeded quota: no'
POLICY = "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
WEBHOOK = 'Internal error occurred: failed calling webhook "w.example.org": failed to call webhook: '


def answered(status, message, reason="", **details):
    return error_of("apply Deployment shop/api", status, {"message": message, "reason": reason, "details": details})


def invalid(said):
    return answered(422, "invalid", "Invalid", causes=[{"reason": "FieldValueInvalid", "message": said, "field": "f"}])


@pytest.mark.parametrize(
    ("error", "reason", "lasts"),
    [
        (
            answered(403, 'deployments.apps "a" is forbidden: User "o" cannot patch resource "d"', "Forbidden"),
            "Forbidden",
            True,
        ),
        (
            answered(403, 'deployments.apps is forbidden: User "a\\"b" cannot list resource', "Forbidden"),
            "Forbidden",
            True,
        ),
        (
            answered(403, 'services "a/status" is forbidden: User "o" cannot patch resource "services/status"'),
            "Forbidden",
            True,
        ),
        (
            answered(
                403, 'secrets "a" is forbidden: cannot set an ownerRef on a resource you can\'t delete: , <nil>', ""
            ),
            "Forbidden",
            True,
        ),
        (answered(403, 'pods "a" is forbidden: exceeded quota: q, requested: pods=1'), "QuotaExceeded", True),
        (answered(403, 'pods "a" is forbidden: failed quota: q: must specify limits.cpu'), "QuotaExceeded", True),
        (answered(403, 'pods "a" is forbidden: status unknown for quota: q'), "Refused", True),
        (
            answered(403, 'pods "a" is forbidden: [maximum cpu usage per Container is 1, but limit is 2]'),
            "LimitRange",
            True,
        ),
        (
            answered(403, 'persistentvolumeclaims "a" is forbidden: maximum storage usage per PersistentVolumeClaim'),
            "LimitRange",
            True,
        ),
        (
            answered(403, 'pods "a" is forbidden: violates PodSecurity "restricted:latest": x'),
            "PodSecurity",
            True,
        ),
        (
            answered(
                403,
                'pods "a" is forbidden: unable to create new content in namespace n because it is being terminated',
            ),
            "NamespaceTerminating",
            True,
        ),
        (answered(422, f'deployments.apps "a" {POLICY}{CANNOT}', "Invalid"), "Refused", True),
        (answered(401, f'deployments.apps "a" {POLICY}{CANNOT}', "Unauthorized"), "Refused", True),
        (answered(403, f'admission webhook "w" denied the request: {CANNOT}', "Forbidden"), "Refused", True),
        (answered(404, 'admission webhook "w" denied the request without explanation', "NotFound"), "Refused", True),
        (answered(409, f'admission webhook "w" denied the request: {CANNOT}', "Conflict"), "Refused", True),
        (answered(429, f'admission webhook "w" denied the request: {CANNOT}'), "Refused", True),
        (answered(403, f"something else: {CANNOT}"), "Refused", True),
        (invalid('Invalid value: {"a":"b"}: field is immutable'), "Immutable", True),
        (invalid('Invalid value: "10.0.0.1": may not change once set'), "Immutable", True),
        (
            invalid("Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"),
            "Immutable",
            True,
        ),
        (invalid("Invalid value: 99999: must be between 1 and 65535, inclusive"), "Refused", True),
        (answered(413, "Request entity too large: limit is 3145728", "RequestEntityTooLarge"), "ObjectTooLarge", True),
        (
            answered(500, "failed to create typed patch object (n/a): .spec.x: field not"),
            "Refused",
            True,
        ),
        (answered(500, "etcdserver: request is too large"), "ObjectTooLarge", True),
        (answered(404, "the server could not find the requested resource"), "KindNotInstalled", True),
        (answered(404, 'namespaces "n" not found', "NotFound", name="n", kind="namespaces"), "WriteFailed", False),
        (answered(500, f"{WEBHOOK}Post https://10.0.0.1:443: context deadline exceeded"), "WebhookFailed", False),
        (answered(500, "Internal error occurred: etcd leader changed", "InternalError"), "WriteFailed", False),
        (answered(504, "Timeout: request did not complete", "Timeout"), "RequestTimedOut", False),
        (UnreachableError("apply", message="no answer in time"), "RequestTimedOut", False),
        (answered(429, "slow down", "TooManyRequests"), "TooManyRequests", False),
        (answered(401, "Unauthorized", "Unauthorized"), "Unauthorized", False),
        (answered(409, "the object has been modified", "Conflict"), "Conflict", False),
    ],
    ids=str,
)
def test_each_answer_has_its_reason(error, reason, lasts):
    found = meaning_of(error)
    assert (found.reason, found.lasts) == (reason, lasts)
    assert found.advice


@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (409, ConflictError), (500, UnreachableError)])
def test_what_a_webhook_denies_is_no_other_error(status, kind):
    found = answered(status, 'admission webhook "w" denied the request: no')
    assert isinstance(found, AdmissionDeniedError)
    assert not isinstance(found, kind)


def failing(*errors, before=None, at=0.0):
    return (before or Failing()).after(errors, "shop", at)


def test_what_passes_is_said_when_it_lasts_and_what_is_refused_at_once():
    passing, refused = answered(500, "out of order"), answered(403, 'x "a" is forbidden: exceeded quota: q')
    first = failing(passing, at=10.0)
    assert first.troubles(10.0 + SAY_SECONDS - 0.1) == ()
    (said,) = first.troubles(10.0 + SAY_SECONDS)
    assert said.kind is TroubleKind.FAILING
    assert said.message.startswith("Deployment api: ")
    assert said.message.endswith(": out of order")
    assert [t.reason for t in failing(refused).troubles(0.0)] == ["QuotaExceeded"]
    assert failing(passing, before=first, at=99.0).since == 10.0
    assert failing(before=first, at=99.0) == Failing()


@pytest.mark.parametrize(
    ("first", "then", "same"),
    [
        (answered(500, "request 17 failed"), answered(500, "request 18 failed"), True),
        (answered(500, "at 10.0.0.1:8443 since 12:01:03Z"), answered(500, "at 10.9.0.1:843 since 13:01Z"), True),
        (answered(500, f"{WEBHOOK}connection refused"), answered(500, f"{WEBHOOK}context deadline exceeded"), True),
        (answered(500, f"{WEBHOOK}refused"), UnreachableError("apply Deployment shop/api", message="no answer"), True),
        (
            UnreachableError("apply Deployment shop/api", message="no answer in time"),
            UnreachableError("apply Deployment shop/api", message="Cannot connect to host"),
            True,
        ),
        (UnreachableError("apply Deployment shop/api", message="x"), answered(500, f"{WEBHOOK}refused"), False),
        (answered(500, f"{WEBHOOK}refused"), answered(500, WEBHOOK.replace("w.", "v.")), False),
        (answered(500, "out of order"), answered(500, "out of disk"), False),
        (answered(500, "out of order"), answered(429, "out of order"), False),
    ],
    ids=str,
)
def test_the_words_stay_until_something_else_fails(first, then, same):
    before = failing(first)
    assert (failing(then, before=before).of == before.of) is same


def test_words_of_a_refusal_stay_as_well():
    first = refusal_of(("Deployment", "api"), "d", answered(403, 'admission webhook "w" denied the request: 17'), 0.0)
    again = answered(403, 'admission webhook "w" denied the request: 18')
    assert refusal_of(("Deployment", "api"), "d", again, 30.0, first).trouble == first.trouble
    assert refusal_of(("Deployment", "api"), "d", KubeError("x", status=500), 0.0) is None
