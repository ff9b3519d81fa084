-- When a marked SKU is told.
local timing = {}

-- A dead letter that changes is tried once more, but no sooner than this after it died: what a channel will not take may be
-- selling fast elsewhere.
timing.DEAD_PAUSE_MS = 30000

-- Until when a refused sale waits, by the moment its number was confirmed; a clock may have stepped back since.
function timing.retell_ms(confirmed_ms, now)
  return math.min(confirmed_ms, now) + work.RETELL_PAUSE_MS
end

-- The score a marked SKU gets; nothing when it stays where it is. `retell_ms`: what is told again waits until then, or 0.
function timing.due_at(item, channel, due, dead, now, text, retell_ms)
  local is_live = due and due < work.LATER
  if item.behind then return not due and work.LATER + now or nil end
  if dead and not is_live then return math.max(now, dead + timing.DEAD_PAUSE_MS) end
  local is_later = is_live and due > now
  -- After a failure it waits for its time; what was only told to wait does not wait with news.
  if is_later and text and not string.find(text, '^0 ') then return nil end
  if retell_ms > now then return (not is_live or due > retell_ms) and retell_ms or nil end
  if item.available <= channel.urgent_at then return 0 end
  return (is_later or not is_live) and now or nil
end
