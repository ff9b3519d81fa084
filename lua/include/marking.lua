-- Marking SKUs due on one channel: what fan_out does for each of its channels.
local marking = {}

-- What marking must know of the items on one channel, and nothing that can be done without: this runs for every channel. A key of
-- the wrong type is an error, before anything is written. Who is leased is known by the token in its work.
function marking.read(keys, skus, now_text, needs_all, is_mover)
  local known = { sync = server.call('HMGET', keys.sync, unpack(skus)), due = {}, dead = {}, work = {}, is_mover = is_mover }
  local has_later = server.call('ZCOUNT', keys.due, '(' .. now_text, '+inf') > 0
  local has_leased, has_dead = server.call('ZCARD', keys.lease) > 0, server.call('ZCARD', keys.dead) > 0
  known.is_plain = not (needs_all or is_mover or has_later or has_dead)
  if not known.is_plain then known.due = server.call('ZMSCORE', keys.due, unpack(skus)) end
  if has_dead then known.dead = server.call('ZMSCORE', keys.dead, unpack(skus)) end
  if has_leased or not known.is_plain then
    known.work = server.call('HMGET', keys.work, unpack(skus))
  else
    server.call('HLEN', keys.work)
  end
  server.call('ZCARD', keys.dirty)
  return known
end

function marking.push(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

function marking.write(command, key, list, ...)
  if #list == 0 then return end
  if ... then redis.call(command, key, ..., unpack(list)) else redis.call(command, key, unpack(list)) end
end

-- The text a leased, dead or forced SKU's work gets; nothing when it stays as it is. `can_wait`: forced by a refused sale alone.
function marking.work_after(item, force, text, is_leased, is_dead, can_wait)
  local one = work.read(text)
  local is_news = is_leased and (tonumber(one.claimed) < item.last or force > 0)
  -- An entry adopted from a dead worker may be older than what was marked before it.
  local is_oldest = is_news and (one.since == '0' or item.changed_ms < tonumber(one.since))
  if is_oldest then one.since = item.changed_ms end
  local again = force == 2 and (is_leased and (can_wait and one.sure ~= '2' and '3' or '2') or '0')
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
    local due, lease, dead = tonumber(known.due[index] or nil), work.is_leased(known.work[index]), tonumber(known.dead[index] or nil)
    local version, quantity, paused, confirmed_ms = work.confirmed(known.sync[index])
    local left = math.max(quantity + item.delta, 0)
    if version > item.last then item.is_old = true end
    local is_idle = not due and not lease and not dead and not known.work[index]
    local knows = item.source == channel.id and version == item.first - 1 and version > 0 and is_idle
    -- Who moved its number by itself shows nobody knows what, even when a claim ran ahead of this and confirmed it.
    local moves = known.is_mover and has_moved(item, channel)
    local force, can_wait = moves and 2 or item.force, item.force == 2 and not moves and not item.behind
    if knows and (left > item.pause_at or paused) then
      marking.push(sync_set, item.sku, item.last .. ' ' .. left .. ' ' .. (paused and '1' or '0') .. ' ' .. now)
      quantity = left
    elseif version < item.last or force > 0 then
      marked = marked + 1
      local oldest_ms, retell_ms = item.changed_ms, 0
      if can_wait and version >= item.last then
        -- Of its own, also for who knows the message of this version by its oldest change.
        oldest_ms, retell_ms = math.max(oldest_ms, confirmed_ms + 1), timing.retell_ms(confirmed_ms, now)
      end
      if lease or dead or force == 2 then
        local text, since = marking.work_after(item, force, known.work[index], lease, dead, can_wait)
        if text then marking.push(work_set, item.sku, text) end
        if since and since > 0 then oldest_ms = math.min(oldest_ms, since) end
      end
      marking.push(dirty_add, oldest_ms, item.sku)
      local score = not lease and timing.due_at(item, channel, due, dead, now, known.work[index], retell_ms)
      if score then marking.push(due_add, score, item.sku) end
    end
    sold_out.count(showing, index, item, quantity, paused)
  end
  marking.write('HSET', keys.sync, sync_set)
  marking.write('ZADD', keys.dirty, dirty_add, 'LT')
  marking.write('HSET', keys.work, work_set)
  marking.write('ZADD', keys.due, due_add)
  return marked
end
