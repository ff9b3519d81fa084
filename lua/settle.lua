#!lua
-- settle: writes down what a channel answered, item by item. Safe to repeat: an answer counts only while its lease is held.
-- A confirmed version never goes back. What moved on meanwhile stays due, its lag counted from the oldest change left. What used up
-- its attempts or its age, and has not changed meanwhile, is a dead letter; a success supersedes one.
--
-- KEYS[1] due       zset  SKU by when it is to be told, ms (0: first)
-- KEYS[2] lease     zset  SKU by the end of its lease, ms
-- KEYS[3] dirty     zset  SKU by its oldest unconfirmed change, ms
-- KEYS[4] work      hash  SKU -> work (include/work.lua)
-- KEYS[5] sync      hash  SKU -> "<version> <quantity> <paused> <confirmed, ms>"
-- KEYS[6] dead      zset  SKU by when it died, ms
-- KEYS[7] stock     hash  SKU -> level (include/level.lua)
-- KEYS[8] sold out  hash  SKU -> "<since, ms> <channels that still show units>"
--
-- ARGV[1]  now, ms       "" for the Redis clock
-- ARGV[2]  token         of the lease
-- ARGV[3]  urgent        available at and under which a SKU goes ahead of everything due
-- ARGV[4]  attempts      failures that make a dead letter
-- ARGV[5]  age, ms       from the first attempt to the failure that makes a dead letter
-- ARGV[6]  items         how many, 1 to 1,000; then each: sku, outcome (applied, failed, permanent or returned), version, quantity,
--                        paused (0 or 1), delay ms, burn (1: an attempt is used up), sure (of returned: as it was claimed), error
--
-- Returns settled <answer>…, one text per item:
--   confirmed <lag ms> <versions> <ms since sold out, of the last channel, or -1> <1 when a dead letter is superseded>
--   moved, with the same words     it was confirmed, and has changed since: due again
--   parked <due ms>                it failed, or was handed back, and waits for its next attempt
--   buried <lag ms>                a dead letter from now on
--   lost                           the lease is no longer ours, or the item was there before: nothing was written
-- Emits   nothing
-- Cost    O(items × log due)
local due_key, lease_key, dirty_key, work_key, sync_key, dead_key, stock_key, sold_out_key = unpack(KEYS)
local argv = ARGV
-- end of bindings

local at = 0
local function take()
  at = at + 1
  return argv[at]
end

local now = server.now_ms(take())
local token, urgent_at, attempts_max, age_max_ms = take(), tonumber(take()), tonumber(take()), tonumber(take())
local items, skus = {}, {}
for index = 1, tonumber(take()) do
  items[index] = {
    sku = take(), outcome = take(), version = tonumber(take()), quantity = tonumber(take()), paused = take(),
    delay_ms = tonumber(take()), burn = tonumber(take()), sure = take(), error = take(),
  }
  skus[index] = items[index].sku
end

local texts = server.call('HMGET', work_key, unpack(skus))
server.call('ZCARD', due_key)
server.call('ZCARD', lease_key)
local run = {
  settled = {}, now = now, urgent_at = urgent_at, attempts_max = attempts_max, age_max_ms = age_max_ms, sold_out_key = sold_out_key,
  sync = server.call('HMGET', sync_key, unpack(skus)), levels = server.call('HMGET', stock_key, unpack(skus)),
  dirty = server.call('ZMSCORE', dirty_key, unpack(skus)),
  dead = server.call('ZCARD', dead_key) > 0 and server.call('ZMSCORE', dead_key, unpack(skus)) or {},
}
-- Only a metric: fan_out complains when its key is wrong, and here it keeps nothing from being confirmed.
local is_fine, noted = pcall(server.call, 'HLEN', sold_out_key)
run.counts_sold_out = is_fine and noted > 0
local out = settling.new()

local reply = { 'settled' }
for index, item in ipairs(items) do
  local one = work.read(texts[index])
  if one.token ~= token or run.settled[item.sku] then
    reply[#reply + 1] = 'lost'
  else
    run.settled[item.sku] = true
    out.released[#out.released + 1] = item.sku
    if item.outcome == 'applied' then
      reply[#reply + 1] = verdict.confirm(run, out, index, item, one)
    elseif item.outcome == 'returned' then
      one.sure = one.sure ~= '2' and item.sure or '0'
      -- Nothing was tried yet: its age does not begin.
      if one.attempts == '0' and one.error == '' then one.first_ms = '0' end
      settling.park(out, item.sku, one, now)
      reply[#reply + 1] = 'parked ' .. now
    else
      reply[#reply + 1] = verdict.fail(run, out, index, item, one)
    end
  end
end

settling.write(out, {
  due = due_key, lease = lease_key, dirty = dirty_key, work = work_key, sync = sync_key, dead = dead_key, sold_out = sold_out_key,
})
return reply
