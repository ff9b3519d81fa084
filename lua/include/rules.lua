-- What must hold before units move.
local rules = {}

-- Whether every line can be taken at once: known, whole, at the expected version, and enough of it. One look per line; who is
-- refused gets the reasons in full.
function rules.all_can_be_taken(batch, lines)
  for index = 1, #lines do
    local line = lines[index]
    local one = batch.slots[line.number].levels[line.sku]
    if one.broken or one.missing or line.expected and one.version ~= line.expected
      or one.on_hand - one.held < line.quantity then
      return false
    end
  end
  return true
end

-- Broken, unknown and versioned lines, in this order of precedence; nil when all lines may go on.
function rules.objection(batch, lines)
  -- Tables only for what is wrong: a sale that goes through makes none.
  local unknown, versions
  for index = 1, #lines do
    local line = lines[index]
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

-- Why the lines cannot be taken from what is available, or nil. Overdue holds never refuse a sale.
function rules.refusal(batch, op, lines)
  if rules.all_can_be_taken(batch, lines) then return nil end
  local objection = rules.objection(batch, lines)
  if objection then return objection end
  local short = shortage.list(batch, lines)
  while short do
    if not batch.wide then return answer.undecided('wide') end
    local found = expiry.sweep_anywhere(batch)
    if found == 'spent' then return answer.undecided('again') end
    if found == 'none' then
      local children = cart.to_ask(batch, lines)
      if children then return answer.unkept('ask', children) end
      if op.flags == 1 then shortage.note(batch, op, lines) end
      return answer.list('insufficient', short)
    end
    -- The end of a hold is a mutation: an expected version may be over by it.
    objection = rules.objection(batch, lines)
    if objection then return objection end
    short = shortage.list(batch, lines)
  end
  return nil
end
