-- extend: gives a hold another deadline, counted from now. Needs the hold's id and the ttl, ms.
local extend = {}

function extend.parse(batch, op)
  op.hold = packed.text(batch)
  op.ttl_ms = packed.number(batch)
  reading.want_hold(batch.slots[op.home], op.hold)
end

function extend.apply(batch, op)
  local one, refused = promise.live(batch, op)
  if refused then return refused end
  one.deadline = batch.now + op.ttl_ms
  local first = one.lines[1]
  for _, line in ipairs(one.lines) do
    if first.is_away then first = line end
  end
  local slot = batch.slots[first.number]
  books.record(slot, 'e', op.cause .. ' ' .. one.cause, slot.levels[first.sku], 0, 0)
  local home = batch.slots[op.home]
  books.touch_hold(home, one)
  cart.tell_later(batch, home, one)
  return answer.ok_hold({}, one)
end
