-- sweep: ends overdue holds of one partition. Needs how many to look at, at most, and how many of the first to pass over:
-- children of carts whose home could not be asked.
local sweep = {}

function sweep.parse(batch, op)
  op.limit = packed.number(batch)
  op.skip = packed.number(batch)
end

function sweep.apply(batch, op)
  if not batch.wide then return answer.undecided('wide') end
  local slot = batch.slots[op.home]
  slot.swept = math.max(slot.swept, op.skip)
  local ended = 0
  while op.limit > 0 and not slot.swept_out do
    local count = math.min(op.limit, expiry.CHUNK)
    local now_ended = expiry.sweep(batch, slot, count)
    ended = ended + now_ended
    op.limit = op.limit - count
  end
  local children = {}
  for index, one in ipairs(slot.overdue or {}) do
    children[index] = one.is_cart and one.attempt .. '~' .. one.id or one.id
  end
  local is_over = slot.swept_out
  -- Those that were passed over are no reason for others in this run to refuse a sale.
  if op.skip > 0 then slot.swept, slot.swept_out = 0, false end
  return answer.unkept('swept ' .. ended .. ' ' .. (is_over and 0 or 1), children)
end
