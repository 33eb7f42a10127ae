-- acquire_leadership: one caller in so many milliseconds leads.
--
-- KEYS  lock
-- ARGV  lease_ms
--
-- A script, because a plain SET is refused by a Redis that is full, which needs its sweeps more than any other.
--
-- Returns 1 | 0: another leads
local lock, lease_ms = KEYS[1], ARGV[1]
return redis.call('SET', lock, now_ms(), 'NX', 'PX', lease_ms) and 1 or 0
