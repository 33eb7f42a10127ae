-- trim(KEYS = {audit}, ARGV = {for how long entries are kept, ms})
--
-- Forgets what operators did longer ago than that.
--
-- Returns how many acts were forgotten.
return redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', math.max(0, now_ms() - ARGV[1])))
