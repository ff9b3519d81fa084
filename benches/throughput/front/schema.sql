CREATE TABLE stock (
    sku text PRIMARY KEY,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    version bigint NOT NULL
);
-- What each idempotency key was answered; no version: refused.
CREATE TABLE record (
    key text PRIMARY KEY,
    sku text NOT NULL,
    quantity bigint NOT NULL,
    on_hand bigint,
    version bigint,
    event_id bigint,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    sku text NOT NULL,
    delta bigint NOT NULL,
    on_hand bigint NOT NULL,
    version bigint NOT NULL,
    key text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
