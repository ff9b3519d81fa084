-- prepare: takes one partition's part of a cart, in a child of its hold; a repeat is told the same. Units that come in are not
-- there yet: only a version that was expected is used up. Flags: cart.lua. Needs the child's id, the number of home, the attempt, the
-- ttl, ms; its lines; then of each line the units its hold reserved and sold before.
local prepare = {}

function prepare.parse(batch, op, count)
  cart.take_flags(op)
  op.hold = packed.text(batch)
  op.decided_by = packed.number(batch)
  op.attempt = packed.number(batch)
  op.ttl_ms = packed.number(batch)
  op.lines = packed.lines(batch, count)
  for _, line in ipairs(op.lines) do
    line.reserved = packed.number(batch)
    line.sold_before = packed.number(batch)
  end
  reading.want_hold(batch.slots[op.home], op.hold)
end

function prepare.apply(batch, op)
  local slot = batch.slots[op.home]
  -- The child of another request with the same key: its record would have told this one.
  if slot.holds[op.hold] then return answer.undecided('conflict -') end
  local refused = cart.refusal(batch, op, op.lines)
  if refused then
    -- Home is who remembers.
    refused.kept = false
    return refused
  end
  local one = {
    id = op.hold, state = 'h', deadline = batch.now + op.ttl_ms, made = batch.now_text, lines = {}, cause = op.cause,
    home = op.decided_by, attempt = op.attempt, revision = 0, brings_in = op.brings_in,
  }
  for index, line in ipairs(op.lines) do
    if not op.brings_in then
      books.move_own(batch, line, 'r', op.cause, 0, line.quantity)
    elseif line.expected then
      books.move_own(batch, line, 'a', op.cause, 0, 0)
    end
    one.lines[index] = {
      number = line.number, sku = line.sku, reserved = digits.of(line.reserved), held = op.brings_in and 0 or line.quantity,
      committed = line.sold_before,
    }
  end
  slot.holds[op.hold] = one
  books.touch_hold(slot, one)
  return answer.ok(op.brings_in and {} or op.lines)
end
