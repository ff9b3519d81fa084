-- ask: what home knows of an attempt at a cart, for a child of it. One that is not decided is given up: from now on it never can
-- be. Needs the hold's id and the attempt.
local ask = {}

function ask.parse(batch, op)
  op.hold = packed.text(batch)
  op.attempt = packed.number(batch)
  cart.want(batch, op)
end

function ask.apply(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.holds[op.hold]
  if one and one.broken then return answer.undecided('broken hold ' .. op.hold) end
  if one and one.is_cart and one.attempt == op.attempt then
    if one.state == 'h' and one.deadline <= batch.now and not expiry.expire(batch, slot, one) then
      return answer.undecided('broken hold ' .. op.hold)
    end
    return answer.undecided('is' .. hold.tell(one))
  end
  local first, refused = cart.first_attempt(batch, op)
  if refused then return refused end
  if op.attempt >= first then cart.give_up(batch, op) end
  return answer.undecided('lapsed')
end
