-- extend: gives a hold another deadline, counted from now. Arguments: record, fingerprint, cause, hold id, ttl ms.
local extend = {}

function extend.parse(batch, op, take)
  op.hold = take()
  op.ttl_ms = tonumber(take())
  reading.want_hold(batch.slots[op.home], op.hold)
end

function extend.apply(batch, op)
  local one, refused = promise.live(batch, op)
  if refused then return refused end
  one.deadline = batch.now + op.ttl_ms
  local first = one.lines[1]
  local slot = batch.slots[first.number]
  books.record(slot, 'e', op.cause .. ' ' .. one.cause, slot.levels[first.sku], 0, 0)
  books.touch_hold(batch.slots[op.home], one)
  return answer.ok({}, hold.tell(one), true)
end
