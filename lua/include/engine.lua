-- The engine of transact: parse, read, decide, write, answer.
local engine = {}

local VERBS = {
  d = decrement, i = restock, r = reserve, c = commit, l = release, e = extend, a = adjust, s = set,
  k = resolve, w = sweep, p = repair,
}
-- Verbs of requests carry record, fingerprint and cause; resolve only a record; sweep and repair none of them.
local HAS_CAUSE = { d = true, i = true, r = true, c = true, l = true, e = true, a = true, s = true }

local function parse(batch, take)
  local ops = {}
  for index = 1, tonumber(take()) do
    -- All fields at once: a table that grows costs more than one that is made whole.
    local op = {
      verb = take(), home = batch.numbers[take()], field = false, fingerprint = false, cause = false, source = false,
      lines = false,
    }
    local slot = batch.slots[op.home]
    if HAS_CAUSE[op.verb] or op.verb == 'k' then
      op.field = take()
      slot.wanted_records[#slot.wanted_records + 1] = op.field
    end
    if HAS_CAUSE[op.verb] then
      op.fingerprint = take()
      op.cause = take()
    end
    VERBS[op.verb].parse(batch, op, take)
    ops[index] = op
  end
  return ops
end

-- Answers the operation, from its record when there is one. The key is looked up before the stock.
local function decide(batch, op)
  local slot = batch.slots[op.home]
  local found = op.field and slot.records[op.field]
  if found and not found.fingerprint then return answer.undecided('broken record ' .. op.field) end
  if found and op.verb ~= 'k' then
    if found.fingerprint == op.fingerprint then return { replay = found } end
    if found.fingerprint == '-' then return { text = 'burnt' } end
    return { text = 'conflict ' .. found.fingerprint }
  end
  local given = VERBS[op.verb].apply(batch, op, found)
  if given.kept and op.field then
    given.field, given.fingerprint = op.field, op.fingerprint or '-'
    slot.records[op.field] = given
    slot.new_records[#slot.new_records + 1] = given
  end
  return given
end

function engine.run(keys, argv)
  local at = 0
  local function take()
    at = at + 1
    return argv[at]
  end
  local now, retention_ms, window = server.now_ms(take()), tonumber(take()), tonumber(take())
  local current = (now - now % retention_ms) / retention_ms
  -- A clock that stepped back over a boundary stays in the newer window: its records must be found.
  if current ~= window and current ~= window - 1 then return { 'rotate', tostring(current) } end
  local batch = { now = now, now_text = tostring(now), wide = take() == '1', slots = {}, order = {}, numbers = {}, sweep_left = expiry.MAX }
  for position = 1, tonumber(take()) do
    local name = take()
    local number = tonumber(name)
    batch.numbers[name] = number
    batch.order[position] = slots.new(keys, position, number)
    batch.slots[number] = batch.order[position]
  end
  local ops = parse(batch, take)
  reading.all(batch)
  local given = {}
  for index, op in ipairs(ops) do given[index] = decide(batch, op) end
  writing.all(batch)
  local reply = { 'done', batch.now_text }
  for index, one in ipairs(given) do
    local text
    if one.replay then
      text = 'replayed ' .. answer.text(one.replay)
    elseif one.found then
      text = 'found ' .. one.found.fingerprint .. ' ' .. answer.text(one.found)
    else
      text = answer.text(one)
    end
    reply[index + 2] = text
  end
  return reply
end
