-- Sells $3 units of $2 under key $1, once: the key, the count and the event, in one statement and so in one transaction.
--
-- Two calls with one key at the same time: the second waits for the row, then breaks the primary key of `record`, which
-- undoes all of it; sent again, it finds the answer of the first. A row that changed while it was waited for is looked at
-- again (READ COMMITTED), so nothing is sold that is not there.
WITH before AS (
    SELECT sku, quantity, on_hand, version, event_id FROM record WHERE key = $1::text
), sold AS (
    UPDATE stock SET on_hand = on_hand - $3::bigint, version = version + 1
    WHERE sku = $2::text AND on_hand >= $3::bigint AND NOT EXISTS (SELECT FROM before)
    RETURNING on_hand, version
), event AS (
    INSERT INTO outbox (sku, delta, on_hand, version, key)
    SELECT $2::text, -$3::bigint, on_hand, version, $1::text FROM sold
    RETURNING id, on_hand, version
), now AS (
    -- Without an event it is a refusal, and remembered as one.
    INSERT INTO record (key, sku, quantity, on_hand, version, event_id)
    SELECT $1::text, $2::text, $3::bigint, event.on_hand, event.version, event.id
    FROM (SELECT) AS one LEFT JOIN event ON true
    WHERE NOT EXISTS (SELECT FROM before)
    RETURNING sku, quantity, on_hand, version, event_id
)
SELECT sku, quantity, on_hand, version, event_id, false AS replayed FROM now
UNION ALL
SELECT sku, quantity, on_hand, version, event_id, true FROM before
