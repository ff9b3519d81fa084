-- A sale of one line, which is what most operations are: one table is operation, line and answer, and it takes as few steps as it
-- can. Whatever is not plain about it goes the way of all verbs.
local single = {}

-- The first byte of one, as packed.
single.LETTER = string.byte('D')

local take = struct.unpack

-- In order: D, partition (2), record (4 + text), fingerprint (1 + text), cause (4 + text), flags (1), sku (1 + text), quantity (8),
-- expected version (8; -1: any).
function single.parse(batch)
  local _, home, field, fingerprint, cause, flags, sku, quantity, expected, at =
    take('>c1HI4c0Bc0I4c0BBc0i8i8', batch.packed, batch.at)
  batch.at = at
  local slot = batch.slots[home]
  local wanted = slot.wanted_records
  wanted[#wanted + 1] = field
  reading.want_level(slot, sku)
  return {
    verb = false, home = home, number = home, field = field, fingerprint = fingerprint, cause = cause, flags = flags, sku = sku,
    quantity = quantity, expected = expected >= 0 and expected, lines = false, given = false, text = false, slot = slot,
    balance = false, index = false,
  }
end

-- Sells, if nothing stands against it. False when something may: then nothing was done.
function single.sell(batch, op)
  local slot = op.slot
  local one = slot.levels[op.sku]
  if op.expected or slot.records[op.field] or one.broken or one.missing or one.on_hand - one.held < op.quantity then
    return false
  end
  one.on_hand = one.on_hand - op.quantity
  one.version = one.version + 1
  one.updated = batch.now_text
  local index = books.record(slot, 'd', op.cause, one, -op.quantity, 0)
  one.index, op.index, op.balance, op.given = index, index, one.balance, op
  if not one.dirty then books.touch(slot, one) end
  slot.records[op.field] = op
  slot.new_records[#slot.new_records + 1] = op
  return true
end
