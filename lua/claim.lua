#!lua
-- claim: leases what is due on one channel to one worker and reads its state now, so that a retry pushes the newest number.
-- A lease that ran out is due again. What is behind is given only when nothing else is due. Safe to repeat: what is leased is not
-- given twice. The mark of a refused event is taken from the levels it reads: the next refused sale is told again.
--
-- KEYS[1] due    zset  SKU by when it is to be told, ms (0: first; from include/work.lua's LATER on: behind)
-- KEYS[2] lease  zset  SKU by the end of its lease, ms
-- KEYS[3] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[4] work   hash  SKU -> work (include/work.lua)
-- KEYS[5] sync   hash  SKU -> "<version> <quantity> <paused> <confirmed, ms>"
-- KEYS[6] stock  hash  SKU -> level (include/level.lua); only its mark is written
--
-- ARGV[1] now, ms    "" for the Redis clock
-- ARGV[2] token      names this lease; no space
-- ARGV[3] lease, ms  1 and up
-- ARGV[4] limit      SKUs at most, 1 to 1,000
--
-- Returns claimed <ms until there is more to do, or -1> <sku level-text attempts oldest-change-ms sure sync-text>…: a level text ""
--   is a SKU without stock record, a sync text "" one the channel never confirmed; sure is 1 when the channel shows what it confirmed
-- Emits   nothing
-- Cost    O(limit × log due)
local due_key, lease_key, dirty_key, work_key, sync_key, stock_key = unpack(KEYS)
local given_now, token, lease_ms, limit = unpack(ARGV)
-- end of bindings

local now = server.now_ms(given_now)
local now_text = tostring(now)
limit = tonumber(limit)
server.call('ZCARD', dirty_key)
server.call('HLEN', work_key)
server.call('ZCARD', due_key)

local skus = server.call('ZRANGE', lease_key, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
local abandoned = #skus
local function take_due(from, to)
  if #skus == limit then return end
  for _, sku in ipairs(redis.call('ZRANGE', due_key, from, to, 'BYSCORE', 'LIMIT', 0, limit - #skus)) do
    skus[#skus + 1] = sku
  end
end
take_due('-inf', now)
take_due(work.LATER, '+inf')

local reply = { 'claimed', '0' }
if #skus > 0 then
  local texts, levels = server.call('HMGET', work_key, unpack(skus)), server.call('HMGET', stock_key, unpack(skus))
  local sync, dirty = server.call('HMGET', sync_key, unpack(skus)), server.call('ZMSCORE', dirty_key, unpack(skus))
  local lease_add, work_set, unmarked, lease_end = {}, {}, {}, tostring(now + tonumber(lease_ms))
  -- The work of a SKU that has none yet, around its version. From here on a call may go out, whatever becomes of its worker.
  local before, after = '0 ' .. token .. ' ', ' 0 0 ' .. now_text .. ' '
  for index = 1, #skus do
    local sku, text, level = skus[index], texts[index], levels[index] or ''
    local version, refused = string.match(level, '^%-?%d+ %d+ (%d+) %d* ?(%d*)')
    -- Every channel is told after that event. What was refused before now is covered by these calls, and only that.
    if version and version == refused then
      unmarked[#unmarked + 1] = sku
      unmarked[#unmarked + 1] = string.gsub(level, '^(%S+ %d+ %d+ %d+) %d+', '%1 0', 1)
    end
    version = version or '0'
    local attempts, sure, written = '0', '1', nil
    if text then
      local one = work.read(text)
      attempts, sure = one.attempts, index > abandoned and one.sure or '0'
      one.token, one.claimed, one.since, one.sure = token, version, '0', '0'
      if one.first_ms == '0' then one.first_ms = now_text end
      written = work.write(one)
    else
      if index <= abandoned then sure = '0' end
      written = before .. version .. after
    end
    local at = 6 * index - 3
    reply[at], reply[at + 1], reply[at + 2] = sku, level, attempts
    reply[at + 3], reply[at + 4], reply[at + 5] = dirty[index] or now_text, sure, sync[index] or ''
    work_set[2 * index - 1], work_set[2 * index] = sku, written
    lease_add[2 * index - 1], lease_add[2 * index] = lease_end, sku
  end
  redis.call('ZADD', lease_key, unpack(lease_add))
  redis.call('HSET', work_key, unpack(work_set))
  if #unmarked > 0 then redis.call('HSET', stock_key, unpack(unmarked)) end
  if #skus > abandoned then redis.call('ZREM', due_key, unpack(skus, abandoned + 1)) end
end
if #skus == limit then return reply end

-- When there is something to do next: the first due SKU or the first lease to run out, as a worker may have died.
local next_ms
for _, key in ipairs({ due_key, lease_key }) do
  local score = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if score and (not next_ms or tonumber(score) < next_ms) then next_ms = tonumber(score) end
end
reply[2] = tostring(next_ms and math.max(next_ms - now, 0) or -1)
return reply
