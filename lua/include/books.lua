-- The books of one run: what each partition is now, and what must be written of it.
local books = {}

function books.write_pairs(command, key, flat)
  for first = 1, #flat, 2 * reading.CHUNK do
    redis.call(command, key, unpack(flat, first, math.min(first + 2 * reading.CHUNK - 1, #flat)))
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
  one.balance = level.balance(one)
  log[#log + 1] = kind .. ' ' .. one.sku .. ' ' .. digits.of(on_hand_delta) .. ' ' .. digits.of(held_delta) .. ' ' .. one.balance
  local index = slot.log_count
  slot.log_count = index + 1
  return index
end

function books.touch(slot, one)
  if not one.dirty then
    one.dirty = true
    slot.dirty[#slot.dirty + 1] = one
  end
end

-- Names a mutation of this run, once its entry is written: partition, entry, index.
function books.event_id(slot, index)
  return slot.entry_text .. digits.of(index)
end

-- Changes a level by deltas, with its version and event; answers its partition and the level.
function books.move(batch, line, kind, cause, on_hand_delta, held_delta)
  local slot = batch.slots[line.number]
  local one = slot.levels[line.sku]
  one.on_hand = one.on_hand + on_hand_delta
  one.held = one.held + held_delta
  one.version = one.version + 1
  one.updated = batch.now_text
  one.missing = false
  one.index = books.record(slot, kind, cause, one, on_hand_delta, held_delta)
  if not one.dirty then books.touch(slot, one) end
  return slot, one
end

-- The same for a line of a request, which becomes the change it made: it is nobody else's, so it may be written on.
function books.move_own(batch, line, kind, cause, on_hand_delta, held_delta)
  local slot, one = books.move(batch, line, kind, cause, on_hand_delta, held_delta)
  line.slot, line.balance, line.index = slot, one.balance, one.index
end

-- The same for a line of a hold: answers the change, of so many units. A line that is away moves in its own partition, which
-- tells its level.
function books.move_held(batch, line, kind, cause, on_hand_delta, held_delta, quantity)
  if line.is_away then return books.away(line, quantity) end
  local slot, one = books.move(batch, line, kind, cause, on_hand_delta, held_delta)
  return { slot = slot, sku = one.sku, quantity = quantity, balance = one.balance, index = one.index }
end

-- A change of a line that is away: names its partition where the event stands.
function books.away(line, quantity)
  return { sku = line.sku, quantity = quantity, balance = '0 0 0', event = '@' .. digits.of(line.number) }
end

-- A hold has changed. Each change of a cart is a revision, by which its children know what is newer. It is looked at next when its
-- time is over, unless somebody says otherwise after this; an ended one never.
function books.touch_hold(slot, one)
  if one.is_cart then one.revision = one.revision + 1 end
  if one.state == 'h' then
    slot.look_at[one.id] = one.deadline
  elseif one.live then
    slot.look_at[one.id] = false
  else
    slot.look_at[one.id] = nil
  end
  if not one.touched then
    one.touched = true
    slot.touched_holds[#slot.touched_holds + 1] = one
  end
end
