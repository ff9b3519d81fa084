-- decide: a cart's own operation, at home, when all other partitions have prepared their part. Its record is the caller's.
-- Flags: cart.lua. Needs the hold's id, the attempt, the ttl, ms; all lines (packed.cart_lines).
local decide = {}

function decide.parse(batch, op, count)
  cart.take_flags(op)
  op.hold = packed.text(batch)
  op.attempt = packed.number(batch)
  op.ttl_ms = packed.number(batch)
  op.lines, op.here = packed.cart_lines(batch, count, op.home)
  cart.want(batch, op)
end

-- Moves the lines that are here; answers the changes of all.
local function move(batch, op)
  local changes = {}
  for index, line in ipairs(op.lines) do
    if line.is_away then
      changes[index] = line.event and line or books.away(line, line.quantity)
    else
      if op.makes_hold then
        books.move_own(batch, line, 'r', op.cause, 0, line.quantity)
      elseif op.brings_in then
        books.move_own(batch, line, 'i', op.cause, line.quantity, 0)
      else
        books.move_own(batch, line, 'd', op.cause, -line.quantity, 0)
      end
      changes[index] = line
    end
  end
  return changes
end

function decide.apply(batch, op)
  local first, refused = cart.first_attempt(batch, op)
  if refused then return refused end
  if op.attempt < first then return answer.undecided('lapsed') end
  refused = cart.in_the_way(batch, op) or cart.refusal(batch, op, op.here)
  if refused then return refused end
  local changes = move(batch, op)
  local slot = batch.slots[op.home]
  local one = {
    id = op.hold, state = op.makes_hold and 'h' or 'c', deadline = batch.now + op.ttl_ms, made = batch.now_text, lines = {},
    cause = op.cause, is_cart = true, attempt = op.attempt, revision = 0,
  }
  for index, line in ipairs(op.lines) do
    one.lines[index] = {
      number = line.number, sku = line.sku, is_away = line.is_away, reserved = digits.of(line.quantity),
      held = op.makes_hold and line.quantity or 0, committed = op.makes_hold and 0 or line.quantity,
    }
  end
  slot.holds[op.hold] = one
  books.touch_hold(slot, one)
  if op.makes_hold then return answer.ok_with(changes, ' ' .. one.id .. ' ' .. digits.of(one.deadline)) end
  return answer.ok_with(changes, hold.tell(one))
end
