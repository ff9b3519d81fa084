-- Operations as the gateway packs them, in bytes, big-endian; a text is led by its length. In order:
-- verb (1 letter), its partition (2), record (4 + text), fingerprint (1 + text), cause (4 + text), flags (1), lines (1: how
-- many); then what the verb needs besides, then its lines. What a verb does not have is empty or 0.
local packed = {}

local take = struct.unpack

-- One operation's beginning, the letter of its verb, and how many lines it has.
function packed.operation(batch)
  local letter, home, field, fingerprint, cause, flags, count, at =
    take('>c1HI4c0Bc0I4c0BB', batch.packed, batch.at)
  batch.at = at
  -- All fields at once, and eight of them: a table grows by doubling, which costs more than making it whole.
  return {
    verb = false, home = home, field = field ~= '' and field, fingerprint = fingerprint, cause = cause, flags = flags,
    lines = false, given = false,
  }, letter, count
end

-- 4 + text.
function packed.text(batch)
  local text
  text, batch.at = take('>I4c0', batch.packed, batch.at)
  return text
end

-- 8, signed.
function packed.number(batch)
  local number
  number, batch.at = take('>i8', batch.packed, batch.at)
  return number
end

-- Lines of a request, whose levels will be needed: partition (2), sku (1 + text), quantity (8), expected version (8; -1:
-- any).
local function line_of(batch)
  local number, sku, quantity, expected, at = take('>HBc0i8i8', batch.packed, batch.at)
  batch.at = at
  reading.want_level(batch.slots[number], sku)
  return {
    number = number, sku = sku, quantity = quantity, expected = expected >= 0 and expected, slot = false, balance = false,
    index = false,
  }
end

function packed.lines(batch, count)
  if count == 1 then return { line_of(batch) } end
  local all = {}
  for index = 1, count do all[index] = line_of(batch) end
  return all
end

-- Lines of a cart at its home, in the order of the request: as above, each with what its partition told of it, "<on hand held
-- version event>" (4 + text; empty here, and when it will tell later). Also answers those that are here.
function packed.cart_lines(batch, count, home)
  local all, here = {}, {}
  for index = 1, count do
    local number, sku, quantity, expected, at = take('>HBc0i8i8', batch.packed, batch.at)
    batch.at = at
    local told = packed.text(batch)
    local line = { number = number, sku = sku, quantity = quantity, expected = expected >= 0 and expected }
    if number == home then
      reading.want_level(batch.slots[home], sku)
      here[#here + 1] = line
    else
      line.is_away = true
      line.balance, line.event = string.match(told, '^(%-?%d+ %d+ %d+) (%S+)$')
    end
    all[index] = line
  end
  return all, here
end

-- What a child of a cart must come to: sku (1 + text), units held (8), units committed (8); by sku.
function packed.targets(batch, count)
  local all = {}
  for _ = 1, count do
    local sku, held, committed, at = take('>Bc0i8i8', batch.packed, batch.at)
    batch.at = at
    all[sku] = { held = held, committed = committed }
  end
  return all
end

-- Lines of a hold: sku (1 + text), quantity (8).
function packed.hold_lines(batch, count)
  local all = {}
  for index = 1, count do
    local sku, quantity, at = take('>Bc0i8', batch.packed, batch.at)
    batch.at = at
    all[index] = { sku = sku, quantity = quantity }
  end
  return all
end
