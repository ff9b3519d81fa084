-- commit: sells what a hold promised. Needs the hold's id; lines of the hold (none: all). Flags: 1 keep open,
-- 2 reacquire, 4 of a cart over partitions: then the attempt its other partitions have prepared stands before the lines, or -1.
local commit = {}

function commit.parse(batch, op, count)
  op.hold = packed.text(batch)
  op.keep_open = op.flags % 2 == 1
  op.reacquire = op.flags % 4 >= 2
  if op.flags >= 4 then
    op.attempt = packed.number(batch)
    cart.want(batch, op)
  end
  op.lines = packed.hold_lines(batch, count)
  reading.want_hold(batch.slots[op.home], op.hold)
end

-- Takes the units of an expired hold again, straight into a sale. Of a cart over partitions only when the others have prepared
-- theirs.
local function reacquire(batch, op, one)
  local chosen, refused = promise.selection(op, one)
  if refused then return refused end
  if one.is_cart then
    local first
    first, refused = cart.first_attempt(batch, op)
    if refused then return refused end
    first = math.max(first, one.attempt + 1)
    if op.attempt < first then return answer.undecided('retake ' .. first .. hold.tell(one)) end
  end
  local wanted, here = {}, {}
  for _, line in ipairs(one.lines) do
    local units = promise.chosen(chosen, line)
    if units > 0 then
      wanted[#wanted + 1] =
        { number = line.number, sku = line.sku, quantity = units, of = line, is_away = line.is_away }
      if not line.is_away then here[#here + 1] = wanted[#wanted] end
    end
  end
  refused = rules.refusal(batch, op, here)
  if refused then return refused end
  local changes = {}
  for index, line in ipairs(wanted) do
    line.of.committed = line.of.committed + line.quantity
    changes[index] = books.move_held(batch, line, 'c', op.cause .. ' ' .. one.cause, -line.quantity, 0, line.quantity)
  end
  for _, line in ipairs(one.lines) do line.held = 0 end
  one.state = 'c'
  if one.is_cart then one.attempt = op.attempt end
  books.touch_hold(batch.slots[op.home], one)
  return answer.ok_hold(changes, one)
end

function commit.apply(batch, op)
  local one, refused = promise.live(batch, op)
  if refused then
    if one and one.state == 'x' and op.reacquire then return reacquire(batch, op, one) end
    return refused
  end
  local chosen
  chosen, refused = promise.selection(op, one)
  if refused then return refused end
  local cause = op.cause .. ' ' .. one.cause
  local changes, left = {}, 0
  for _, line in ipairs(one.lines) do
    local sold = promise.chosen(chosen, line)
    local back = op.keep_open and 0 or line.held - sold
    if sold + back > 0 then
      local kind = sold > 0 and 'c' or 'l'
      -- Not -sold: Lua would write none sold as -0.
      changes[#changes + 1] = books.move_held(batch, line, kind, cause, 0 - sold, 0 - sold - back, sold)
    end
    line.committed = line.committed + sold
    line.held = line.held - sold - back
    left = left + line.held
  end
  if left == 0 then one.state = 'c' end
  local slot = batch.slots[op.home]
  books.touch_hold(slot, one)
  cart.tell_later(batch, slot, one)
  return answer.ok_hold(changes, one)
end
