-- refuse: writes down at home that partitions of a cart refused, unless its key was answered meanwhile. Needs the refusal.
local refuse = {}

function refuse.parse(batch, op)
  op.words = packed.text(batch)
end

function refuse.apply(_, op)
  return answer.refuse(op.words)
end
