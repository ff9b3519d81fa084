-- decrement: sells now. Flags: 1 when its source is named.
local decrement = {}

function decrement.parse(batch, op, count)
  op.lines = packed.lines(batch, count)
end

function decrement.apply(batch, op)
  local refused = rules.refusal(batch, op, op.lines)
  if refused then return refused end
  for index = 1, #op.lines do
    local line = op.lines[index]
    books.move_own(batch, line, 'd', op.cause, -line.quantity, 0)
  end
  return answer.ok(op.lines)
end
