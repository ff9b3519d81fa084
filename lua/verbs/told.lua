-- told: the children of a cart have followed its home: it need not tell them again. Needs the hold's id and the revision they have.
local told = {}

function told.parse(batch, op)
  op.hold = packed.text(batch)
  op.revision = packed.number(batch)
  reading.want_hold(batch.slots[op.home], op.hold)
end

function told.apply(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.holds[op.hold]
  -- A newer revision is told by whoever made it.
  if one and one.is_cart and one.revision == op.revision then
    slot.look_at[op.hold] = one.state == 'h' and one.deadline
  end
  return answer.undecided('gone')
end
