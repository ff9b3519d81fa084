-- reserve: promises units to a hold. Needs the hold's id and the ttl, ms. Flags: 1 when its source is named.
local reserve = {}

function reserve.parse(batch, op, count)
  op.hold = packed.text(batch)
  op.ttl_ms = packed.number(batch)
  op.lines = packed.lines(batch, count)
  reading.want_hold(batch.slots[op.home], op.hold)
end

function reserve.apply(batch, op)
  local slot = batch.slots[op.home]
  if slot.holds[op.hold] then return promise.in_the_way(batch, slot.holds[op.hold]) end
  local refused = rules.refusal(batch, op, op.lines)
  if refused then return refused end
  local one = {
    id = op.hold, state = 'h', deadline = batch.now + op.ttl_ms, made = batch.now_text, lines = {}, cause = op.cause,
  }
  for index, line in ipairs(op.lines) do
    books.move_own(batch, line, 'r', op.cause, 0, line.quantity)
    one.lines[index] =
      { number = line.number, sku = line.sku, reserved = digits.of(line.quantity), held = line.quantity, committed = 0 }
  end
  slot.holds[op.hold] = one
  books.touch_hold(slot, one)
  return answer.ok_with(op.lines, ' ' .. one.id .. ' ' .. digits.of(one.deadline))
end
