-- The count of one SKU, stored as
-- "<on hand> <held> <version> <updated, ms> <mark> <last event, or ->". The mark is the version of a refused event that no claim
-- has followed: while it is the present version, another one would tell channels nothing. Any other number, mostly 0, says nothing.
local level = {}

local format, match = string.format, string.match

-- Counts stay within what a Lua number prints without an exponent (14 digits).
level.MAX = 10000000000000

-- Always answers a table: missing, broken or whole. All fields at once: a table grows by doubling, which costs more than making
-- it whole. What a sale does not look at stays in the text.
function level.read(sku, text)
  local on_hand, held, version, refused
  if text then
    on_hand, held, version, refused = match(text, '^(%-?%d+) (%d+) (%d+) %d+ (%d+) %S+$')
  end
  return {
    sku = sku, text = text or '', missing = not text, broken = text and not on_hand,
    on_hand = tonumber(on_hand or 0), held = tonumber(held or 0), version = tonumber(version or 0), refused = refused or '0',
    updated = false, event = false, balance = false, index = false, dirty = false,
  }
end

-- When it last changed, and the event that changed it.
function level.last_change(one)
  if one.event then return one.updated, one.event end
  local updated, event = string.match(one.text, '(%d+) %d+ (%S+)$')
  return updated, event
end

-- "<on hand> <held> <version>" as level, event and answer all say it.
function level.balance(one)
  return format('%d %d %d', one.on_hand, one.held, one.version)
end

function level.write(one)
  local updated, event = level.last_change(one)
  return (one.balance or level.balance(one)) .. ' ' .. updated .. ' ' .. one.refused .. ' ' .. event
end
