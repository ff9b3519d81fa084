-- What must hold before units move; and the end of holds whose time is over, which may free them.
local rules = {}

-- Broken, unknown and versioned lines, in this order of precedence; nil when all lines may go on.
function rules.objection(batch, lines)
  local unknown, versions = {}, {}
  for _, line in ipairs(lines) do
    local one = books.level(batch, line)
    if one.broken then return answer.undecided('broken sku ' .. line.sku) end
    if one.missing then
      unknown[#unknown + 1] = line.sku
    elseif line.expected and one.version ~= line.expected then
      versions[#versions + 1] = line.sku .. ' ' .. line.expected .. ' ' .. one.version
    end
  end
  if #unknown > 0 then return answer.list('unknown_sku', unknown) end
  if #versions > 0 then return answer.list('version', versions) end
  return nil
end

function rules.overflow(batch, lines)
  for _, line in ipairs(lines) do
    if books.level(batch, line).on_hand + line.quantity > level.MAX then
      return answer.refuse('overflow ' .. line.sku)
    end
  end
  return nil
end

-- Ends one hold whose time is over: its units go back. False when one of its records is broken.
function rules.expire(batch, slot, one)
  if one.broken then return false end
  for _, line in ipairs(one.lines) do
    local current = books.level(batch, line)
    if line.held > 0 and (current.broken or current.missing) then return false end
  end
  one.state = 'x'
  for _, line in ipairs(one.lines) do
    if line.held > 0 then books.move(batch, line, 'x', one.cause, 0, -line.held, line.held) end
  end
  books.touch_hold(slot, one)
  return true
end

-- Ends up to count overdue holds of one partition; answers how many it ended and how many it looked at.
function rules.sweep(batch, slot, count)
  local ids = reads.call('ZRANGE', slot.deadlines_key, '-inf', batch.now, 'BYSCORE', 'LIMIT', slot.swept, count)
  slot.swept = slot.swept + #ids
  slot.swept_out = #ids < count
  for _, id in ipairs(ids) do books.want_hold(slot, id) end
  books.read_holds(batch, slot)
  for _, other in ipairs(batch.order) do books.read_levels(other) end
  local ended = 0
  for _, id in ipairs(ids) do
    local one = slot.holds[id]
    if not one or one.state ~= 'h' and not one.broken then
      slot.stale_deadlines[#slot.stale_deadlines + 1] = id
    elseif one.broken then
      slot.parked[#slot.parked + 1] = id
    elseif one.deadline <= batch.now then
      if rules.expire(batch, slot, one) then ended = ended + 1 else slot.parked[#slot.parked + 1] = id end
    end
  end
  return ended, #ids
end

-- Ends some overdue holds anywhere: 'some', 'none' when there are none left, 'spent' when this run has done its share.
function rules.sweep_anywhere(batch)
  for _, slot in ipairs(batch.order) do
    if not slot.swept_out then
      if batch.sweep_left <= 0 then return 'spent' end
      -- Only holds count: a partition without any must not use up the share of the next.
      local _, looked_at = rules.sweep(batch, slot, math.min(books.SWEEP_CHUNK, batch.sweep_left))
      batch.sweep_left = batch.sweep_left - looked_at
      return 'some'
    end
  end
  return 'none'
end

local function shortages(batch, lines)
  local short = {}
  for _, line in ipairs(lines) do
    local one = books.level(batch, line)
    local available = one.on_hand - one.held
    if available < line.quantity then
      short[#short + 1] = line.sku .. ' ' .. line.quantity .. ' ' .. available
    end
  end
  return short
end

-- A sale that named its channel was refused: that channel shows too much. At most one event per SKU and version.
local function note_refusal(batch, op, lines)
  for _, line in ipairs(lines) do
    local slot = batch.slots[line.number]
    local one = slot.levels[line.sku]
    if one.on_hand - one.held < line.quantity and one.refused ~= one.version then
      one.refused = one.version
      books.record(slot, 'f', op.cause, one, 0, 0)
      books.touch(slot, one)
    end
  end
end

-- nil when every line can be taken from what is available; overdue holds never refuse a sale.
function rules.shortage(batch, op, lines)
  local short = shortages(batch, lines)
  while #short > 0 do
    if not batch.wide then return answer.undecided('wide') end
    local found = rules.sweep_anywhere(batch)
    if found == 'spent' then return answer.undecided('again') end
    if found == 'none' then
      if op.source then note_refusal(batch, op, lines) end
      return answer.list('insufficient', short)
    end
    short = shortages(batch, lines)
  end
  return nil
end

-- Finds a hold that can still be acted on: answers hold, nil or nil, answer.
function rules.live_hold(batch, op)
  local slot = batch.slots[op.home]
  local one = slot.holds[op.hold]
  if not one then return nil, answer.refuse('unknown_hold') end
  if one.broken then return nil, answer.undecided('broken hold ' .. op.hold) end
  if one.state == 'h' and one.deadline <= batch.now and not rules.expire(batch, slot, one) then
    return nil, answer.undecided('broken hold ' .. op.hold)
  end
  if one.state ~= 'h' then return one, answer.refuse('over ' .. one.state .. ' ' .. one.deadline) end
  for _, line in ipairs(one.lines) do
    local current = books.level(batch, line)
    if current.broken or current.missing then return nil, answer.undecided('broken sku ' .. line.sku) end
  end
  return one, nil
end

-- What a commit or release names of a hold, as sku -> units; nothing named is all. Or nil, answer when it names too much.
function rules.selection(op, one)
  local chosen, rest, too_much = {}, {}, {}
  for _, line in ipairs(one.lines) do
    rest[line.sku] = line.held
    if #op.lines == 0 then chosen[line.sku] = line.held end
  end
  for _, asked in ipairs(op.lines) do
    local held = rest[asked.sku] or 0
    if asked.quantity > held then
      too_much[#too_much + 1] = asked.sku .. ' ' .. asked.quantity .. ' ' .. held
    end
    chosen[asked.sku] = asked.quantity
  end
  if #too_much > 0 then return nil, answer.list('exceeds', too_much) end
  return chosen, nil
end
