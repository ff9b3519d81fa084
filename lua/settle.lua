#!lua
-- settle: writes down what a channel answered, item by item. Safe to repeat: an answer counts only while its lease is held.
-- A confirmed version never goes back. What moved on meanwhile stays due, its lag counted from the oldest change left; what
-- is only told again for a refused sale waits a little. What used up
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
-- ARGV[6]  SKUs          how many, 1 to 1,000; they follow
-- ARGV[..] answers       per SKU: applied, version, "<quantity> <paused, 0 or 1>"; or failed, permanent or returned, delay ms, burn
--                        (1: an attempt is used up), sure (of returned: as it was claimed), error
--
-- Returns settled, then five numbers per SKU, since printing numbers is what costs most here:
--   1 <lag ms> <versions> <ms since sold out, of the last channel, or -1> <1: a dead letter is superseded>   confirmed
--   2, with the same numbers   it was confirmed, and has changed since: due again
--   3 <due ms> 0 0 0           it failed, or was handed back, and waits for its next attempt
--   4 <lag ms> 0 0 0           a dead letter from now on
--   0 0 0 0 0                  the lease is no longer ours: nothing was written
-- Emits   nothing
-- Cost    O(items × log due)
local due_key, lease_key, dirty_key, work_key, sync_key, dead_key, stock_key, sold_out_key = unpack(KEYS)
local argv = ARGV
-- end of bindings

local now = server.now_ms(argv[1])
local token, count, skus, settled = argv[2], tonumber(argv[6]), {}, {}
for index = 1, count do skus[index] = argv[6 + index] end

local texts = server.call('HMGET', work_key, unpack(skus))
server.call('ZCARD', due_key)
server.call('ZCARD', lease_key)
local run = {
  now = now, now_text = tostring(now), urgent_at = tonumber(argv[3]), attempts_max = tonumber(argv[4]), age_max_ms = tonumber(argv[5]),
  sold_out_key = sold_out_key, reply = { 'settled' },
  sync = server.call('HMGET', sync_key, unpack(skus)), levels = server.call('HMGET', stock_key, unpack(skus)),
  dirty = server.call('ZMSCORE', dirty_key, unpack(skus)),
  dead = server.call('ZCARD', dead_key) > 0 and server.call('ZMSCORE', dead_key, unpack(skus)) or {},
}
-- A wrong key of a metric must not keep what was answered from being written down.
local is_fine, noted = pcall(server.call, 'HLEN', sold_out_key)
run.counts_sold_out = is_fine and noted > 0
local out = settling.new()

local at = 7 + count
for index = 1, count do
  local sku, outcome = skus[index], argv[at]
  local holder, since, sure = string.match(texts[index] or '', '^%d+ (%S+) %d+ (%d+) ([0-3]) ')
  local is_ours = holder == token and not settled[sku]
  settled[sku] = true
  if is_ours then out.released[#out.released + 1] = sku end
  if not is_ours then
    verdict.answer(run, index, 0, 0, 0, 0, 0)
  elseif outcome == 'applied' then
    verdict.confirm(run, out, index, sku, tonumber(argv[at + 1]), argv[at + 2], texts[index], since, sure)
  else
    local item = { sku = sku, outcome = outcome, delay_ms = tonumber(argv[at + 1]), burn = tonumber(argv[at + 2]) }
    item.sure, item.error = argv[at + 3], argv[at + 4]
    verdict.fail(run, out, index, item, work.read(texts[index]))
  end
  at = at + (outcome == 'applied' and 3 or 5)
end

settling.write(out, {
  due = due_key, lease = lease_key, dirty = dirty_key, work = work_key, sync = sync_key, dead = dead_key, sold_out = sold_out_key,
})
return run.reply
