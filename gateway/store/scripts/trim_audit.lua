-- trim_audit: removes old audit entries.
--
-- KEYS  audit
-- ARGV  keep_ms: for how long entries are kept
--
-- Returns how many entries were removed
local audit_log, keep_ms = KEYS[1], tonumber(ARGV[1])
return redis.call('XTRIM', audit_log, 'MINID', '~', string.format('%d', math.max(0, call.now_ms() - keep_ms)))
