-- repair: writes a level that verifying found to be right, if the stored text is still the one it looked at.
-- Needs sku, text seen ('' when there was none), on hand, held, held delta,
-- version.
local repair = {}

function repair.parse(batch, op)
  op.line = { number = op.home, sku = packed.text(batch) }
  op.seen = packed.text(batch)
  op.on_hand = packed.number(batch)
  op.held = packed.number(batch)
  op.held_delta = packed.number(batch)
  op.version = packed.number(batch)
  reading.want_level(batch.slots[op.home], op.line.sku)
end

function repair.apply(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.levels[op.line.sku]
  if one.dirty or one.text ~= op.seen then return answer.undecided('busy') end
  local mended = {
    sku = one.sku, text = one.text, on_hand = op.on_hand, held = op.held, version = op.version,
    updated = batch.now_text, refused = '0', event = '-',
  }
  slot.levels[one.sku] = mended
  mended.index = books.record(slot, 'p', op.cause, mended, 0, op.held_delta)
  books.touch(slot, mended)
  -- Nobody asked by a key: not remembered.
  return {
    changes = { { slot = slot, sku = one.sku, quantity = 0, balance = mended.balance, index = mended.index } },
    text = false, kept = false,
  }
end
