-- The common case of marking, in as few steps as it takes: nothing parked, dead, forced or moved by the channel itself.
local plain = {}

function plain.mark(keys, channel, items, known, now_text, showing)
  local dirty_add, first_add, due_add, work_set, marked = {}, {}, {}, {}, 0
  for index = 1, #items do
    local item, text, sync = items[index], known.work[index], known.sync[index]
    local version = tonumber(string.match(sync or '', '^%d+')) or 0
    if version > item.last then item.is_old = true end
    if version < item.last then
      marked = marked + 1
      dirty_add[2 * marked - 1], dirty_add[2 * marked] = item.changed_text, item.sku
      if work.is_leased(text) then
        local after = marking.work_after(item, 0, text, true, false)
        if after then marking.push(work_set, item.sku, after) end
      elseif item.available <= channel.urgent_at then
        marking.push(first_add, '0', item.sku)
      else
        marking.push(due_add, now_text, item.sku)
      end
    end
    if item.sold_out_ms > 0 and sync then
      local _, quantity, paused = work.confirmed(sync)
      sold_out.count(showing, index, item, quantity, paused)
    end
  end
  marking.write('ZADD', keys.dirty, dirty_add, 'LT')
  marking.write('HSET', keys.work, work_set)
  marking.write('ZADD', keys.due, due_add, 'NX')
  marking.write('ZADD', keys.due, first_add)
  return marked
end
