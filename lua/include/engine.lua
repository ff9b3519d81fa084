-- The engine of transact: parse, read, decide, write, answer.
local engine = {}

-- Arguments before the numbers of the partitions.
local PARTITIONS_AFTER = 6

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
    now = now, now_text = tostring(now), retention_ms = retention_ms, wide = argv[4] == '1', packed = argv[6], at = 1, slots = {}, order = {},
    sweep_left = false,
  }
  for position = 1, #argv - PARTITIONS_AFTER do
    local number = tonumber(argv[PARTITIONS_AFTER + position])
    batch.order[position] = slots.new(keys, position, number)
    batch.slots[number] = batch.order[position]
  end
  local ops = parsing.all(batch, tonumber(argv[5]))
  reading.all(batch)
  local given = {}
  for index = 1, #ops do
    local op = ops[index]
    if op.verb then
      given[index] = decide(batch, op)
    elseif single.sell(batch, op) then
      given[index] = op
    else
      op.verb, op.lines = parsing.verb_of('d'), { op }
      given[index] = decide(batch, op)
    end
  end
  writing.all(batch)
  local answers = {}
  for index = 1, #given do answers[index] = given[index].text or text_of(given[index]) end
  return { 'done', batch.now_text, table.concat(answers, '\n') }
end
