#!lua
-- keep_turn: puts off the end of a turn, or gives it back, if it is still whose it was. A turn that ran out is not taken again.
--
-- KEYS[1] turn string  token of whoever has it
--
-- ARGV[1] token
-- ARGV[2] lease, ms  0: gives it back
--
-- Returns kept, or lost: it ran out, or another has it
-- Emits   nothing
-- Cost    O(1)
local turn, token, lease = KEYS[1], ARGV[1], ARGV[2]
-- end of bindings

if server.call('GET', turn) ~= token then return { 'lost' } end
redis.call('PEXPIRE', turn, lease)
return { 'kept' }
