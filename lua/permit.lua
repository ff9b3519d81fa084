#!lua
-- permit: may calls to a channel go now? Decided for all workers together: operator's pause, then breaker, then the time the
-- channel itself asked for, then the rate. Repeated, it gives other calls; the probe is given to the same token again.
--
-- KEYS[1] ctl  hash  what steers the channel (include/control.lua)
--
-- ARGV[1] now, ms        "" for the Redis clock
-- ARGV[2] wanted         calls at most, 1 and up
-- ARGV[3] token          names the probe, should it be one; no space
-- ARGV[4] probe, ms      a probe that has not answered for so long is given again, 1 and up
-- ARGV[5] rate           millionths of a call per ms; 0: none
-- ARGV[6] burst          calls, 1 and up; of no meaning without rate
--
-- Returns go <calls> <turns>    so many may go; how often the breaker has turned until now
--         probe                 one may go, and nobody else until it has answered
--         wait <ms> <why>       none may go, for 1 ms and up; why: paused, breaker_open, throttled or rate_limit
-- Emits   nothing
-- Cost    O(1)
local ctl_key = KEYS[1]
local given_now, wanted, token, probe_ms, rate, burst = unpack(ARGV)
-- end of bindings

-- Whoever resumes rings; this is for a bell that is not heard.
local PAUSED_MS = 3600000

local now = server.now_ms(given_now)
wanted, probe_ms, rate, burst = tonumber(wanted), tonumber(probe_ms), tonumber(rate), tonumber(burst)
local ctl, was = control.read(ctl_key)

if ctl.paused > 0 then return { 'wait', tostring(PAUSED_MS), 'paused' } end

local state = breaker.state(ctl, now)
if state == 'half_open' and ctl.probe == token then return { 'probe' } end
local shut_ms = breaker.wait_ms(ctl, now)
if shut_ms > 0 then return { 'wait', tostring(shut_ms), 'breaker_open' } end

if now < ctl.not_before then return { 'wait', tostring(ctl.not_before - now), 'throttled' } end

local is_probe = state == 'open'
local calls = is_probe and 1 or wanted
if rate > 0 then
  local token_ms
  bucket.refill(ctl, now, rate, burst)
  calls, token_ms = bucket.take(ctl, now, calls, rate)
  if calls == 0 then return { 'wait', tostring(token_ms), 'rate_limit' } end
end
if is_probe then ctl.probe, ctl.probe_end = token, now + probe_ms end

control.write(ctl_key, ctl, was)
if is_probe then return { 'probe' } end
return { 'go', tostring(calls), tostring(ctl.turns) }
