#!lua
-- fan_out: marks the SKUs of acknowledged stream entries due on every channel. Safe to repeat: a channel that has confirmed
-- the version, or is due already, stays as it is.
--
-- KEYS[1] events    stream
-- KEYS[2] sold out  hash  SKU -> "<since, ms> <channels that still show units>"
-- KEYS, six per channel c = 0, 1, …:
-- KEYS[6c+3] due    zset  SKU by when it is to be told, ms (0: first; from include/work.lua's LATER on: behind)
-- KEYS[6c+4] lease  zset  SKU by the end of the lease a worker holds, ms
-- KEYS[6c+5] dirty  zset  SKU by its oldest unconfirmed change, ms
-- KEYS[6c+6] work   hash  SKU -> work (include/work.lua)
-- KEYS[6c+7] sync   hash  SKU -> "<version> <quantity> <paused> <confirmed, ms>"
-- KEYS[6c+8] dead   zset  SKU by when it died, ms
--
-- ARGV[1]  now, ms   "" for the Redis clock
-- ARGV[2]  group     consumer group of the stream
-- ARGV[3]  channels  how many, 0 to 256; then each: id, available at and under which a SKU goes first there
-- ARGV[..] entries   how many to acknowledge, 0 to 4,096; their ids follow
-- ARGV[..] SKUs      how many, 0 to 2,000; then each: sku, first version, last version, oldest change ms, force (0: news only;
--                    1: check again; 2: tell again), source (channel that made all of these changes and knows them, or ""),
--                    the quantity at and under which the source must be told all the same, or -1, movers (channels that may have
--                    changed the number they show with it: ids with a space between), available delta, available after the
--                    last change, sold out since ms or 0, behind (1: to be told when nothing live is due)
--
-- Returns ok <marked> <key or "">: how many times a SKU was marked on a channel; a key of the wrong type, which was passed
--   over, with its channel: then the entries are not acknowledged, so that it is told once the key is mended
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
local channels, entries, items, skus, movers, forced, any_sold_out = {}, {}, {}, {}, {}, false, false
for index = 1, tonumber(take()) do channels[index] = { id = take(), urgent_at = tonumber(take()) } end
for index = 1, tonumber(take()) do entries[index] = take() end
for index = 1, tonumber(take()) do
  local item = {
    sku = take(), first = tonumber(take()), last = tonumber(take()), changed_ms = tonumber(take()), force = tonumber(take()),
    source = take(), pause_at = tonumber(take()), movers = take(), delta = tonumber(take()), available = tonumber(take()),
    sold_out_ms = tonumber(take()), behind = take() == '1',
  }
  items[index], skus[index] = item, item.sku
  for id in string.gmatch(item.movers, '%S+') do movers[id] = true end
  forced = forced or item.force == 2
  any_sold_out = any_sold_out or item.sold_out_ms > 0
end

if #entries > 0 then server.call('XLEN', keys[1]) end
local marked, sick, showing = 0, '', {}
local function pass_over(fault)
  sick = type(fault) == 'table' and fault.err or tostring(fault)
end
if #items > 0 then
  -- A wrong key must not keep the channels from being told, nor one of a channel the others.
  local counts, known_sold_out = pcall(sold_out.read, keys[2], skus, any_sold_out)
  if not counts then pass_over(known_sold_out) end
  for index, channel in ipairs(channels) do
    local due, lease, dirty, work_key, sync, dead = unpack(keys, 6 * index - 3, 6 * index + 2)
    local named = { due = due, lease = lease, dirty = dirty, work = work_key, sync = sync, dead = dead }
    local fine, known = pcall(marking.read, named, skus, forced, movers[channel.id])
    if fine then
      marked = marked + marking.mark(named, channel, items, known, now, showing)
    else
      pass_over(known)
    end
  end
  if counts and known_sold_out then sold_out.note(keys[2], items, known_sold_out, showing) end
end
if #entries > 0 and sick == '' then redis.call('XACK', keys[1], group, unpack(entries)) end
return { 'ok', tostring(marked), sick }
