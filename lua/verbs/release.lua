-- release: gives a hold's units back. Needs the hold's id; lines of the hold (none: all).
-- A hold nobody knows is released too: the tombstone refuses its late reserve.
local release = {}

function release.parse(batch, op, count)
  op.hold = packed.text(batch)
  op.lines = packed.hold_lines(batch, count)
  reading.want_hold(batch.slots[op.home], op.hold)
end

local function bury_unborn(batch, op)
  local slot = batch.slots[op.home]
  local one = { id = op.hold, state = 'l', deadline = 0, made = batch.now_text, lines = {}, cause = '{}' }
  slot.holds[op.hold] = one
  books.touch_hold(slot, one)
  return answer.ok_hold({}, one)
end

function release.apply(batch, op)
  local slot = batch.slots[op.home]
  if not slot.holds[op.hold] then return bury_unborn(batch, op) end
  local one, refused = promise.live(batch, op)
  if refused then return refused end
  local chosen
  chosen, refused = promise.selection(op, one)
  if refused then return refused end
  local cause = op.cause .. ' ' .. one.cause
  local changes, left, sold = {}, 0, 0
  for _, line in ipairs(one.lines) do
    local back = promise.chosen(chosen, line)
    if back > 0 then changes[#changes + 1] = books.move_held(batch, line, 'l', cause, 0, -back, back) end
    line.held = line.held - back
    left = left + line.held
    sold = sold + line.committed
  end
  if left == 0 then one.state = sold > 0 and 'c' or 'l' end
  books.touch_hold(slot, one)
  cart.tell_later(batch, slot, one)
  return answer.ok_hold(changes, one)
end
