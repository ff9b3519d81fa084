#!lua flags=no-writes
-- dead_letters: reads dead letters of one channel in one partition, the oldest first, from where the last read ended. Writes nothing.
--
-- KEYS[1] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[2] work   hash  SKU -> work (include/work.lua)
-- KEYS[3] sync   hash  SKU -> "<version> <quantity> <paused> <confirmed, ms>"
-- KEYS[4] dead   zset  SKU by when it died, ms
-- KEYS[5] stock  hash  SKU -> level (include/level.lua)
--
-- ARGV[1] only   this SKU; "" for all
-- ARGV[2] after  when the last letter read had died, ms; "" at the beginning
-- ARGV[3] its SKU
-- ARGV[4] limit  letters at most, 1 to 1,000
--
-- Returns letters <sku dead-ms dirty-ms work-text sync-text level-text>…: "" for what is not there. When the last letter read is gone,
--   those that died in the same ms come again
-- Emits   nothing
-- Cost    O(limit + log dead)
local dirty_key, work_key, sync_key, dead_key, stock_key = unpack(KEYS)
local only, after_ms, after_sku, limit = unpack(ARGV)
-- end of bindings

local function first_rank()
  if after_ms == '' then return 0 end
  if server.call('ZSCORE', dead_key, after_sku) == after_ms then return server.call('ZRANK', dead_key, after_sku) + 1 end
  return server.call('ZCOUNT', dead_key, '-inf', '(' .. after_ms)
end

local skus, died = {}, {}
if only == '' then
  local first = first_rank()
  local found = server.call('ZRANGE', dead_key, first, first + tonumber(limit) - 1, 'WITHSCORES')
  for index = 1, #found, 2 do
    skus[#skus + 1], died[#died + 1] = found[index], found[index + 1]
  end
else
  local died_ms = server.call('ZSCORE', dead_key, only)
  if died_ms then skus, died = { only }, { died_ms } end
end

local reply = { 'letters' }
if #skus > 0 then
  local dirty, texts = server.call('ZMSCORE', dirty_key, unpack(skus)), server.call('HMGET', work_key, unpack(skus))
  local sync, levels = server.call('HMGET', sync_key, unpack(skus)), server.call('HMGET', stock_key, unpack(skus))
  for index, sku in ipairs(skus) do
    local told = { sku, died[index], dirty[index] or '', texts[index] or '', sync[index] or '', levels[index] or '' }
    for _, text in ipairs(told) do reply[#reply + 1] = text end
  end
end
return reply
