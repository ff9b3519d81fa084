-- What may be done with a hold: only one that lives, and no more than it promises.
local promise = {}

-- Finds a hold that can still be acted on: answers hold, nil or nil, answer.
function promise.live(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.holds[op.hold]
  if not one then return nil, answer.refuse('unknown_hold') end
  if one.broken then return nil, answer.undecided('broken hold ' .. op.hold) end
  if one.state == 'h' and one.deadline <= batch.now and not expiry.expire(batch, slot, one) then
    return nil, answer.undecided('broken hold ' .. op.hold)
  end
  if one.state ~= 'h' then return one, answer.refuse('over ' .. one.state .. ' ' .. one.deadline) end
  for _, line in ipairs(one.lines) do
    local current = not line.is_away and books.level(batch, line)
    if current and (current.broken or current.missing) then return nil, answer.undecided('broken sku ' .. line.sku) end
  end
  return one, nil
end

-- What a reserve is told whose hold is there although its record is not: released before it was made, or extended past its
-- record's life.
function promise.in_the_way(batch, one)
  if one.broken then return answer.undecided('broken hold ' .. one.id) end
  if one.state == 'h' and one.deadline > batch.now then return answer.refuse('over h ' .. one.deadline) end
  local state = one.state == 'h' and 'x' or one.state
  return answer.refuse('over ' .. state .. ' ' .. one.deadline)
end

-- What a commit or release names of a hold, as sku -> units; nil when it names nothing, which is all. Or nil, answer when it
-- names too much.
function promise.selection(op, one)
  if #op.lines == 0 then return nil end
  local chosen, rest, too_much = {}, {}, {}
  for _, line in ipairs(one.lines) do rest[line.sku] = line.held end
  for _, asked in ipairs(op.lines) do
    local held = rest[asked.sku] or 0
    if asked.quantity > held then
      too_much[#too_much + 1] = asked.sku .. ' ' .. asked.quantity .. ' ' .. held
    end
    chosen[asked.sku] = asked.quantity
  end
  if #too_much > 0 then return nil, answer.list('exceeds', too_much) end
  return chosen, nil
end

-- The units of a line that were chosen.
function promise.chosen(chosen, line)
  if not chosen then return line.held end
  return chosen[line.sku] or 0
end
