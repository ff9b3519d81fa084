-- From sold out to the last channel that shows no unit any more, per SKU: "<since, ms> <channels that still show units>".
-- A paused listing shows none.
local sold_out = {}

-- Counts a channel that shows units of what is sold out.
function sold_out.count(showing, index, item, quantity, paused)
  if item.sold_out_ms > 0 and quantity > 0 and not paused then showing[index] = (showing[index] or 0) + 1 end
end

-- What is noted of these SKUs; nil when there is nothing to note or to forget.
function sold_out.read(key, skus, any_sold_out)
  if server.call('HLEN', key) == 0 and not any_sold_out then return nil end
  return server.call('HMGET', key, unpack(skus))
end

-- After fan_out: remembers what is sold out and still shown, forgets what is back or shown nowhere.
function sold_out.note(key, items, known, showing)
  local set, gone = {}, {}
  for index, item in ipairs(items) do
    -- An entry adopted from a dead worker may tell of what is long over.
    if not item.behind and not item.is_old then
      local since = string.match(known[index] or '', '^(%d+) ')
      if item.sold_out_ms > 0 and showing[index] then
        set[#set + 1] = item.sku
        set[#set + 1] = (since or item.sold_out_ms) .. ' ' .. showing[index]
      elseif since then
        gone[#gone + 1] = item.sku
      end
    end
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

-- A channel shows units of the SKU from now on, or no longer: its text, or, after the last one, nothing and since when it was
-- sold out. One that was never told may hear of units when they are gone already.
function sold_out.told(text, shows)
  local since, left = string.match(text or '', '^(%d+) (%d+)$')
  if not since then return nil, nil end
  left = tonumber(left) + (shows and 1 or -1)
  if left > 0 then return since .. ' ' .. left, nil end
  return nil, tonumber(since)
end
