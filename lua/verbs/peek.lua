-- peek: what a partition says to a cart before anything of it is prepared; at home after its key was looked up. Changes nothing,
-- save that overdue holds end and a refusal that names its channel is noted. Flags: cart.lua. Needs the hold's id ('' away
-- from home) and its lines here.
local peek = {}

function peek.parse(batch, op, count)
  cart.take_flags(op)
  op.hold = packed.text(batch)
  op.lines = packed.lines(batch, count)
  if op.hold ~= '' then cart.want(batch, op) end
end

function peek.apply(batch, op)
  local attempt, refused = 0, nil
  if op.hold ~= '' then
    attempt, refused = cart.first_attempt(batch, op)
    if refused then return refused end
    refused = cart.in_the_way(batch, op)
  end
  refused = refused or cart.refusal(batch, op, op.lines)
  if not refused then return answer.undecided('clear ' .. attempt) end
  if not refused.kept then return refused end
  return answer.undecided('objects ' .. attempt .. ' ' .. refused.text)
end
