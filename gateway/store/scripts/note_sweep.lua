-- swept(KEYS = {when the last sweep ended}, ARGV = {})
--
-- A sweep came to its end. A script for the reason that `lead` is one.
--
-- Returns 1
redis.call('SET', KEYS[1], now_ms())
return 1
