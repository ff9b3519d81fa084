-- Carts over partitions. The partition of the first SKU is home: it decides. The others have a child each, an ordinary hold under
-- "<attempt>~<hold id>" that only does what home says. An attempt that was given up can never be decided: home keeps a record of it.
local cart = {}

-- Children named by one refused sale at most: those are asked about, then the sale comes again.
cart.ASKED_MAX = 16
-- A child that is over by its own clock and not by home's is looked at again after so many ms.
cart.LOOK_AGAIN_MS = 20

-- A change at home that its children must follow is told to them again after so long, unless somebody says that they have.
cart.TELL_MS = 10000

-- Home has changed: until `told`, it stays among the deadlines. After books.touch_hold.
function cart.tell_later(batch, slot, one)
  if not one.is_cart then return end
  local tell_at = batch.now + cart.TELL_MS
  slot.look_at[one.id] = one.state == 'h' and math.min(tell_at, one.deadline) or tell_at
end

-- The flags of peek, prepare and decide: 1 its source is named, 2 it brings units in, 4 it makes a hold for the caller.
function cart.take_flags(op)
  op.makes_hold = op.flags >= 4
  op.brings_in = op.flags % 4 >= 2
  op.flags = op.flags % 2
end

-- Asks for what home knows of a hold. The record of attempts given up has a client no caller can be: "* <home SKU> <hold id>" ->
-- "* <first attempt that may still be decided>".
function cart.want(batch, op)
  local slot = batch.slots[op.home]
  op.given_up = '* ' .. string.match(op.hold, '^h%-[%d%.]+%-%d+%-%x+%-(.+)$') .. ' ' .. op.hold
  slot.wanted_records[#slot.wanted_records + 1] = op.given_up
  reading.want_hold(slot, op.hold)
end

-- The first attempt that may still be decided, or nil and an answer.
function cart.first_attempt(batch, op)
  local found = batch.slots[op.home].records[op.given_up]
  local first = found and tonumber(found.given.text or '')
  if found and not first then return nil, answer.undecided('broken record ' .. op.given_up) end
  return first or 0, nil
end

-- From now on neither this attempt nor one before it can be decided.
function cart.give_up(batch, op)
  local slot = batch.slots[op.home]
  local note = { field = op.given_up, fingerprint = '*', given = { text = digits.of(op.attempt + 1) } }
  slot.records[note.field] = note
  slot.new_records[#slot.new_records + 1] = note
end

-- Why home objects to making a cart's hold, or nil. A tombstone only stands in the way of a reserve.
function cart.in_the_way(batch, op)
  local one = batch.slots[op.home].holds[op.hold]
  if one and (op.makes_hold or one.is_cart or one.broken) then return promise.in_the_way(batch, one) end
  return nil
end

-- Why the lines of one partition cannot be taken, or brought in; nil when they can.
function cart.refusal(batch, op, lines)
  if op.brings_in then return rules.objection(batch, lines) or rules.overflow(batch, lines) end
  return rules.refusal(batch, op, lines)
end

local function holds_any(child, sku)
  for _, line in ipairs(child.lines) do
    if line.sku == sku and line.held > 0 then return true end
  end
  return false
end

-- Overdue children that hold units the lines are short of; nil when there are none.
function cart.to_ask(batch, lines)
  local ids, is_named
  for _, line in ipairs(lines) do
    local slot = batch.slots[line.number]
    local one = slot.levels[line.sku]
    if slot.overdue and one.on_hand - one.held < line.quantity then
      ids, is_named = ids or {}, is_named or {}
      for _, child in ipairs(slot.overdue) do
        if child.home and #ids < cart.ASKED_MAX and not is_named[child.id] and holds_any(child, line.sku) then
          ids[#ids + 1], is_named[child.id] = child.id, true
        end
      end
    end
  end
  return ids and #ids > 0 and ids or nil
end
