-- Marking SKUs due on one channel: what fan_out does for each of its channels.
local marking = {}

-- A dead letter that changes is tried once more, but no sooner than this after it died: what a channel will not take may be
-- selling fast elsewhere.
marking.DEAD_PAUSE_MS = 30000

-- What marking must know of the items on one channel. A key of the wrong type is an error, before anything is written.
function marking.read(keys, skus, forced, is_mover)
  local known = { due = server.call('ZMSCORE', keys.due, unpack(skus)), lease = server.call('ZMSCORE', keys.lease, unpack(skus)),
    sync = server.call('HMGET', keys.sync, unpack(skus)), dead = {}, work = {}, is_mover = is_mover }
  server.call('ZCARD', keys.dirty)
  local has_work, needs_work = server.call('HLEN', keys.work) > 0, forced or is_mover
  if server.call('ZCARD', keys.dead) > 0 then
    known.dead = server.call('ZMSCORE', keys.dead, unpack(skus))
    needs_work = true
  end
  for index = 1, #skus do needs_work = needs_work or known.lease[index] end
  if has_work and needs_work then known.work = server.call('HMGET', keys.work, unpack(skus)) end
  return known
end

-- The score a marked SKU gets; nothing when it stays where it is.
local function due_at(item, channel, due, dead, now)
  local is_live = due and due < work.LATER
  if item.behind then return not due and work.LATER + now or nil end
  if dead and not is_live then return math.max(now, dead + marking.DEAD_PAUSE_MS) end
  local is_parked = is_live and due > now
  if item.available <= channel.urgent_at and not is_parked then return 0 end
  return not is_live and now or nil
end

local function push(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

-- The text a leased, dead or forced SKU's work gets; nothing when it stays as it is.
local function work_after(item, force, text, is_leased, is_dead)
  local one = work.read(text)
  local is_news = is_leased and (tonumber(one.claimed) < item.last or force > 0)
  -- An entry adopted from a dead worker may be older than what was marked before it.
  local is_oldest = is_news and (one.since == '0' or item.changed_ms < tonumber(one.since))
  if is_oldest then one.since = item.changed_ms end
  local again = force == 2 and (is_leased and '2' or '0')
  if not is_oldest and not again then return nil, is_dead and tonumber(one.since) end
  one.sure = again or one.sure
  return work.write(one), is_dead and tonumber(one.since)
end

local function has_moved(item, channel)
  return string.find(' ' .. item.movers .. ' ', ' ' .. channel.id .. ' ', 1, true)
end

-- Marks the items on one channel; answers how many, and adds to showing[index] when the channel shows units of that item.
function marking.mark(keys, channel, items, known, now, showing)
  local due_add, dirty_add, work_set, sync_set, marked = {}, {}, {}, {}, 0
  for index, item in ipairs(items) do
    local due, lease, dead = tonumber(known.due[index] or nil), known.lease[index], tonumber(known.dead[index] or nil)
    local version, quantity, paused = work.confirmed(known.sync[index])
    local left = math.max(quantity + item.delta, 0)
    local is_idle = not due and not lease and not dead and not known.work[index]
    local knows = item.source == channel.id and version == item.first - 1 and version > 0 and is_idle
    -- Who moved its number by itself shows nobody knows what, even when a claim ran ahead of this and confirmed it.
    local force = known.is_mover and has_moved(item, channel) and 2 or item.force
    if knows and (left > item.pause_at or paused) then
      push(sync_set, item.sku, item.last .. ' ' .. left .. ' ' .. (paused and '1' or '0') .. ' ' .. now)
      quantity = left
    elseif version < item.last or force > 0 then
      marked = marked + 1
      local oldest_ms = item.changed_ms
      if lease or dead or force == 2 then
        local text, since = work_after(item, force, known.work[index], lease, dead)
        if text then push(work_set, item.sku, text) end
        if since and since > 0 then oldest_ms = math.min(oldest_ms, since) end
      end
      push(dirty_add, oldest_ms, item.sku)
      local score = not lease and due_at(item, channel, due, dead, now)
      if score then push(due_add, score, item.sku) end
    end
    if quantity > 0 and not paused then showing[index] = (showing[index] or 0) + 1 end
  end
  if #sync_set > 0 then redis.call('HSET', keys.sync, unpack(sync_set)) end
  if #dirty_add > 0 then redis.call('ZADD', keys.dirty, 'LT', unpack(dirty_add)) end
  if #work_set > 0 then redis.call('HSET', keys.work, unpack(work_set)) end
  if #due_add > 0 then redis.call('ZADD', keys.due, unpack(due_add)) end
  return marked
end
