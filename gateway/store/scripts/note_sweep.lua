-- note_sweep: a sweep came to its end.
--
-- KEYS  swept: when the last sweep ended
-- ARGV  none
--
-- A script for the reason that `acquire_leadership` is one.
--
-- Returns 1
local swept = KEYS[1]
redis.call('SET', swept, now_ms())
return 1
