-- One hold, stored as "<state> <deadline, ms> <made, ms><mark> <n> <partition sku reserved held committed>… <cause of its
-- reserve>". State: h held, c committed, l released, x expired. An expired hold keeps, as held, what went back.
-- The mark is empty, or that of a cart over partitions (cart.lua): "#<attempt>.<revision>" at home, whose lines elsewhere are
-- away; "@<home>.<attempt>.<revision>" of a child, with "+" behind it when it brings units in.
local hold = {}

-- Reads the mark of a cart; false when it is none.
local function read_mark(one, mark)
  local home, attempt, revision, plus = string.match(mark, '^@(%d+)%.(%d+)%.(%d+)(%+?)$')
  if home then
    one.home, one.brings_in = tonumber(home), plus ~= ''
  else
    attempt, revision = string.match(mark, '^#(%d+)%.(%d+)$')
    one.is_cart = true
  end
  one.attempt, one.revision = tonumber(attempt or ''), tonumber(revision or '')
  return attempt ~= nil
end

local function mark_of(one)
  if not one.revision then return '' end
  local at = one.attempt .. '.' .. digits.of(one.revision)
  if one.is_cart then return '#' .. at end
  return '@' .. one.home .. '.' .. at .. (one.brings_in and '+' or '')
end

-- Answers nil when the text does not parse.
function hold.read(id, text)
  local state, deadline, made, mark, count, at = string.match(text, '^([hclx]) (%d+) (%d+)(%S*) (%d+) ()')
  if not state then return nil end
  local lines = {}
  for index = 1, tonumber(count) do
    local number, sku, reserved, held, committed, after =
      string.match(text, '^(%d+) (%S+) (%d+) (%d+) (%d+) ()', at)
    if not number then return nil end
    lines[index] = {
      number = tonumber(number), sku = sku, reserved = reserved, held = tonumber(held), committed = tonumber(committed),
    }
    at = after
  end
  local cause = string.sub(text, at)
  -- Answers are told apart by line: a text with more than one is broken.
  if string.sub(cause, 1, 1) ~= '{' or string.find(cause, '\n', 1, true) or state == 'h' and #lines == 0 then return nil end
  local one = { id = id, state = state, deadline = tonumber(deadline), made = made, lines = lines, cause = cause }
  if mark ~= '' and not read_mark(one, mark) then return nil end
  return one
end

-- "<sku reserved held committed> "
local function told(line)
  return line.sku .. ' ' .. line.reserved .. ' ' .. digits.of(line.held) .. ' ' .. digits.of(line.committed) .. ' '
end

function hold.write(one)
  local parts = { one.state .. ' ' .. digits.of(one.deadline) .. ' ' .. one.made .. mark_of(one) .. ' ' .. digits.of(#one.lines) .. ' ' }
  for index = 1, #one.lines do
    local line = one.lines[index]
    parts[index + 1] = digits.of(line.number) .. ' ' .. told(line)
  end
  parts[#parts + 1] = one.cause
  return table.concat(parts)
end

-- What an answer says of a hold: "<id> <state> <deadline><mark> <n> <sku reserved held committed>… <cause of its reserve>".
function hold.tell(one)
  local parts =
    { ' ' .. one.id .. ' ' .. one.state .. ' ' .. digits.of(one.deadline) .. mark_of(one) .. ' ' .. digits.of(#one.lines) .. ' ' }
  for index = 1, #one.lines do parts[index + 1] = told(one.lines[index]) end
  parts[#parts + 1] = one.cause
  return table.concat(parts)
end
