#!lua
-- report: counts how calls to a channel went, and turns its breaker. Repeated, it counts twice: a breaker that opens early.
-- Calls let through before the breaker turned last change nothing; only the probe that is out speaks for an open one.
--
-- KEYS[1] ctl  hash  what steers the channel (include/control.lua)
--
-- ARGV[1]  now, ms       "" for the Redis clock
-- ARGV[2]  turns         of the breaker, as the permit said
-- ARGV[3]  probe         its token, when the call was one; else ""
-- ARGV[4]  worked        calls the channel answered
-- ARGV[5]  failed        calls it did not, or not sensibly
-- ARGV[6]  refused       1: it refuses as a whole; else 0
-- ARGV[7]  throttled, ms it wants nothing for so long; -1: it said no such thing
-- ARGV[8]  unused        calls granted and not made
-- ARGV[9]  rate          millionths of a call per ms; 0: none
-- ARGV[10] burst         calls, 1 and up; of no meaning without rate
-- ARGV[11] failures      in a row that open the breaker, 1 and up
-- ARGV[12] share         of failures in the window that opens it, permille, 1 to 1,000
-- ARGV[13] calls_min     in the window before the share counts, 1 and up
-- ARGV[14] half, ms      of the window, 1 and up
-- ARGV[15] first, ms     it opens for so long at first, twice as long each time
-- ARGV[16] cap, ms       and never for longer
-- ARGV[17] stretch       jitter of that time, permille
--
-- Returns reported <state> <turned>  closed, half_open or open; 1 when this report opened it or closed it, else 0
-- Emits   nothing
-- Cost    O(1)
local ctl_key = KEYS[1]
local given_now, turns, probe, worked, failed, refused, throttled_ms, unused, rate, burst, failures, share, calls_min, half_ms,
  first_ms, cap_ms, stretch = unpack(ARGV)
-- end of bindings

local now = server.now_ms(given_now)
worked, failed, refused, unused = tonumber(worked), tonumber(failed), refused == '1', tonumber(unused)
turns, throttled_ms, rate, burst = tonumber(turns), tonumber(throttled_ms), tonumber(rate), tonumber(burst)
local terms = {
  failures = tonumber(failures), rate = tonumber(share), calls_min = tonumber(calls_min), half_ms = tonumber(half_ms),
  first_ms = tonumber(first_ms), cap_ms = tonumber(cap_ms), stretch = tonumber(stretch),
}
local ctl, was = control.read(ctl_key)

if rate > 0 and unused > 0 then
  bucket.refill(ctl, now, rate, burst)
  bucket.give_back(ctl, unused)
end
if throttled_ms >= 0 then bucket.throttle(ctl, now, throttled_ms) end

if probe ~= '' and probe == ctl.probe then
  if worked > 0 then
    breaker.close(ctl)
  elseif failed > 0 or refused then
    breaker.open(ctl, now, terms, refused)
  else
    -- It was throttled, or had nothing to tell: another goes as soon as it may.
    ctl.probe_at = math.max(ctl.not_before, now)
  end
  ctl.probe, ctl.probe_end = '', 0
elseif probe == '' and turns == ctl.turns then
  local is_reason = breaker.count(ctl, now, worked, failed, terms)
  if refused or is_reason then breaker.open(ctl, now, terms, refused) end
end

control.write(ctl_key, ctl, was)
return { 'reported', breaker.state(ctl, now), ctl.turns ~= was.turns and '1' or '0' }
