-- align: brings a child of a cart to what home says, whatever it missed: moves the difference, so that a late or repeated one
-- changes nothing. Flags: 1 when home gave the attempt up; 2 to look at it later, since something about it is broken. Needs the
-- child's id, home's revision, state and deadline, ms; and the lines' targets (packed.targets).
local align = {}

function align.parse(batch, op, count)
  op.hold = packed.text(batch)
  op.revision = packed.number(batch)
  op.state = packed.text(batch)
  op.deadline = packed.number(batch)
  op.targets = packed.targets(batch, count)
  reading.want_hold(batch.slots[op.home], op.hold)
end

-- What one line comes to; its change when it moves.
local function move(batch, op, one, line)
  local target = op.targets[line.sku] or { held = 0, committed = line.committed }
  local sold, back = target.committed - line.committed, line.held - target.held
  line.held, line.committed = target.held, target.committed
  local cause = op.cause == '' and one.cause or op.cause .. ' ' .. one.cause
  if one.brings_in then
    return sold > 0 and books.move_held(batch, line, 'i', cause, sold, 0, sold)
  end
  if sold == 0 and back == 0 then return false end
  local kind = sold > 0 and 'c' or op.state == 'x' and 'x' or 'l'
  -- Not -sold: Lua would write none sold as -0.
  return books.move_held(batch, line, kind, cause, 0 - sold, 0 - back, sold > 0 and sold or back)
end

-- The level of a line that did not move, with the event that made it.
local function unmoved(slot, line)
  local one = slot.levels[line.sku]
  local _, event = level.last_change(one)
  return {
    slot = slot, sku = line.sku, quantity = 0, balance = level.balance(one), index = one.index, event = not one.index and event,
  }
end

local function follow(batch, op, slot, one)
  local changes, moved, left, sold = {}, false, 0, 0
  for index, line in ipairs(one.lines) do
    local change = move(batch, op, one, line)
    if change then moved = true end
    changes[index] = change or unmoved(slot, line)
    left, sold = left + line.held, sold + line.committed
  end
  one.revision = op.revision
  if op.deadline > 0 then one.deadline = op.deadline end
  if left == 0 then one.state = sold > 0 and 'c' or op.state == 'x' and 'x' or 'l' end
  books.touch_hold(slot, one)
  return changes, moved
end

function align.apply(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.holds[op.hold]
  if not one then return answer.undecided('gone') end
  if op.flags == 2 then
    expiry.park(batch, slot, op.hold)
    return answer.undecided('gone')
  end
  if one.broken or not one.home then return answer.undecided('broken hold ' .. op.hold) end
  for _, line in ipairs(one.lines) do
    local current = slot.levels[line.sku]
    if current.broken or current.missing then return answer.undecided('broken sku ' .. line.sku) end
  end
  local is_given_up = op.flags == 1
  -- Home remembers so long: an older child may be one that home decided and has forgotten.
  if is_given_up and one.state == 'h' and batch.now - tonumber(one.made) >= batch.retention_ms then
    return answer.undecided('forgotten')
  end
  local changes, moved = {}, false
  if one.state == 'h' and (is_given_up or op.revision > one.revision) then
    changes, moved = follow(batch, op, slot, one)
  else
    for index, line in ipairs(one.lines) do changes[index] = unmoved(slot, line) end
  end
  if one.state == 'h' and one.deadline <= batch.now then
    slot.look_at[op.hold] = batch.now + cart.LOOK_AGAIN_MS
  end
  return { changes = changes, text = false, kept = moved, named = true, tail = ' ' .. one.state }
end
