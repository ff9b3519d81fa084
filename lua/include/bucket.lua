-- How fast calls to a channel may go: a token bucket, and the pace the server's own "too many" leaves of it. Works on what
-- control.lua read.
local bucket = {}

-- Tokens are millionths of a call, so that one call in 100 s adds up by the ms.
local CALL = 1000000
-- Of the full pace, in permille: never slower than a twentieth.
local SLOWED_MAX = 950
-- The pace comes back by one permille in so long: whole again within a minute.
local PERMILLE_MS = 60

local function slowed(ctl, now)
  return math.max(ctl.slowed - math.floor(math.max(now - ctl.slowed_at, 0) / PERMILLE_MS), 0)
end

-- rate: tokens per ms at full pace; burst: calls. The burst is slowed with the rate.
function bucket.refill(ctl, now, rate, burst)
  local pace = 1000 - slowed(ctl, now)
  local full = math.max(math.floor(burst * pace / 1000), 1) * CALL
  local gained = math.max(now - ctl.refilled, 0) * math.max(math.floor(rate * pace / 1000), 1)
  ctl.tokens = math.min(ctl.tokens + gained, full)
  ctl.refilled = math.max(ctl.refilled, now)
end

-- After a refill: takes what is there of the wanted calls; with none, answers how long until the next, ms.
function bucket.take(ctl, now, wanted, rate)
  local calls = math.min(wanted, math.floor(ctl.tokens / CALL))
  ctl.tokens = ctl.tokens - calls * CALL
  if calls > 0 then return calls, 0 end
  local gain = math.max(math.floor(rate * (1000 - slowed(ctl, now)) / 1000), 1)
  return 0, math.max(math.ceil((CALL - ctl.tokens) / gain), 1)
end

-- Calls that were granted and not made; what is more than a burst goes with the next refill.
function bucket.give_back(ctl, calls)
  ctl.tokens = ctl.tokens + calls * CALL
end

-- The server said "too many": nobody goes for so long, then at half the pace. Calls that were on their way when it said so do
-- not halve it again.
function bucket.throttle(ctl, now, wait_ms)
  if now >= ctl.not_before then
    ctl.slowed = math.min(1000 - math.floor((1000 - slowed(ctl, now)) / 2), SLOWED_MAX)
    ctl.slowed_at = now
  end
  ctl.not_before = math.max(ctl.not_before, now + wait_ms)
end
