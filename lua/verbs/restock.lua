-- restock: takes units in.
local restock = {}

function restock.parse(batch, op, count)
  op.lines = packed.lines(batch, count)
end

function restock.apply(batch, op)
  local refused = rules.objection(batch, op.lines) or rules.overflow(batch, op.lines)
  if refused then return refused end
  for _, line in ipairs(op.lines) do
    books.move_own(batch, line, 'i', op.cause, line.quantity, 0)
  end
  return answer.ok(op.lines)
end
