-- Reading Redis: its clock, and commands whose failure names the key.
local server = {}

-- Now in ms: as given, else by the Redis clock; read once per run, since TIME moves on inside a script.
function server.now_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  local micros = tonumber(time[2])
  return tonumber(time[1]) * 1000 + (micros - micros % 1000) / 1000
end

-- To be used before the first write only, so that nothing is half done.
function server.call(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      error({ err = 'WRONGTYPE key ' .. key .. ' does not hold what ' .. command .. ' needs' })
    end
    error(reply)
  end
  return reply
end
