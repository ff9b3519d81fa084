-- The engine of transact: parse, read, decide, write, answer.
local engine = {}

local KEYS_PER_PARTITION = 8

local VERBS = {
  d = decrement, i = restock, r = reserve, c = commit, l = release, e = extend, a = adjust, s = set,
  k = resolve, w = sweep, p = repair,
}
-- Verbs of requests carry record, fingerprint and cause; resolve only a record; sweep and repair none of them.
local HAS_CAUSE = { d = true, i = true, r = true, c = true, l = true, e = true, a = true, s = true }

local function new_slot(keys, position, number)
  local base = (position - 1) * KEYS_PER_PARTITION
  return {
    number = number, stock = keys[base + 1], records_key = keys[base + 2], records_before_key = keys[base + 3],
    live_key = keys[base + 4], ended_key = keys[base + 5], ended_before_key = keys[base + 6],
    deadlines_key = keys[base + 7], events_key = keys[base + 8],
    levels = {}, wanted_levels = {}, records = {}, wanted_records = {}, holds = {}, wanted_holds = {},
    dirty = {}, new_records = {}, touched_holds = {}, stale_deadlines = {}, parked = {},
    log = {}, log_count = 0, swept = 0, swept_out = false,
  }
end

local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  local micros = tonumber(time[2])
  return tonumber(time[1]) * 1000 + (micros - micros % 1000) / 1000
end

local function parse(batch, take)
  local ops = {}
  for index = 1, tonumber(take()) do
    local op = { verb = take(), home = tonumber(take()) }
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

local function read(batch)
  for _, slot in ipairs(batch.order) do
    for _, key in ipairs({ slot.records_key, slot.records_before_key }) do
      if #slot.wanted_records > 0 then
        books.read_fields(key, slot.wanted_records, function(field, text)
          if text and not slot.records[field] then
            local fingerprint, stored = string.match(text, '^(%S+) (.*)$')
            slot.records[field] = { fingerprint = fingerprint, answer = { text = stored } }
          end
        end)
      end
    end
    books.read_holds(batch, slot)
    reads.expect('XLEN', slot.events_key)
  end
  for _, slot in ipairs(batch.order) do books.read_levels(slot) end
end

-- Answers the operation, from its record when there is one. The key is looked up before the stock.
local function decide(batch, op)
  local slot = batch.slots[op.home]
  local found = op.field and slot.records[op.field]
  if found and not found.fingerprint then return answer.undecided('broken record ' .. op.field) end
  if found and op.verb ~= 'k' then
    if found.fingerprint == op.fingerprint then return { replay = found.answer } end
    if found.fingerprint == '-' then return { text = 'burnt' } end
    return { text = 'conflict ' .. found.fingerprint }
  end
  local given = VERBS[op.verb].apply(batch, op, found)
  if given.kept and op.field then
    local record = { field = op.field, fingerprint = op.fingerprint or '-', answer = given }
    slot.records[op.field] = record
    slot.new_records[#slot.new_records + 1] = record
  end
  return given
end

local function write_holds(slot)
  local live, ended, gone = {}, {}, slot.stale_deadlines
  local unheld = {}
  for _, one in ipairs(slot.touched_holds) do
    local target = one.state == 'h' and live or ended
    target[#target + 1] = one.id
    target[#target + 1] = hold.write(one)
    if one.state == 'h' then
      redis.call('ZADD', slot.deadlines_key, one.deadline, one.id)
    elseif one.live then
      unheld[#unheld + 1] = one.id
      gone[#gone + 1] = one.id
    end
  end
  books.write_pairs(slot.live_key, live)
  books.write_pairs(slot.ended_key, ended)
  for first = 1, #unheld, books.CHUNK do
    redis.call('HDEL', slot.live_key, unpack(unheld, first, math.min(first + books.CHUNK - 1, #unheld)))
  end
  for first = 1, #gone, books.CHUNK do
    redis.call('ZREM', slot.deadlines_key, unpack(gone, first, math.min(first + books.CHUNK - 1, #gone)))
  end
end

local function write(batch)
  for _, slot in ipairs(batch.order) do
    if slot.log_count > 0 then
      slot.entry = redis.call('XADD', slot.events_key, '*', 't', batch.now, 'e', table.concat(slot.log, '\n'))
    end
  end
  for _, slot in ipairs(batch.order) do
    local levels, records = {}, {}
    for index, one in ipairs(slot.dirty) do
      if one.index then one.event = books.event_id(slot, one.index) end
      levels[2 * index - 1], levels[2 * index] = one.sku, level.write(one)
    end
    for index, record in ipairs(slot.new_records) do
      records[2 * index - 1] = record.field
      records[2 * index] = record.fingerprint .. ' ' .. answer.text(record.answer)
    end
    books.write_pairs(slot.stock, levels)
    books.write_pairs(slot.records_key, records)
    write_holds(slot)
    for _, id in ipairs(slot.parked) do
      redis.call('ZADD', slot.deadlines_key, batch.now + books.PARKED_MS, id)
    end
  end
end

function engine.run(keys, argv)
  local at = 0
  local function take()
    at = at + 1
    return argv[at]
  end
  local now, retention_ms, window = now_ms(take()), tonumber(take()), tonumber(take())
  local current = (now - now % retention_ms) / retention_ms
  if current ~= window then return { 'rotate', tostring(current) } end
  local batch = { now = now, wide = take() == '1', slots = {}, order = {}, sweep_left = books.SWEEP_MAX }
  for position = 1, tonumber(take()) do
    local number = tonumber(take())
    batch.order[position] = new_slot(keys, position, number)
    batch.slots[number] = batch.order[position]
  end
  local ops = parse(batch, take)
  read(batch)
  local given = {}
  for index, op in ipairs(ops) do given[index] = decide(batch, op) end
  write(batch)
  local reply = { 'done', tostring(now) }
  for index, one in ipairs(given) do
    local text
    if one.replay then
      text = 'replayed ' .. answer.text(one.replay)
    elseif one.found then
      text = 'found ' .. one.found.fingerprint .. ' ' .. answer.text(one.found.answer)
    else
      text = answer.text(one)
    end
    reply[index + 2] = text
  end
  return reply
end
