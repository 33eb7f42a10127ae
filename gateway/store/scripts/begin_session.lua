-- begin_session: stores a session of the pages, and ends the oldest ones of its key beyond a limit.
--
-- KEYS  session: its record, own: the sessions of its key, by their end
-- ARGV  id: the SHA-256 of the cookie, key: id of the operator's key, ends_at (ms), most: sessions of one key
--
-- A session has a time to live, because nothing is lost with it: the operator signs in again.
--
-- Returns 1
local session, own = KEYS[1], KEYS[2]
local id, key, ends_at, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('HSET', session, 'key', key, 'ends_at', ends_at)
redis.call('PEXPIREAT', session, ends_at)
redis.call('ZREMRANGEBYSCORE', own, '-inf', call.now_ms())
redis.call('ZADD', own, ends_at, id)
local beyond = redis.call('ZCARD', own) - most
local gone = beyond > 0 and redis.call('ZRANGE', own, 0, beyond - 1) or {}
for _, oldest in ipairs(gone) do
  redis.call('ZREM', own, oldest)
  redis.call('DEL', P .. 'session:' .. oldest)
end
redis.call('PEXPIREAT', own, ends_at)
return 1
