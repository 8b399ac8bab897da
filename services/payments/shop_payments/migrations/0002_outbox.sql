-- What has to be announced because a payment happened: written with the payment, or not at all. A row stays until the
-- one who announces it has seen it arrive.
CREATE TABLE outbox (
    payment_id uuid PRIMARY KEY REFERENCES payments (payment_id),
    memo text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at);
