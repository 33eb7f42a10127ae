-- note_library: records that a live process uses a version of our library of functions.
--
-- KEYS  libraries: zset of versions by when they were last named
-- ARGV  name: of the library; kept_ms: a version that was not named for so long is forgotten
--
-- A script, because a full Redis refuses a plain ZADD.
--
-- Returns the versions in use
local libraries = KEYS[1]
local name, kept_ms = ARGV[1], tonumber(ARGV[2])
local now = call.now_ms()
redis.call('ZADD', libraries, now, name)
redis.call('ZREMRANGEBYSCORE', libraries, '-inf', now - kept_ms)
return redis.call('ZRANGE', libraries, 0, -1)
