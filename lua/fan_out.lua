#!lua
-- fan_out: marks the SKUs of acknowledged stream entries due on every channel. Safe to repeat: a channel that has confirmed
-- the version, or is due already, stays as it is.
--
-- KEYS[1] events  stream
-- KEYS, five per channel c = 0, 1, …:
-- KEYS[5c+2] due    zset  SKU by when it is to be told, ms
-- KEYS[5c+3] lease  zset  SKU by the end of the lease a worker holds, ms
-- KEYS[5c+4] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[5c+5] work   hash  SKU -> "<attempts> <token or -> <version claimed> <changed since, ms or 0> <last error>"
-- KEYS[5c+6] sync   hash  SKU -> "<version> <quantity> <confirmed, ms>"
--
-- ARGV[1]  now, ms   "" for the Redis clock
-- ARGV[2]  group     consumer group of the stream
-- ARGV[3]  channels  how many, 0 to 256; their ids follow
-- ARGV[..] entries   how many to acknowledge, 0 to 1,000; their ids follow
-- ARGV[..] SKUs      how many, 0 to 4,000; then each: sku, first version, last version, oldest change ms, force (1 or 0),
--                    source (channel that made all of these changes and knows them, or ""), available delta, available
--                    after the last change (0 and less: told ahead of everything due, unless parked or leased)
--
-- Returns ok <marked> <key or "">: how many times a SKU was marked on a channel; a key of the wrong type, whose channel was
--   passed over: then the entries are not acknowledged, so that it is told once the key is mended
-- Emits   nothing
-- Cost    O(SKUs × channels × log due)
local keys, argv = KEYS, ARGV
-- end of bindings

local at = 0
local function take()
  at = at + 1
  return argv[at]
end

local now = server.now_ms(take())
local group = take()
local channels, entries, items, skus = {}, {}, {}, {}
for index = 1, tonumber(take()) do channels[index] = take() end
for index = 1, tonumber(take()) do entries[index] = take() end
for index = 1, tonumber(take()) do
  items[index] = {
    sku = take(), first = tonumber(take()), last = tonumber(take()), changed_ms = tonumber(take()),
    force = take() == '1', source = take(), delta = tonumber(take()),
    available = tonumber(take()),
  }
  skus[index] = items[index].sku
end

if #entries > 0 then server.call('XLEN', keys[1]) end

-- A wrong key of one channel must not keep the others from being told.
local function read(base)
  local due_key, lease_key, dirty_key, work_key, sync_key = unpack(keys, base, base + 4)
  server.call('ZCARD', dirty_key)
  return server.call('ZMSCORE', due_key, unpack(skus)), server.call('ZMSCORE', lease_key, unpack(skus)),
    server.call('HMGET', work_key, unpack(skus)), server.call('HMGET', sync_key, unpack(skus))
end

local function mark(channel, base, due, lease, work, sync)
  local due_key, _, dirty_key, work_key, sync_key = unpack(keys, base, base + 4)
  local due_add, due_first, dirty_add, work_set, sync_set = {}, {}, {}, {}, {}
  for index, item in ipairs(items) do
    local version, quantity = string.match(sync[index] or '', '^(%d+) (%-?%d+) ')
    version = tonumber(version) or 0
    local idle = not due[index] and not lease[index]
    if idle and item.source == channel and version == item.first - 1 and version > 0 then
      local left = math.max(tonumber(quantity) + item.delta, 0)
      sync_set[#sync_set + 1] = item.sku
      sync_set[#sync_set + 1] = item.last .. ' ' .. left .. ' ' .. now
    elseif version < item.last or item.force then
      dirty_add[#dirty_add + 1] = item.changed_ms
      dirty_add[#dirty_add + 1] = item.sku
      if lease[index] then
        local attempts, token, claimed, since, last_error = string.match(work[index] or '', '^(%d+) (%S+) (%d+) (%d+) (.*)$')
        -- An entry adopted from a dead worker may be older than what was marked before it.
        local is_oldest = since == '0' or item.changed_ms < (tonumber(since) or 0)
        if attempts and is_oldest and (tonumber(claimed) < item.last or item.force) then
          work_set[#work_set + 1] = item.sku
          work_set[#work_set + 1] = attempts .. ' ' .. token .. ' ' .. claimed .. ' ' .. item.changed_ms .. ' ' .. last_error
        end
      elseif item.available <= 0 and tonumber(due[index] or now) <= now then
        due_first[#due_first + 1] = 0
        due_first[#due_first + 1] = item.sku
      elseif not due[index] then
        due_add[#due_add + 1] = now
        due_add[#due_add + 1] = item.sku
      end
    end
  end
  if #sync_set > 0 then redis.call('HSET', sync_key, unpack(sync_set)) end
  if #dirty_add > 0 then redis.call('ZADD', dirty_key, 'LT', unpack(dirty_add)) end
  if #work_set > 0 then redis.call('HSET', work_key, unpack(work_set)) end
  if #due_add > 0 then redis.call('ZADD', due_key, 'NX', unpack(due_add)) end
  if #due_first > 0 then redis.call('ZADD', due_key, unpack(due_first)) end
  return #dirty_add / 2
end

local marked, sick = 0, ''
if #items > 0 then
  for index, channel in ipairs(channels) do
    local base = 5 * index - 3
    local fine, due, lease, work, sync = pcall(read, base)
    if fine then
      marked = marked + mark(channel, base, due, lease, work, sync)
    else
      sick = type(due) == 'table' and due.err or tostring(due)
    end
  end
end
if #entries > 0 and sick == '' then redis.call('XACK', keys[1], group, unpack(entries)) end
return { 'ok', tostring(marked), sick }
