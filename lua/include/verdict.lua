-- What one answer of a channel comes to: confirmed, due again, parked or a dead letter. `run` is what settle read, `out` what it will
-- write (settling.lua), `one` the SKU's work (work.lua).
local verdict = {}

-- What is left to show of a SKU, and the version and moment of its last change; nothing without a record.
local function current(run, index)
  local on_hand, held, version, updated_ms = string.match(run.levels[index] or '', '^(%-?%d+) (%d+) (%d+) (%d+) ')
  if not version then return nil, 0, 0 end
  return tonumber(on_hand) - tonumber(held), tonumber(version), tonumber(updated_ms)
end

local function note_sold_out(run, out, sku, shows)
  local text, since_ms = sold_out.told(server.call('HGET', run.sold_out_key, sku) or nil, shows)
  if text then settling.pair(out.sold_out_set, sku, text) end
  if since_ms then out.sold_out_gone[#out.sold_out_gone + 1] = sku end
  return since_ms and math.max(run.now - since_ms, 0) or -1
end

function verdict.confirm(run, out, index, item, one)
  local before, quantity, paused = work.confirmed(run.sync[index])
  local is_dead, sold_out_ms = run.dead[index], -1
  if item.version >= before then
    settling.pair(out.sync_set, item.sku, item.version .. ' ' .. item.quantity .. ' ' .. item.paused .. ' ' .. run.now)
    local showed, shows = quantity > 0 and not paused, item.quantity > 0 and item.paused ~= '1'
    if run.counts_sold_out and showed ~= shows then sold_out_ms = note_sold_out(run, out, item.sku, shows) end
  end
  if is_dead then out.superseded[#out.superseded + 1] = item.sku end
  local told = ' ' .. math.max(run.now - (tonumber(run.dirty[index]) or run.now), 0) .. ' ' .. math.max(item.version - before, 0)
    .. ' ' .. sold_out_ms .. (is_dead and ' 1' or ' 0')
  local available, version, updated_ms = current(run, index)
  if one.since == '0' and one.sure ~= '2' and version <= item.version then
    out.done[#out.done + 1] = item.sku
    return 'confirmed' .. told
  end
  settling.pair(out.dirty_set, one.since ~= '0' and one.since or updated_ms, item.sku)
  one.attempts, one.first_ms, one.error, one.sure = '0', '0', '', one.sure == '2' and '0' or '1'
  settling.park(out, item.sku, one, (available and available <= run.urgent_at) and 0 or run.now)
  return 'moved' .. told
end

function verdict.fail(run, out, index, item, one)
  local attempts = tonumber(one.attempts) + item.burn
  local is_over = item.outcome == 'permanent'
    or item.burn == 1 and (attempts >= run.attempts_max or run.now - tonumber(one.first_ms) > run.age_max_ms)
  local _, version = current(run, index)
  local has_moved = one.since ~= '0' or one.sure == '2' or version > tonumber(one.claimed)
  local since_ms = tonumber(run.dirty[index]) or run.now
  one.attempts, one.error, one.sure = attempts, item.error, '0'
  if is_over and not has_moved then
    settling.bury(out, item.sku, one, run.now, since_ms)
    return 'buried ' .. math.max(run.now - since_ms, 0)
  end
  local due_ms = math.min(run.now + item.delay_ms, work.LATER - 1)
  settling.park(out, item.sku, one, due_ms)
  return 'parked ' .. due_ms
end
