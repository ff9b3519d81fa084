-- The end of holds whose time is over, which may free what a sale wants.
local expiry = {}

-- Overdue holds ended by one run at most, children of carts looked at, which stay, and how many are read at a time.
expiry.MAX = 256
expiry.CHILDREN_MAX = 1024
expiry.CHUNK = 64
-- An overdue hold that cannot be ended, because a record is broken, is looked at again after this many ms.
expiry.PARKED_MS = 1000

-- Looks at an overdue hold later.
function expiry.park(batch, slot, id)
  slot.look_at[id] = batch.now + expiry.PARKED_MS
end

-- Ends one hold whose time is over: its units go back. False when a record of it is broken: then the lines with whole
-- records go back all the same, and the hold waits with the others until they are mended.
function expiry.expire(batch, slot, one)
  if one.broken then return false end
  local broken = false
  local here = {}
  for _, line in ipairs(one.lines) do
    if line.held > 0 and not line.is_away then
      local current = books.level(batch, line)
      here[#here + 1] = line
      broken = broken or current.broken or current.missing
    end
  end
  for _, line in ipairs(here) do
    local current = books.level(batch, line)
    if not current.broken and not current.missing then
      books.move(batch, line, 'x', one.cause, 0, -line.held)
      books.touch_hold(slot, one)
      if broken then line.held = 0 end
    end
  end
  if broken then return false end
  one.state = 'x'
  books.touch_hold(slot, one)
  -- A child may have an older, later deadline.
  cart.tell_later(batch, slot, one)
  return true
end

-- Ends up to count overdue holds of one partition; answers how many it ended and how many it looked at.
function expiry.sweep(batch, slot, count)
  local ids = server.call('ZRANGE', slot.deadlines_key, '-inf', batch.now, 'BYSCORE', 'LIMIT', slot.swept, count)
  slot.swept = slot.swept + #ids
  slot.swept_out = #ids < count
  for _, id in ipairs(ids) do reading.want_hold(slot, id) end
  reading.holds(batch, slot)
  for _, other in ipairs(batch.order) do reading.levels(other) end
  local ended = 0
  for _, id in ipairs(ids) do
    local one = slot.holds[id]
    local is_untold = one and one.is_cart and (one.state ~= 'h' or one.deadline > batch.now)
    if is_untold or one and one.home and one.state == 'h' then
      -- Only its home knows whether it is over; or this is home, and its children must be told.
      slot.overdue = slot.overdue or {}
      slot.overdue[#slot.overdue + 1] = one
    elseif not one or one.state ~= 'h' and not one.broken then
      slot.look_at[id] = false
    elseif one.broken then
      expiry.park(batch, slot, id)
    elseif one.deadline <= batch.now then
      if expiry.expire(batch, slot, one) then ended = ended + 1 else expiry.park(batch, slot, id) end
    end
  end
  return ended, #ids
end

local function children_of(slot)
  return slot.overdue and #slot.overdue or 0
end

-- Ends some overdue holds anywhere: 'some', 'none' when there are none left, 'spent' when this run has done its share.
function expiry.sweep_anywhere(batch)
  for _, slot in ipairs(batch.order) do
    if not slot.swept_out then
      batch.sweep_left = batch.sweep_left or expiry.MAX
      if batch.sweep_left <= 0 then return 'spent' end
      local before = children_of(slot)
      local _, seen = expiry.sweep(batch, slot, expiry.CHUNK)
      -- A child stays where it is until its home is asked: another run would only meet it again.
      batch.sweep_left = batch.sweep_left - seen + children_of(slot) - before
      slot.swept_out = slot.swept_out or children_of(slot) >= expiry.CHILDREN_MAX
      if seen > 0 then return 'some' end
    end
  end
  return 'none'
end
