-- end_session: ends a session of the pages, if it has not ended yet.
--
-- KEYS  session: its record
-- ARGV  id: the SHA-256 of the cookie
--
-- Returns 1: ended | 0: there was none
local session = KEYS[1]
local id = ARGV[1]
local key = redis.call('HGET', session, 'key')
if not key then return 0 end
redis.call('ZREM', P .. 'key:' .. key .. ':sessions', id)
return redis.call('DEL', session)
