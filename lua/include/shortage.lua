-- Lines that ask for more than there is.
local shortage = {}

-- "<sku requested available>" of each short line; nil when there are none.
function shortage.list(batch, lines)
  local short
  for index = 1, #lines do
    local line = lines[index]
    local one = books.level(batch, line)
    local available = one.on_hand - one.held
    if available < line.quantity then
      short = short or {}
      short[#short + 1] = line.sku .. ' ' .. digits.of(line.quantity) .. ' ' .. digits.of(available)
    end
  end
  return short
end

-- A sale that named its channel was refused: that channel shows too much. No second event of a version before a claim has
-- followed the first: until then no channel has been told because of it, and all will be.
function shortage.note(batch, op, lines)
  for _, line in ipairs(lines) do
    local slot = batch.slots[line.number]
    local one = slot.levels[line.sku]
    if one.on_hand - one.held < line.quantity and tonumber(one.refused) ~= one.version then
      one.refused = string.format('%d', one.version)
      books.record(slot, 'f', op.cause, one, 0, 0)
      books.touch(slot, one)
    end
  end
end
