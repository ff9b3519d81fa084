-- set: sets a count, and makes the SKU if it is new. Flags: 1 when the count is of an earlier moment, then it
-- needs the on hand of that moment: later changes are kept on top. One line; any expected version is force, 0 is absent.
local set = {}

function set.parse(batch, op, count)
  op.then_on_hand = op.flags == 1 and packed.number(batch)
  op.lines = packed.lines(batch, count)
end

function set.apply(batch, op)
  local line = op.lines[1]
  local slot = batch.slots[line.number]
  local one = slot.levels[line.sku]
  if one.broken then return answer.undecided('broken sku ' .. line.sku) end
  if line.expected and one.version ~= line.expected then
    return answer.list('version', { line.sku .. ' ' .. line.expected .. ' ' .. one.version })
  end
  local delta = line.quantity - (op.then_on_hand or one.on_hand)
  if one.on_hand + delta > level.MAX then return answer.refuse('overflow ' .. line.sku) end
  if delta == 0 and not one.missing then
    -- Nothing changes, so there is no event to tell channels about; the answer names the one that made this version.
    local _, event = level.last_change(one)
    return answer.ok_with({ {
      slot = slot, sku = one.sku, quantity = 0, balance = level.balance(one), index = one.index,
      event = not one.index and event,
    } }, ' 0')
  end
  books.move_own(batch, line, 's', op.cause, delta, 0)
  return answer.ok_with(op.lines, ' ' .. delta)
end
