-- Deliveries of one carrier, or of one of its services on one lane, stored as
-- "<updated, ms> <count> <total> <on time> <failed> <days 0> … <days 31>". The count never fades; all behind it are weights in
-- millionths of a delivery, right at that moment. The last bin of days is for more.
local deliveries = {}

local ONE = 1000000
local BINS = 32
local NAMES = { 'updated_ms', 'count', 'total', 'on_time', 'failed' }

-- None of a text that does not parse; nothing counted yet where there is no text.
function deliveries.read(text)
  local numbers, one = {}, { days = {} }
  if text then
    if not string.find(text, '^[%d ]+$') then return nil end
    for word in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(word) end
    if #numbers ~= #NAMES + BINS then return nil end
  end
  for index, name in ipairs(NAMES) do one[name] = numbers[index] or 0 end
  for bin = 1, BINS do one.days[bin] = numbers[#NAMES + bin] or 0 end
  return one
end

function deliveries.write(one)
  local words = {}
  for index, name in ipairs(NAMES) do words[index] = digits.of(one[name]) end
  for bin = 1, BINS do words[#NAMES + bin] = digits.of(one.days[bin]) end
  return table.concat(words, ' ')
end

-- Halves each weight once per half-life; count is to follow, or nothing may be written. A clock that stepped back forgets nothing.
function deliveries.fade(one, now, half_life_ms)
  local elapsed_ms = now - one.updated_ms
  if elapsed_ms <= 0 then return end
  local share = 2 ^ (-elapsed_ms / half_life_ms)
  one.total, one.on_time = math.floor(one.total * share), math.floor(one.on_time * share)
  one.failed = math.floor(one.failed * share)
  for bin = 1, BINS do one.days[bin] = math.floor(one.days[bin] * share) end
end

-- outcome: on_time, late or failed; days of those that arrived, 0 and up.
function deliveries.count(one, now, outcome, days)
  one.updated_ms = math.max(one.updated_ms, now)
  one.count, one.total = one.count + 1, one.total + ONE
  if outcome == 'failed' then
    one.failed = one.failed + ONE
    return
  end
  if outcome == 'on_time' then one.on_time = one.on_time + ONE end
  local bin = math.min(days + 1, BINS)
  one.days[bin] = one.days[bin] + ONE
end
