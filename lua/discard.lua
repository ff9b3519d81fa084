#!lua
-- discard: drops dead letters of one channel: it keeps showing what it shows until the SKU changes again. What changed since it died
-- is due or leased already and goes on. Safe to repeat: what is no dead letter any more is left alone.
--
-- KEYS[1] due     zset    SKU by when it is to be told, ms
-- KEYS[2] lease   zset    SKU by the end of its lease, ms
-- KEYS[3] work    hash    SKU -> work (include/work.lua)
-- KEYS[4] dead    zset    SKU by when it died, ms
-- KEYS[5] stock   hash    SKU -> level (include/level.lua)
-- KEYS[6] events  stream
--
-- ARGV[1]  now, ms  "" for the Redis clock
-- ARGV[2]  cause    JSON, of every event
-- ARGV[3]  note     stands where the last error stood, until the next success
-- ARGV[..] letters  1 to 500: sku, when it died, ms
--
-- Returns discarded <answer>…, one per letter:
--   done    it is dropped
--   gone    it is no dead letter any more, or has died again since
--   broken  its stock record does not parse, and its event must tell the count: it stays a dead letter
-- Emits   discarded
-- Cost    O(letters × log dead)
local keys = { due = KEYS[1], lease = KEYS[2], work = KEYS[3], dead = KEYS[4], stock = KEYS[5], events = KEYS[6] }
local argv = ARGV
-- end of bindings

local now = server.now_ms(argv[1])
local taken = letters.take(keys, argv, 4)

local work_set = {}
for _, letter in ipairs(taken) do
  if letter.answer == 'done' and not letter.is_leased then
    local one = letter.work
    one.since = '0'
    if not letter.is_due then
      one.attempts, one.token, one.claimed, one.sure, one.first_ms, one.error = '0', '-', '0', '0', '0', argv[3]
    end
    work_set[#work_set + 1] = letter.sku
    work_set[#work_set + 1] = work.write(one)
  end
end

local answers = letters.finish(keys, taken, now, argv[2], 'z')
if #work_set > 0 then redis.call('HSET', keys.work, unpack(work_set)) end
return { 'discarded', unpack(answers) }
