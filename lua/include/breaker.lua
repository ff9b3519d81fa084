-- When calls to a channel stop: after failures in a row, or too large a share of them. Open: none goes until a probe is due.
-- Half open: one probe is out. Its success closes the breaker; its failure opens it for longer. Works on what control.lua read.
local breaker = {}

-- The answer of a probe may come soon: who is not the probe looks again after so long.
local LOOK_MS = 1000
-- 2^31 first waits are beyond any cap.
local DOUBLINGS_MAX = 31

function breaker.state(ctl, now)
  if ctl.opened == 0 then return 'closed' end
  return ctl.probe ~= '' and now < ctl.probe_end and 'half_open' or 'open'
end

-- How long nobody may go, ms; 0 when calls, or while open a probe, may go.
function breaker.wait_ms(ctl, now)
  local state = breaker.state(ctl, now)
  if state == 'closed' then return 0 end
  if state == 'half_open' then return math.min(ctl.probe_end - now, LOOK_MS) end
  return math.max(ctl.probe_at - now, 0)
end

function breaker.close(ctl)
  ctl.turns = ctl.turns + 1
  ctl.opened, ctl.openings, ctl.probe_at, ctl.streak = 0, 0, 0, 0
  ctl.worked, ctl.failed, ctl.worked_before, ctl.failed_before = 0, 0, 0, 0
end

-- Opens it, or opens it again: for min(first × 2^n, cap), n times it opened without a success between; refused, for the cap.
function breaker.open(ctl, now, terms, refused)
  local wait = terms.cap_ms
  if not refused then wait = math.min(terms.first_ms * 2 ^ math.min(ctl.openings, DOUBLINGS_MAX), wait) end
  if ctl.opened == 0 then
    ctl.opened, ctl.turns = now, ctl.turns + 1
  end
  ctl.openings = ctl.openings + 1
  ctl.probe_at = now + math.max(math.floor(wait * terms.stretch / 1000), 1)
end

-- Counts calls, those that worked first; answers whether they are reason to open. The window rolls by halves.
function breaker.count(ctl, now, worked, failed, terms)
  local half = math.floor(now / terms.half_ms)
  if half ~= ctl.half then
    local is_next = half == ctl.half + 1
    ctl.worked_before, ctl.failed_before = is_next and ctl.worked or 0, is_next and ctl.failed or 0
    ctl.worked, ctl.failed, ctl.half = 0, 0, half
  end
  ctl.worked, ctl.failed = ctl.worked + worked, ctl.failed + failed
  ctl.streak = (worked > 0 and 0 or ctl.streak) + failed
  if failed == 0 then return false end
  local failures = ctl.failed + ctl.failed_before
  local calls = failures + ctl.worked + ctl.worked_before
  return ctl.streak >= terms.failures or (calls >= terms.calls_min and failures * 1000 >= calls * terms.rate)
end
