-- Writing a run down: events first, since levels and records name them. Nothing here can fail but by a broken promise.
local writing = {}

local function write_holds(slot)
  local live, ended, unheld = {}, {}, {}
  for _, one in ipairs(slot.touched_holds) do
    local target = one.state == 'h' and live or ended
    target[#target + 1] = one.id
    target[#target + 1] = hold.write(one)
    if one.state ~= 'h' and one.live then unheld[#unheld + 1] = one.id end
  end
  books.write_pairs('HSET', slot.live_key, live)
  books.write_pairs('HSET', slot.ended_key, ended)
  for first = 1, #unheld, reading.CHUNK do
    redis.call('HDEL', slot.live_key, unpack(unheld, first, math.min(first + reading.CHUNK - 1, #unheld)))
  end
end

-- When each hold is looked at next; false: no more.
local function write_deadlines(slot)
  local deadlines, gone = {}, {}
  for id, at in pairs(slot.look_at) do
    if at then
      deadlines[#deadlines + 1] = digits.of(at)
      deadlines[#deadlines + 1] = id
    else
      gone[#gone + 1] = id
    end
  end
  books.write_pairs('ZADD', slot.deadlines_key, deadlines)
  for first = 1, #gone, reading.CHUNK do
    redis.call('ZREM', slot.deadlines_key, unpack(gone, first, math.min(first + reading.CHUNK - 1, #gone)))
  end
end

function writing.all(batch)
  for _, slot in ipairs(batch.order) do
    if slot.log_count > 0 then
      local entry = redis.call('XADD', slot.events_key, '*', 't', batch.now_text, 'e', table.concat(slot.log, '\n'))
      slot.entry_text = slot.number .. '-' .. entry .. '-'
    end
  end
  for _, slot in ipairs(batch.order) do
    local levels, records = {}, {}
    for index = 1, #slot.dirty do
      local one = slot.dirty[index]
      if one.index then one.event = books.event_id(slot, one.index) end
      levels[2 * index - 1], levels[2 * index] = one.sku, level.write(one)
    end
    for index = 1, #slot.new_records do
      local op = slot.new_records[index]
      local given = op.given
      records[2 * index - 1], records[2 * index] = op.field, op.fingerprint .. ' ' .. (given.text or answer.text(given))
    end
    books.write_pairs('HSET', slot.stock, levels)
    books.write_pairs('HSET', slot.records_key, records)
    if #slot.touched_holds > 0 then write_holds(slot) end
    if next(slot.look_at) then write_deadlines(slot) end
  end
end
