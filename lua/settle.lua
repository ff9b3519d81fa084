#!lua
-- settle: writes down what a channel answered, item by item. Safe to repeat: an answer counts only while its lease is held.
-- A confirmed version never goes back. What moved on meanwhile stays due, its lag counted from the oldest change left.
--
-- KEYS[1] due    zset  SKU by when it is to be told, ms
-- KEYS[2] lease  zset  SKU by the end of its lease, ms
-- KEYS[3] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[4] work   hash  SKU -> "<attempts> <token or -> <version claimed> <changed since, ms or 0> <last error>"
-- KEYS[5] sync   hash  SKU -> "<version> <quantity> <confirmed, ms>"
-- KEYS[6] stock  hash  SKU -> level (include/level.lua)
--
-- ARGV[1]  now, ms  "" for the Redis clock
-- ARGV[2]  token    of the lease
-- ARGV[3]  items    how many, 1 to 1,000; then each: sku, outcome (applied or failed), version, quantity, delay ms,
--                   burn (1: an attempt is used up), error
--
-- Returns settled <answer>…, one text per item:
--   confirmed <lag ms> <versions>  the channel shows the newest; versions confirmed by this one call
--   moved <lag ms> <versions>      it was confirmed, and has changed since: due again
--   parked <due ms>                it failed and waits for its next attempt
--   lost                           the lease is no longer ours: nothing was written
-- Emits   nothing
-- Cost    O(items × log due)
local due_key, lease_key, dirty_key, work_key, sync_key, stock_key = unpack(KEYS)
local argv = ARGV
-- end of bindings

local at = 0
local function take()
  at = at + 1
  return argv[at]
end

local given = take()
local now = tonumber(given)
if given == '' then
  local time = redis.call('TIME')
  local micros = tonumber(time[2])
  now = tonumber(time[1]) * 1000 + (micros - micros % 1000) / 1000
end
local token = take()
local items, skus = {}, {}
for index = 1, tonumber(take()) do
  items[index] = {
    sku = take(), outcome = take(), version = tonumber(take()), quantity = take(), delay_ms = tonumber(take()),
    burn = tonumber(take()), error = take(),
  }
  skus[index] = items[index].sku
end

reads.expect('ZCARD', due_key, lease_key, dirty_key)
reads.expect('HLEN', work_key, sync_key, stock_key)
local work, sync = redis.call('HMGET', work_key, unpack(skus)), redis.call('HMGET', sync_key, unpack(skus))
local levels, dirty = redis.call('HMGET', stock_key, unpack(skus)), redis.call('ZMSCORE', dirty_key, unpack(skus))

local due_add, dirty_set, work_set, sync_set, done, released = {}, {}, {}, {}, {}, {}

local function park(item, attempts, due_ms, last_error)
  due_add[#due_add + 1] = due_ms
  due_add[#due_add + 1] = item.sku
  work_set[#work_set + 1] = item.sku
  work_set[#work_set + 1] = attempts .. ' - 0 0 ' .. last_error
end

local function confirm(item, index, since)
  local before = tonumber(string.match(sync[index] or '', '^(%d+) ')) or 0
  if item.version >= before then
    sync_set[#sync_set + 1] = item.sku
    sync_set[#sync_set + 1] = item.version .. ' ' .. item.quantity .. ' ' .. now
  end
  local told = ' ' .. math.max(now - (tonumber(dirty[index]) or now), 0) .. ' ' .. math.max(item.version - before, 0)
  local version, updated = string.match(levels[index] or '', '^%-?%d+ %d+ (%d+) (%d+) ')
  if since == 0 and (not version or tonumber(version) <= item.version) then
    done[#done + 1] = item.sku
    return 'confirmed' .. told
  end
  park(item, 0, now, '')
  dirty_set[#dirty_set + 1] = since > 0 and since or tonumber(updated)
  dirty_set[#dirty_set + 1] = item.sku
  return 'moved' .. told
end

local reply = { 'settled' }
for index, item in ipairs(items) do
  local attempts, holder, since = string.match(work[index] or '', '^(%d+) (%S+) %d+ (%d+) ')
  if holder ~= token then
    reply[#reply + 1] = 'lost'
  else
    released[#released + 1] = item.sku
    if item.outcome == 'applied' then
      reply[#reply + 1] = confirm(item, index, tonumber(since))
    else
      park(item, tonumber(attempts) + item.burn, now + item.delay_ms, item.error)
      reply[#reply + 1] = 'parked ' .. now + item.delay_ms
    end
  end
end

if #sync_set > 0 then redis.call('HSET', sync_key, unpack(sync_set)) end
if #due_add > 0 then redis.call('ZADD', due_key, unpack(due_add)) end
if #work_set > 0 then redis.call('HSET', work_key, unpack(work_set)) end
if #dirty_set > 0 then redis.call('ZADD', dirty_key, unpack(dirty_set)) end
if #done > 0 then
  redis.call('ZREM', dirty_key, unpack(done))
  redis.call('HDEL', work_key, unpack(done))
end
if #released > 0 then redis.call('ZREM', lease_key, unpack(released)) end
return reply
