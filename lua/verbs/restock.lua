-- restock: takes units in. Arguments: record, fingerprint, cause, lines.
local restock = {}

function restock.parse(batch, op, take)
  op.lines = lines.versioned(batch, take)
end

function restock.apply(batch, op)
  local refused = rules.objection(batch, op.lines) or rules.overflow(batch, op.lines)
  if refused then return refused end
  local changes = {}
  for index, line in ipairs(op.lines) do
    changes[index] = books.move(batch, line, 'i', op.cause, line.quantity, 0, line.quantity)
  end
  return answer.ok(changes)
end
