-- Reads that name the key when it has the wrong type. What a script will write it reads first, so nothing is half done.
local reads = {}

function reads.call(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      error({ err = 'WRONGTYPE key ' .. key .. ' does not hold what ' .. command .. ' needs' })
    end
    error(reply)
  end
  return reply
end

-- Calls a counting command (ZCARD, HLEN, XLEN) on each key, only to see that it has the right type.
function reads.expect(command, ...)
  for _, key in ipairs({ ... }) do reads.call(command, key) end
end
