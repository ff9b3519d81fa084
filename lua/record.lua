#!lua
-- record: counts what became of a parcel, for its service on its lane and for its carrier, and appends the event that says so. Once
-- for a key: a repeat counts nothing, and is told what is known now.
--
-- KEYS[1] deliveries  hash    name -> deliveries (include/deliveries.lua)
-- KEYS[2] names       zset    these names, all at 0, so that they are in order
-- KEYS[3] records     hash    "<client> <key>" -> "<fingerprint> <event>"
-- KEYS[4] recorded    zset    these by when they were made, ms
-- KEYS[5] events      stream  the audit trail
--
-- ARGV[1]  now, ms        "" for the Redis clock
-- ARGV[2]  half-life, ms  in which a weight is halved, 1 and up
-- ARGV[3]  retention, ms  of records, 1 and up
-- ARGV[4]  events         the audit trail keeps, or a few more; 1 and up
-- ARGV[5]  record         "<client> <key>"
-- ARGV[6]  fingerprint    of the request; no space
-- ARGV[7]  lane           its name among the deliveries
-- ARGV[8]  carrier        its name there
-- ARGV[9]  outcome        on_time, late or failed
-- ARGV[10] days           from dispatch to the door, 0 and up; of no meaning when it failed
-- ARGV[11] client
-- ARGV[12] order
-- ARGV[13] actor
-- ARGV[14] payload        bytes of the event
--
-- Returns recorded <event> <lane> <carrier>  counted; deliveries of both as they are now
--         replayed <event> <lane> <carrier>  counted before, by that event; weights as they are now, updated when the last was counted
--         conflict <fingerprint>             the key is that of another request
--         broken <what>                      what is stored there does not parse; nothing was changed
-- Emits   delivery, into the audit trail, whose oldest entries go
-- Cost    O(log names + 100 log records)
local deliveries_key, names_key, records_key, recorded_key, events_key = unpack(KEYS)
local given_now, half_life_ms, retention_ms, events_max, record, fingerprint, lane_name, carrier_name, outcome, days, client, order,
  actor, payload = unpack(ARGV)
-- end of bindings

-- Each call makes one record and removes so many, so that old ones never pile up.
local REMOVED_MAX = 100

local now = server.now_ms(given_now)
half_life_ms, retention_ms = tonumber(half_life_ms), tonumber(retention_ms)
local kept = server.call('HGET', records_key, record)
local texts = server.call('HMGET', deliveries_key, lane_name, carrier_name)
local too_old_ms = '(' .. digits.of(now - retention_ms)
local too_old = server.call('ZRANGE', recorded_key, '-inf', too_old_ms, 'BYSCORE', 'LIMIT', 0, REMOVED_MAX)
server.call('ZCARD', names_key)
server.call('XLEN', events_key)

local known_fingerprint, known_event = string.match(kept or '', '^(%S+) (%d+%-%d+)$')
if kept and not known_event then return { 'broken', record } end
if kept and known_fingerprint ~= fingerprint then return { 'conflict', known_fingerprint } end

local lane, carrier = deliveries.read(texts[1]), deliveries.read(texts[2])
if not lane then return { 'broken', lane_name } end
if not carrier then return { 'broken', carrier_name } end
for _, one in ipairs({ lane, carrier }) do deliveries.fade(one, now, half_life_ms) end
if kept then return { 'replayed', known_event, deliveries.write(lane), deliveries.write(carrier) } end
for _, one in ipairs({ lane, carrier }) do deliveries.count(one, now, outcome, tonumber(days)) end
local lane_text, carrier_text = deliveries.write(lane), deliveries.write(carrier)

local event = redis.call('XADD', events_key, 'MAXLEN', '~', events_max, '*',
  'kind', 'delivery', 'client', client, 'order', order, 'actor', actor, 'payload', payload)
redis.call('HSET', deliveries_key, lane_name, lane_text, carrier_name, carrier_text)
if not (texts[1] and texts[2]) then redis.call('ZADD', names_key, 0, lane_name, 0, carrier_name) end
if #too_old > 0 then
  redis.call('HDEL', records_key, unpack(too_old))
  redis.call('ZREM', recorded_key, unpack(too_old))
end
redis.call('HSET', records_key, record, fingerprint .. ' ' .. event)
redis.call('ZADD', recorded_key, now, record)
return { 'recorded', event, lane_text, carrier_text }
