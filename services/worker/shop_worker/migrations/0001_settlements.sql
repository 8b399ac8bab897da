CREATE TABLE settlements (
    order_id text PRIMARY KEY,
    tenant text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    settled_by text NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now()
);
