-- The hash that steers one channel: numbers by name, read at once; what changed is written at once. What is not there is 0, and
-- so is what is no number: a broken field never stops a channel.
local control = {}

local NUMBERS = {
  'paused', 'turns', 'opened', 'openings', 'probe_at', 'probe_end', 'streak', 'half', 'worked', 'failed',
  'worked_before', 'failed_before', 'not_before', 'slowed', 'slowed_at', 'tokens', 'refilled',
}

function control.read(key)
  local texts = server.call('HMGET', key, 'probe', unpack(NUMBERS))
  local ctl, was = { probe = texts[1] or '' }, { probe = texts[1] or '' }
  for index, field in ipairs(NUMBERS) do
    ctl[field] = tonumber(texts[index + 1] or '') or 0
    was[field] = ctl[field]
  end
  return ctl, was
end

function control.write(key, ctl, was)
  local changed = {}
  for field, before in pairs(was) do
    if ctl[field] ~= before then
      changed[#changed + 1] = field
      changed[#changed + 1] = ctl[field]
    end
  end
  if #changed > 0 then redis.call('HSET', key, unpack(changed)) end
end
