#!lua
-- leave_group: takes a consumer out of a group, unless something is pending for it: that others must adopt first. Safe to repeat.
--
-- KEYS[1] events stream
--
-- ARGV[1] group
-- ARGV[2] consumer
--
-- Returns left, or pending
-- Emits   nothing
-- Cost    O(1)
local events, group, consumer = KEYS[1], ARGV[1], ARGV[2]
-- end of bindings

local pending = server.call('XPENDING', events, group, '-', '+', 1, consumer)
if #pending > 0 then return { 'pending' } end
redis.call('XGROUP', 'DELCONSUMER', events, group, consumer)
return { 'left' }
