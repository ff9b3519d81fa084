-- Operations as the gateway packs them, in bytes, big-endian; a text is led by its length. In order:
-- verb (1 letter), its partition (2), record (4 + text), fingerprint (1 + text), cause (4 + text), flags (1), lines (1: how
-- many); then what the verb needs besides, then its lines. What a verb does not have is empty or 0.
local packed = {}

-- One operation's beginning, and how many lines it has.
function packed.operation(batch)
  local verb, home, field, fingerprint, cause, flags, count, at =
    struct.unpack('>c1HI4c0Bc0I4c0BB', batch.packed, batch.at)
  batch.at = at
  -- All fields at once, and eight of them: a table grows by doubling, which costs more than making it whole.
  return {
    verb = verb, home = home, field = field ~= '' and field, fingerprint = fingerprint, cause = cause, flags = flags,
    lines = false, given = false,
  }, count
end

-- 4 + text.
function packed.text(batch)
  local text
  text, batch.at = struct.unpack('>I4c0', batch.packed, batch.at)
  return text
end

-- 8, signed.
function packed.number(batch)
  local number
  number, batch.at = struct.unpack('>i8', batch.packed, batch.at)
  return number
end

-- Lines of a request, whose levels will be needed: partition (2), sku (1 + text), quantity (8), expected version (8; -1:
-- any).
function packed.lines(batch, count)
  local all = {}
  for index = 1, count do
    local number, sku, quantity, expected, at = struct.unpack('>HBc0i8i8', batch.packed, batch.at)
    batch.at = at
    all[index] = {
      number = number, sku = sku, quantity = quantity, expected = expected >= 0 and expected, slot = false,
      balance = false, index = false,
    }
    reading.want_level(batch.slots[number], sku)
  end
  return all
end

-- Lines of a hold: sku (1 + text), quantity (8).
function packed.hold_lines(batch, count)
  local all = {}
  for index = 1, count do
    local sku, quantity, at = struct.unpack('>Bc0i8', batch.packed, batch.at)
    batch.at = at
    all[index] = { sku = sku, quantity = quantity }
  end
  return all
end
