-- lead(KEYS = {lock}, ARGV = {ms})
--
-- One caller in so many milliseconds is told that it leads. A script, because a plain SET is refused by a Redis
-- that is full, which needs its sweeps more than any other.
--
-- Returns 1 | 0
return redis.call('SET', KEYS[1], now_ms(), 'NX', 'PX', ARGV[1]) and 1 or 0
