-- note_sweep: records that a sweep has ended.
--
-- KEYS  swept: when the last sweep ended
-- ARGV  none
--
-- A script for the same reason as `acquire_leadership`.
--
-- Returns 1
local swept = KEYS[1]
redis.call('SET', swept, now_ms())
return 1
