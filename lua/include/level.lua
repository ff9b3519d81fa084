-- The count of one SKU, stored as
-- "<on hand> <held> <version> <updated, ms> <version last refused> <last event, or ->".
local level = {}

-- Counts stay within what a Lua number prints without an exponent (14 digits).
level.MAX = 10000000000000

-- Always answers a table: missing, broken or whole.
function level.read(sku, text)
  if not text then
    return { sku = sku, text = '', missing = true, on_hand = 0, held = 0, version = 0, refused = 0, event = '-' }
  end
  local on_hand, held, version, updated, refused, event =
    string.match(text, '^(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  if not on_hand then
    return { sku = sku, text = text, broken = true }
  end
  return {
    sku = sku, text = text, on_hand = tonumber(on_hand), held = tonumber(held), version = tonumber(version),
    updated = updated, refused = tonumber(refused), event = event,
  }
end

-- "<on hand> <held> <version>" as level, event and answer all say it. Printing a number costs more than anything else here,
-- and `..` prints it as a float, which costs twice as much.
function level.balance(one)
  return string.format('%d %d %d', one.on_hand, one.held, one.version)
end

function level.write(one)
  return (one.balance or level.balance(one)) .. ' ' .. one.updated .. ' ' .. one.refused .. ' ' .. one.event
end
