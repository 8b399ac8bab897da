CREATE TABLE payments (
    tenant text NOT NULL,
    idempotency_key text NOT NULL,
    payment_id uuid NOT NULL UNIQUE,
    order_id text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, idempotency_key),
    -- an order is paid once, whatever keys are used for it
    UNIQUE (tenant, order_id)
);

-- double entry: the amounts of a payment add up to zero
CREATE TABLE ledger (
    payment_id uuid NOT NULL REFERENCES payments (payment_id),
    account text NOT NULL CHECK (account IN ('customer', 'shop')),
    amount_cents bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, account)
);
