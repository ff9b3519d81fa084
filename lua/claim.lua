#!lua
-- claim: leases what is due on one channel to one worker and reads its state now, so that a retry pushes the newest number.
-- A lease that ran out is due again. Safe to repeat: what is leased is not given twice.
--
-- KEYS[1] due    zset  SKU by when it is to be told, ms
-- KEYS[2] lease  zset  SKU by the end of its lease, ms
-- KEYS[3] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[4] work   hash  SKU -> "<attempts> <token or -> <version claimed> <changed since, ms or 0> <last error>"
-- KEYS[5] stock  hash  SKU -> level (include/level.lua)
--
-- ARGV[1] now, ms    "" for the Redis clock
-- ARGV[2] token      names this lease; no space
-- ARGV[3] lease, ms  1 and up
-- ARGV[4] limit      SKUs at most, 1 to 1,000
--
-- Returns claimed <ms until there is more to do, or -1> <sku level text attempts oldest-change ms>…: a level text "" is a SKU without stock record
-- Emits   nothing
-- Cost    O(limit × log due)
local due_key, lease_key, dirty_key, work_key, stock_key = unpack(KEYS)
local given_now, token, lease_ms, limit = unpack(ARGV)
-- end of bindings

local now = server.now_ms(given_now)
limit = tonumber(limit)
server.call('ZCARD', dirty_key)
server.call('HLEN', work_key)

local skus = server.call('ZRANGE', lease_key, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
local abandoned = #skus
if abandoned < limit then
  for _, sku in ipairs(server.call('ZRANGE', due_key, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit - abandoned)) do
    skus[#skus + 1] = sku
  end
end

local reply = { 'claimed', '' }
if #skus > 0 then
  local work, levels = server.call('HMGET', work_key, unpack(skus)), server.call('HMGET', stock_key, unpack(skus))
  server.call('ZCARD', due_key)
  local dirty = server.call('ZMSCORE', dirty_key, unpack(skus))
  local lease_add, work_set, taken = {}, {}, {}
  for index, sku in ipairs(skus) do
    local attempts, last_error = string.match(work[index] or '', '^(%d+) %S+ %d+ %d+ (.*)$')
    local version = string.match(levels[index] or '', '^%-?%d+ %d+ (%d+) ') or '0'
    lease_add[#lease_add + 1] = now + tonumber(lease_ms)
    lease_add[#lease_add + 1] = sku
    work_set[#work_set + 1] = sku
    work_set[#work_set + 1] = (attempts or '0') .. ' ' .. token .. ' ' .. version .. ' 0 ' .. (last_error or '')
    if index > abandoned then taken[#taken + 1] = sku end
    reply[#reply + 1] = sku
    reply[#reply + 1] = levels[index] or ''
    reply[#reply + 1] = attempts or '0'
    reply[#reply + 1] = dirty[index] or tostring(now)
  end
  redis.call('ZADD', lease_key, unpack(lease_add))
  redis.call('HSET', work_key, unpack(work_set))
  if #taken > 0 then redis.call('ZREM', due_key, unpack(taken)) end
end

-- When there is something to do next: the first due SKU or the first lease to run out, as a worker may have died.
local next_ms
for _, key in ipairs({ due_key, lease_key }) do
  local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if score and (not next_ms or tonumber(score) < next_ms) then next_ms = tonumber(score) end
end
reply[2] = tostring(next_ms and math.max(next_ms - now, 0) or -1)
return reply
