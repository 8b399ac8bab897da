"""What payments promises: its requests, answers and problems. Routes, validation and documents are made of it."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slicekit.context import IDEMPOTENCY_KEY
from slicekit.contracts import WHOLE, Answer, Contract, Link, Operation, Parameter

OrderId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class PayBody(BaseModel):
    """`POST /pay`."""

    model_config = ConfigDict(extra="forbid")

    order_id: OrderId
    amount_cents: Annotated[int, Field(ge=1, le=10**12), WHOLE]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    memo: Annotated[str, StringConstraints(max_length=16_384, pattern=r"^[^\x00]*$")] | None = None
    """What the outbox hands out once the charge is committed."""


class ClaimBody(BaseModel):
    """`POST /outbox/claim`."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500), WHOLE] = 100


class DoneBody(BaseModel):
    """`POST /outbox/done`."""

    model_config = ConfigDict(extra="forbid")

    payment_ids: Annotated[list[UUID], Field(min_length=1, max_length=500)]


class PaymentDocument(BaseModel):
    payment_id: UUID
    order_id: str
    amount_cents: int
    currency: str
    created_at: str


class ClaimedPayment(BaseModel):
    payment_id: UUID
    order_id: str
    tenant: str
    amount_cents: int
    currency: str
    memo: str


class Claimed(BaseModel):
    payments: list[ClaimedPayment]


class Done(BaseModel):
    done: int


KEY = Parameter(
    "header",
    IDEMPOTENCY_KEY,
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")],
    "Makes a repeat harmless.",
    f"{IDEMPOTENCY_KEY} is required: 1 to 255 visible ASCII characters",
)
ORDER_ID = Parameter("path", "order_id", OrderId, "The order.", "there is no payment for this order", status=404)

CONTRACT = Contract(
    "payments",
    "Charges each order exactly once per tenant and idempotency key.",
    (
        Operation(
            name="pay",
            method="POST",
            path="/pay",
            text="Charge an order.",
            parameters=(KEY,),
            body=PayBody,
            answers={
                201: Answer(
                    "The payment.", PaymentDocument, {"Idempotent-Replayed": "`true` if it had been made before."}
                )
            },
            problems={409: "The key was used for another payment, or the order was paid under another key."},
            links=(Link("getPayment", {"order_id": "$request.body#/order_id"}),),
        ),
        Operation(
            name="getPayment",
            method="GET",
            path="/payments/{order_id}",
            text="The payment of an order of this tenant.",
            parameters=(ORDER_ID,),
            answers={200: Answer("The payment.", PaymentDocument)},
        ),
        Operation(
            name="claimOutbox",
            method="POST",
            path="/outbox/claim",
            text="Payments of every tenant that nobody has seen announced, handed out for a while.",
            body=ClaimBody,
            answers={200: Answer("At most `limit` of them.", Claimed)},
        ),
        Operation(
            name="finishOutbox",
            method="POST",
            path="/outbox/done",
            text="Payments that have been announced.",
            body=DoneBody,
            answers={200: Answer("How many of them were waiting.", Done)},
        ),
    ),
)
