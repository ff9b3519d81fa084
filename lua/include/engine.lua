-- The engine of transact: parse, read, decide, write, answer.
local engine = {}

-- Arguments before the numbers of the partitions.
local PARTITIONS_AFTER = 6

local VERBS = {
  d = 'decrement', i = 'restock', r = 'reserve', c = 'commit', l = 'release', e = 'extend', a = 'adjust', s = 'set',
  k = 'resolve', w = 'sweep', p = 'repair',
}
local made = {}

-- Makes the verb of a letter, when the run first needs it.
local function verb_of(letter)
  local verb = verbs[VERBS[letter]]()
  made[letter] = verb
  return verb
end

local function parse(batch, count)
  local ops = {}
  for index = 1, count do
    local op, letter, line_count = packed.operation(batch)
    if op.field then
      local wanted = batch.slots[op.home].wanted_records
      wanted[#wanted + 1] = op.field
    end
    local verb = made[letter] or verb_of(letter)
    verb.parse(batch, op, line_count)
    op.verb, ops[index] = verb, op
  end
  return ops
end

-- Answers the operation, from its record when there is one. The key is looked up before the stock.
local function decide(batch, op)
  local slot = batch.slots[op.home]
  local found = op.field and slot.records[op.field]
  if found and not found.fingerprint then return answer.undecided('broken record ' .. op.field) end
  if found and not op.verb.reads_records then
    if found.fingerprint == op.fingerprint then return { replay = found.given } end
    if found.fingerprint == '-' then return answer.undecided('burnt') end
    return answer.undecided('conflict ' .. found.fingerprint)
  end
  local given = op.verb.apply(batch, op, found)
  if given.kept and op.field then
    -- The operation is its own record, for those after it in this run.
    op.given = given
    slot.records[op.field] = op
    slot.new_records[#slot.new_records + 1] = op
  end
  return given
end

local function text_of(given)
  if given.replay then return 'replayed ' .. answer.text(given.replay) end
  if given.found then return 'found ' .. given.found.fingerprint .. ' ' .. answer.text(given.found.given) end
  return answer.text(given)
end

function engine.run(keys, argv)
  local now, retention_ms, window = server.now_ms(argv[1]), tonumber(argv[2]), tonumber(argv[3])
  local current = (now - now % retention_ms) / retention_ms
  -- A clock that stepped back over a boundary stays in the newer window: its records must be found.
  if current ~= window and current ~= window - 1 then return { 'rotate', tostring(current) } end
  local batch = {
    now = now, now_text = tostring(now), wide = argv[4] == '1', packed = argv[6], at = 1, slots = {}, order = {},
    sweep_left = expiry.MAX,
  }
  for position = 1, #argv - PARTITIONS_AFTER do
    local number = tonumber(argv[PARTITIONS_AFTER + position])
    batch.order[position] = slots.new(keys, position, number)
    batch.slots[number] = batch.order[position]
  end
  local ops = parse(batch, tonumber(argv[5]))
  reading.all(batch)
  local given = {}
  for index = 1, #ops do given[index] = decide(batch, ops[index]) end
  writing.all(batch)
  local answers = {}
  for index = 1, #given do answers[index] = text_of(given[index]) end
  return { 'done', batch.now_text, table.concat(answers, '\n') }
end
