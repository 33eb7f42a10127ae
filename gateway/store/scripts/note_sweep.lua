-- note_sweep: records that a sweep has ended.
--
-- KEYS  swept: when the last sweep ended
-- ARGV  none
--
-- A script for the same reason as `acquire_leadership`. Also forgets which callback URLs failed long ago.
--
-- Returns 1
local swept = KEYS[1]
redis.call('SET', swept, now_ms())
forget_failing()
return 1
