-- sweep: ends overdue holds of one partition. Needs how many at most.
local sweep = {}

function sweep.parse(batch, op)
  op.limit = packed.number(batch)
end

function sweep.apply(batch, op)
  if not batch.wide then return answer.undecided('wide') end
  local slot = batch.slots[op.home]
  local ended = 0
  while op.limit > 0 and not slot.swept_out do
    local count = math.min(op.limit, expiry.CHUNK)
    local now_ended = expiry.sweep(batch, slot, count)
    ended = ended + now_ended
    op.limit = op.limit - count
  end
  return answer.undecided('swept ' .. ended .. ' ' .. (slot.swept_out and 0 or 1))
end
