-- What one answer of a channel comes to: confirmed, due again, parked or a dead letter. `run` is what settle read, `out` what it will
-- write (settling.lua), `one` the SKU's work (work.lua).
local verdict = {}

function verdict.answer(run, index, code, first, second, third, fourth)
  local reply, at = run.reply, 5 * index - 3
  reply[at], reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = code, first, second, third, fourth
end

-- What is left to show of a SKU, and the version and moment of its last change; nothing without a record.
local function current(run, index)
  local on_hand, held, version, updated_ms = string.match(run.levels[index] or '', '^(%-?%d+) (%d+) (%d+) (%d+) ')
  if not version then return nil, 0, '0' end
  return tonumber(on_hand) - tonumber(held), tonumber(version), updated_ms
end

-- Whether units were shown before and are not now, or the other way round; only asked while something is sold out.
local function note_sold_out(run, out, sku, shown, showed)
  local quantity, paused = string.match(shown, '^(%-?%d+) ([01])$')
  local shows = tonumber(quantity) > 0 and paused ~= '1'
  if showed == shows then return -1 end
  local text, since_ms = sold_out.told(server.call('HGET', run.sold_out_key, sku) or nil, shows)
  if text then settling.pair(out.sold_out_set, sku, text) end
  if since_ms then out.sold_out_gone[#out.sold_out_gone + 1] = sku end
  return since_ms and math.max(run.now - since_ms, 0) or -1
end

function verdict.confirm(run, out, index, sku, version, shown, text, since, sure)
  local before, quantity, paused = work.confirmed(run.sync[index])
  local sold_out_ms = -1
  if version >= before then
    settling.pair(out.sync_set, sku, version .. ' ' .. shown .. ' ' .. run.now_text)
    if run.counts_sold_out then sold_out_ms = note_sold_out(run, out, sku, shown, quantity > 0 and not paused) end
  end
  if run.dead[index] then out.superseded[#out.superseded + 1] = sku end
  local lag_ms = math.max(run.now - (tonumber(run.dirty[index]) or run.now), 0)
  local available, now_version, updated_ms = current(run, index)
  local is_again, has_moved = work.is_again(sure), now_version > version
  local is_newest = since == '0' and not is_again and not has_moved
  verdict.answer(run, index, is_newest and 1 or 2, lag_ms, before == 0 and 1 or math.max(version - before, 0), sold_out_ms, run.dead[index] and 1 or 0)
  if is_newest then
    out.done[#out.done + 1] = sku
    return
  end
  local one = work.read(text)
  one.attempts, one.first_ms, one.error, one.sure = '0', '0', '', is_again and '0' or '1'
  -- A message is named by version and oldest change: the same version told again needs a change of its own.
  if is_again and not has_moved then since = math.max(tonumber(since), (tonumber(run.dirty[index]) or 0) + 1) end
  settling.pair(out.dirty_set, since ~= '0' and since or updated_ms, sku)
  local due_ms = (available and available <= run.urgent_at) and '0' or run.now_text
  if sure == '3' and not has_moved then due_ms = run.now + work.RETELL_PAUSE_MS end
  settling.park(out, sku, one, due_ms)
end

function verdict.fail(run, out, index, item, one)
  if item.outcome == 'returned' then
    local available = current(run, index)
    one.sure = work.is_again(one.sure) and '0' or item.sure
    if one.attempts == '0' then one.first_ms = '0' end
    settling.park(out, item.sku, one, (available and available <= run.urgent_at) and '0' or run.now_text)
    return verdict.answer(run, index, 3, run.now, 0, 0, 0)
  end
  local attempts = tonumber(one.attempts) + item.burn
  local is_over = item.outcome == 'permanent'
    or item.burn == 1 and (attempts >= run.attempts_max or run.now - tonumber(one.first_ms) > run.age_max_ms)
  local _, version = current(run, index)
  local has_moved = one.since ~= '0' or work.is_again(one.sure) or version > tonumber(one.claimed)
  local since_ms = tonumber(run.dirty[index]) or run.now
  one.attempts, one.error, one.sure = attempts, item.error, '0'
  -- Nothing has failed yet: its age has not begun, however long the channel is left alone.
  if attempts == 0 then one.first_ms = '0' end
  if is_over and not has_moved then
    settling.bury(out, item.sku, one, run.now, since_ms)
    return verdict.answer(run, index, 4, math.max(run.now - since_ms, 0), 0, 0, 0)
  end
  -- What waits without having failed does not wait with news.
  local delay_ms = (has_moved and attempts == 0) and 0 or item.delay_ms
  local due_ms = math.min(run.now + delay_ms, work.LATER - 1)
  settling.park(out, item.sku, one, due_ms)
  verdict.answer(run, index, 3, due_ms, 0, 0, 0)
end
