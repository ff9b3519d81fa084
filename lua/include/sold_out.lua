-- From sold out to the last channel that shows no unit any more, per SKU: "<since, ms> <channels that still show units>".
local sold_out = {}

-- After fan_out: remembers what is sold out and still shown, forgets what is back or shown nowhere.
function sold_out.note(key, items, known, showing)
  local set, gone = {}, {}
  for index, item in ipairs(items) do
    if not item.behind then
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

-- One channel less shows the SKU: its text from now on, or, for the last one, nothing and since when it was sold out.
function sold_out.one_less(text)
  local since, left = string.match(text or '', '^(%d+) (%d+)$')
  if not since then return nil, nil end
  if tonumber(left) > 1 then return since .. ' ' .. tonumber(left) - 1, nil end
  return nil, tonumber(since)
end
