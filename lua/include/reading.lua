-- Reading what a run needs: records, holds, levels; each key once for all operations.
local reading = {}

-- Fields per HMGET and pairs per HSET: Lua's stack ends at 8,000 values.
reading.CHUNK = 2000

function reading.fields(key, fields, take)
  for first = 1, #fields, reading.CHUNK do
    local last = math.min(first + reading.CHUNK - 1, #fields)
    local values = server.call('HMGET', key, unpack(fields, first, last))
    for index = first, last do take(fields[index], values[index - first + 1]) end
  end
end

-- Asks for a level to be read with the next read_levels.
function reading.want_level(slot, sku)
  if slot.levels[sku] == nil then
    slot.levels[sku] = false
    slot.wanted_levels[#slot.wanted_levels + 1] = sku
  end
end

function reading.levels(slot)
  if #slot.wanted_levels == 0 then return end
  reading.fields(slot.stock, slot.wanted_levels, function(sku, text)
    slot.levels[sku] = level.read(sku, text)
  end)
  slot.wanted_levels = {}
end

function reading.want_hold(slot, id)
  if slot.holds[id] == nil then
    slot.holds[id] = false
    slot.wanted_holds[#slot.wanted_holds + 1] = id
  end
end

-- Reads wanted holds, live ones first, and asks for the levels of their lines.
function reading.holds(batch, slot)
  local from = { slot.live_key, slot.ended_key, slot.ended_before_key }
  local wanted = slot.wanted_holds
  slot.wanted_holds = {}
  if #wanted > 0 then
    -- Keys that may be written without having been read: a wrong type must show before the first write.
    server.call('ZCARD', slot.deadlines_key)
    server.call('HLEN', slot.ended_key)
    server.call('HLEN', slot.live_key)
  end
  for place = 1, 3 do
    if #wanted == 0 then return end
    local absent = {}
    reading.fields(from[place], wanted, function(id, text)
      if not text then
        absent[#absent + 1] = id
        return
      end
      local one = hold.read(id, text) or { id = id, broken = true, lines = {} }
      one.live = place == 1
      slot.holds[id] = one
      for _, line in ipairs(one.lines) do
        local owner = batch.slots[line.number]
        line.is_away = one.is_cart and line.number ~= slot.number
        if not line.is_away then
          if owner then reading.want_level(owner, line.sku) else one.broken = true end
        end
      end
    end)
    wanted = absent
  end
end

-- Everything the operations asked for: records and holds first, since holds name levels.
function reading.all(batch)
  for _, slot in ipairs(batch.order) do
    for _, key in ipairs({ slot.records_key, slot.records_before_key }) do
      -- The window before is empty most of the time, and counting it is cheaper than looking for every key in it.
      if #slot.wanted_records > 0 and server.call('HLEN', key) > 0 then
        reading.fields(key, slot.wanted_records, function(field, text)
          if text and not slot.records[field] then
            -- Answers are told apart by line: a text with more than one is broken.
            local fingerprint, stored = string.match(text, '^(%S+) ([^\n]*)$')
            slot.records[field] = { fingerprint = fingerprint, given = { text = stored } }
          end
        end)
      end
    end
    if #slot.wanted_holds > 0 then reading.holds(batch, slot) end
    server.call('XLEN', slot.events_key)
  end
  for _, slot in ipairs(batch.order) do reading.levels(slot) end
end
