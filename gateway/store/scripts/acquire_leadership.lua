-- acquire_leadership: makes one caller the leader for some milliseconds.
--
-- KEYS  lock
-- ARGV  lease_ms
--
-- A script, because a full Redis refuses a plain SET, and a full Redis needs its sweeps most.
--
-- Returns 1 | 0: another leads
local lock, lease_ms = KEYS[1], ARGV[1]
return redis.call('SET', lock, call.now_ms(), 'NX', 'PX', lease_ms) and 1 or 0
