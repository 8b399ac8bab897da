"""What api promises: its requests, answers and problems. Routes, validation and documents are made of it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slicekit.context import IDEMPOTENCY_KEY
from slicekit.contracts import WHOLE, Answer, Contract, Link, Operation, Parameter

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{1,31}$"), Field(examples=["MUG-01"])]


class ItemBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1000), WHOLE]


class OrderBody(BaseModel):
    """`POST /orders`."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=50)]


class OrderLine(BaseModel):
    sku: str
    quantity: int
    price_cents: int


class OrderDocument(BaseModel):
    order_id: str
    status: Literal["pending", "paid", "settled"]
    items: list[OrderLine]
    total_cents: int
    currency: str


class Product(BaseModel):
    sku: str
    name: str
    price_cents: int
    currency: str


class Products(BaseModel):
    products: list[Product]


KEY = Parameter(
    "header",
    IDEMPOTENCY_KEY,
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")],
    "Makes a repeat harmless; without one, every POST is a new order.",
    f"{IDEMPOTENCY_KEY} must be 1 to 255 visible ASCII characters",
    required=False,
)
ORDER_ID = Parameter(
    "path",
    "order_id",
    Annotated[str, StringConstraints(pattern=r"^ord_[0-9a-f]{32}$")],
    "As `POST /orders` answered it.",
    "there is no such order",
    status=404,
)
SKU = Parameter(
    "path",
    "sku",
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")],
    "2 to 32 of A-Z, 0-9 and -; catalog refuses what is none.",
    "there is no such product",
    status=404,
)
_STALE = {
    "X-Stale": "`true` if the answer is from catalog's cache alone, because its database could not be asked.",
    "Age": "With X-Stale: how many seconds old it may be.",
}
_BEHIND = {502: "A service behind this one failed.", 504: "A service behind this one did not answer in time."}

CONTRACT = Contract(
    "api",
    "Takes orders: priced by catalog, charged through payments, queued for the worker.",
    (
        Operation(
            name="placeOrder",
            method="POST",
            path="/orders",
            text="Place an order.",
            parameters=(KEY,),
            body=OrderBody,
            answers={
                201: Answer(
                    "The order, paid and queued.",
                    OrderDocument,
                    {"Location": "Where to read it.", "Idempotent-Replayed": "`true` if it had been placed before."},
                )
            },
            problems=_BEHIND
            | {
                409: "The Idempotency-Key was used for another order.",
                422: "The body breaks the rules (`errors` names each field), or names products that don't exist.",
            },
            links=(Link("getOrder", {"order_id": "$response.body#/order_id"}),),
        ),
        Operation(
            name="getOrder",
            method="GET",
            path="/orders/{order_id}",
            text="Read an order of this tenant.",
            parameters=(ORDER_ID,),
            answers={200: Answer("The order.", OrderDocument)},
        ),
        Operation(
            name="listProducts",
            method="GET",
            path="/products",
            text="What there is to buy.",
            answers={200: Answer("The products.", Products, _STALE)},
            problems=_BEHIND,
        ),
        Operation(
            name="getProduct",
            method="GET",
            path="/products/{sku}",
            text="One product.",
            parameters=(SKU,),
            answers={200: Answer("The product.", Product, _STALE)},
            problems=_BEHIND,
        ),
    ),
)
