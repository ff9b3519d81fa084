-- adjust: corrects a count by a delta. One line, whose quantity is the delta.
-- On hand never falls below zero by it; available may, and is then oversold.
local adjust = {}

function adjust.parse(batch, op, count)
  op.lines = packed.lines(batch, count)
end

function adjust.apply(batch, op)
  local refused = rules.objection(batch, op.lines) or rules.overflow(batch, op.lines)
  if refused then return refused end
  local line = op.lines[1]
  local one = books.level(batch, line)
  if line.quantity < 0 and one.on_hand + line.quantity < 0 then
    return answer.list('insufficient', { line.sku .. ' ' .. -line.quantity .. ' ' .. one.on_hand })
  end
  books.move_own(batch, line, 'a', op.cause, line.quantity, 0)
  return answer.ok(op.lines)
end
