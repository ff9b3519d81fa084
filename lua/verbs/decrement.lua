-- decrement: sells now. Arguments: record, fingerprint, cause, source named (1 or 0), lines.
local decrement = {}

function decrement.parse(batch, op, take)
  op.source = take() == '1'
  op.lines = lines.versioned(batch, take)
end

function decrement.apply(batch, op)
  local refused = rules.objection(batch, op.lines) or rules.shortage(batch, op, op.lines)
  if refused then return refused end
  for _, line in ipairs(op.lines) do
    books.move_own(batch, line, 'd', op.cause, -line.quantity, 0)
  end
  return answer.ok(op.lines)
end
