-- The books of one run: what was read of each partition, what it is now, what must be written.
local books = {}

-- Fields per HMGET and pairs per HSET: Lua's stack ends at 8,000 values.
books.CHUNK = 2000
-- Overdue holds ended by one run at most, and how many are read at a time.
books.SWEEP_MAX = 256
books.SWEEP_CHUNK = 64
-- An overdue hold that cannot be ended, because a record is broken, is looked at again after this many ms.
books.PARKED_MS = 60000

function books.read_fields(key, fields, take)
  for first = 1, #fields, books.CHUNK do
    local last = math.min(first + books.CHUNK - 1, #fields)
    local values = reads.call('HMGET', key, unpack(fields, first, last))
    for index, value in ipairs(values) do take(fields[first + index - 1], value) end
  end
end

function books.write_pairs(key, flat)
  for first = 1, #flat, 2 * books.CHUNK do
    redis.call('HSET', key, unpack(flat, first, math.min(first + 2 * books.CHUNK - 1, #flat)))
  end
end

-- Asks for a level to be read with the next read_levels.
function books.want_level(slot, sku)
  if slot.levels[sku] == nil then
    slot.levels[sku] = false
    slot.wanted_levels[#slot.wanted_levels + 1] = sku
  end
end

function books.read_levels(slot)
  if #slot.wanted_levels == 0 then return end
  books.read_fields(slot.stock, slot.wanted_levels, function(sku, text)
    slot.levels[sku] = level.read(sku, text)
  end)
  slot.wanted_levels = {}
end

function books.want_hold(slot, id)
  if slot.holds[id] == nil then
    slot.holds[id] = false
    slot.wanted_holds[#slot.wanted_holds + 1] = id
  end
end

-- Reads wanted holds, live ones first, and asks for the levels of their lines.
function books.read_holds(batch, slot)
  local from = { slot.live_key, slot.ended_key, slot.ended_before_key }
  local wanted = slot.wanted_holds
  slot.wanted_holds = {}
  if #wanted > 0 then
    -- Where holds are written when they change or end, found there or not.
    reads.expect('ZCARD', slot.deadlines_key)
    reads.expect('HLEN', slot.ended_key)
  end
  for place = 1, 3 do
    if #wanted == 0 then return end
    local absent = {}
    books.read_fields(from[place], wanted, function(id, text)
      if not text then
        absent[#absent + 1] = id
        return
      end
      local one = hold.read(id, text) or { id = id, broken = true, lines = {} }
      one.live = place == 1
      slot.holds[id] = one
      for _, line in ipairs(one.lines) do
        local owner = batch.slots[line.number]
        if owner then books.want_level(owner, line.sku) else one.broken = true end
      end
    end)
    wanted = absent
  end
end

function books.level(batch, line)
  return batch.slots[line.number].levels[line.sku]
end

-- Writes down one mutation; answers its index in this run's entry.
function books.record(slot, kind, cause, one, on_hand_delta, held_delta)
  local log = slot.log
  if slot.log_cause ~= cause then
    log[#log + 1] = cause
    slot.log_cause = cause
  end
  log[#log + 1] = kind .. ' ' .. one.sku .. ' ' .. on_hand_delta .. ' ' .. held_delta .. ' ' .. one.on_hand .. ' '
    .. one.held .. ' ' .. one.version
  slot.log_count = slot.log_count + 1
  return slot.log_count - 1
end

function books.touch(slot, one)
  if not one.dirty then
    one.dirty = true
    slot.dirty[#slot.dirty + 1] = one
  end
end

-- Names a mutation of this run, once its entry is written: partition, entry, index.
function books.event_id(slot, index)
  return slot.number .. '-' .. slot.entry .. '-' .. index
end

-- Changes a level by deltas, with its version and event; answers the change.
function books.move(batch, line, kind, cause, on_hand_delta, held_delta, quantity)
  local slot = batch.slots[line.number]
  local one = slot.levels[line.sku]
  one.on_hand = one.on_hand + on_hand_delta
  one.held = one.held + held_delta
  one.version = one.version + 1
  one.updated = batch.now
  one.missing = nil
  one.index = books.record(slot, kind, cause, one, on_hand_delta, held_delta)
  books.touch(slot, one)
  return {
    slot = slot, sku = one.sku, quantity = quantity, on_hand = one.on_hand, held = one.held, version = one.version,
    index = one.index,
  }
end

function books.touch_hold(slot, one)
  if not one.touched then
    one.touched = true
    slot.touched_holds[#slot.touched_holds + 1] = one
  end
end
