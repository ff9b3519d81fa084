#!lua
-- replay: makes dead letters of one channel due again, behind what is live, and begins to count their attempts anew. What changed
-- since it died is due or leased already and stays there. Safe to repeat: what is no dead letter any more is left alone.
--
-- KEYS[1] due     zset    SKU by when it is to be told, ms (from include/work.lua's LATER on: behind)
-- KEYS[2] lease   zset    SKU by the end of its lease, ms
-- KEYS[3] dirty   zset    SKU by its oldest unconfirmed change, ms
-- KEYS[4] work    hash    SKU -> work (include/work.lua)
-- KEYS[5] dead    zset    SKU by when it died, ms
-- KEYS[6] stock   hash    SKU -> level (include/level.lua)
-- KEYS[7] events  stream
--
-- ARGV[1]  now, ms  "" for the Redis clock
-- ARGV[2]  cause    JSON, of every event
-- ARGV[..] letters  1 to 500: sku, when it died, ms
--
-- Returns replayed <answer>…, one per letter:
--   done    it is due again
--   gone    it is no dead letter any more, or has died again since
--   broken  its stock record does not parse, and its event must tell the count: it stays a dead letter
-- Emits   replayed
-- Cost    O(letters × log due)
local keys = {
  due = KEYS[1], lease = KEYS[2], dirty = KEYS[3], work = KEYS[4], dead = KEYS[5], stock = KEYS[6], events = KEYS[7],
}
local argv = ARGV
-- end of bindings

local now = server.now_ms(argv[1])
local taken = letters.take(keys, argv, 3)
server.call('ZCARD', keys.dirty)

local due_add, dirty_add, work_set = {}, {}, {}
for _, letter in ipairs(taken) do
  if letter.answer == 'done' then
    local one = letter.work
    one.attempts, one.first_ms = '0', '0'
    if letter.is_leased then
      one.first_ms = now
    else
      dirty_add[#dirty_add + 1] = one.since == '0' and letter.died_ms or one.since
      dirty_add[#dirty_add + 1] = letter.sku
      one.token, one.claimed, one.since, one.sure = '-', '0', '0', '0'
      if not letter.is_due then
        due_add[#due_add + 1] = work.LATER + now
        due_add[#due_add + 1] = letter.sku
      end
    end
    work_set[#work_set + 1] = letter.sku
    work_set[#work_set + 1] = work.write(one)
  end
end

local answers = letters.finish(keys, taken, now, argv[2], 'y')
if #dirty_add > 0 then redis.call('ZADD', keys.dirty, 'LT', unpack(dirty_add)) end
if #due_add > 0 then redis.call('ZADD', keys.due, unpack(due_add)) end
if #work_set > 0 then redis.call('HSET', keys.work, unpack(work_set)) end
return { 'replayed', unpack(answers) }
