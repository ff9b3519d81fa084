-- What must hold before units move.
local rules = {}

-- Broken, unknown and versioned lines, in this order of precedence; nil when all lines may go on.
function rules.objection(batch, lines)
  -- Tables only for what is wrong: a sale that goes through makes none.
  local unknown, versions
  for _, line in ipairs(lines) do
    local one = books.level(batch, line)
    if one.broken then return answer.undecided('broken sku ' .. line.sku) end
    if one.missing then
      unknown = unknown or {}
      unknown[#unknown + 1] = line.sku
    elseif line.expected and one.version ~= line.expected then
      versions = versions or {}
      versions[#versions + 1] = line.sku .. ' ' .. line.expected .. ' ' .. one.version
    end
  end
  if unknown then return answer.list('unknown_sku', unknown) end
  if versions then return answer.list('version', versions) end
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

-- nil when there are none.
local function shortages(batch, lines)
  local short
  for _, line in ipairs(lines) do
    local one = books.level(batch, line)
    local available = one.on_hand - one.held
    if available < line.quantity then
      short = short or {}
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
  while short do
    if not batch.wide then return answer.undecided('wide') end
    local found = expiry.sweep_anywhere(batch)
    if found == 'spent' then return answer.undecided('again') end
    if found == 'none' then
      if op.source then note_refusal(batch, op, lines) end
      return answer.list('insufficient', short)
    end
    -- The end of a hold is a mutation: an expected version may be over by it.
    local objection = rules.objection(batch, lines)
    if objection then return objection end
    short = shortages(batch, lines)
  end
  return nil
end
