-- What settle writes, gathered item by item and written at once.
local settling = {}

function settling.new()
  return {
    due_add = {}, dirty_set = {}, work_set = {}, sync_set = {}, dead_add = {}, sold_out_set = {}, sold_out_gone = {},
    done = {}, buried = {}, superseded = {}, released = {},
  }
end

function settling.pair(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

-- Due again: the present lease is over, and with it what was noted during it.
function settling.park(out, sku, one, due_ms)
  one.token, one.claimed, one.since = '-', '0', '0'
  settling.pair(out.due_add, due_ms, sku)
  settling.pair(out.work_set, sku, work.write(one))
end

function settling.bury(out, sku, one, now, since_ms)
  one.token, one.claimed, one.since, one.sure = '-', '0', since_ms, '0'
  settling.pair(out.dead_add, now, sku)
  settling.pair(out.work_set, sku, work.write(one))
  out.buried[#out.buried + 1] = sku
end

local function call(command, key, list)
  if #list > 0 then redis.call(command, key, unpack(list)) end
end

function settling.write(out, keys)
  call('HSET', keys.sync, out.sync_set)
  call('ZADD', keys.due, out.due_add)
  call('ZADD', keys.dead, out.dead_add)
  call('HSET', keys.work, out.work_set)
  call('ZADD', keys.dirty, out.dirty_set)
  call('ZREM', keys.dirty, out.done)
  call('HDEL', keys.work, out.done)
  call('ZREM', keys.dirty, out.buried)
  call('ZREM', keys.dead, out.superseded)
  call('HSET', keys.sold_out, out.sold_out_set)
  call('HDEL', keys.sold_out, out.sold_out_gone)
  call('ZREM', keys.lease, out.released)
end
