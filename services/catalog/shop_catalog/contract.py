"""What catalog promises: its requests, answers and problems. Routes, validation and documents are made of it."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from slicekit.contracts import Answer, Contract, Operation, Parameter

MOST_SKUS = 50
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{1,31}$")]
_NO_SKU = "a sku is 2 to 32 of A-Z, 0-9 and -, and does not begin with -"


class ProductDocument(BaseModel):
    sku: str
    name: str
    price_cents: int
    currency: str


class Listing(BaseModel):
    products: list[ProductDocument]


SKU = Parameter("path", "sku", Sku, "The product.", _NO_SKU)
SKUS = Parameter(
    "query",
    "sku",
    Annotated[list[Sku], Field(max_length=MOST_SKUS)],
    "Only these; one that doesn't exist is left out. Absent: all products.",
    f"ask for at most {MOST_SKUS} skus at once; {_NO_SKU}",
    required=False,
)
_STALE = {
    "X-Stale": "`true` if the answer is from the cache alone, because PostgreSQL could not be asked.",
    "Age": "With X-Stale: how many seconds old it may be.",
}

CONTRACT = Contract(
    "catalog",
    "What there is to buy, at what price.",
    (
        Operation(
            name="listProducts",
            method="GET",
            path="/products",
            text="The products, sorted by sku.",
            parameters=(SKUS,),
            answers={200: Answer("The products.", Listing, _STALE)},
        ),
        Operation(
            name="getProduct",
            method="GET",
            path="/products/{sku}",
            text="One product.",
            parameters=(SKU,),
            answers={200: Answer("The product.", ProductDocument, _STALE)},
            problems={404: "There is no such product."},
        ),
    ),
)
