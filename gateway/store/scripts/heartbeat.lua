-- heartbeat(KEYS = {workers}, ARGV = {id, field, value, ...}), or without fields: it leaves
--
-- A worker process lives. Those that were not heard of for GONE_MS are forgotten.
--
-- Returns 1
local GONE_MS = 60000
local now, id = now_ms(), ARGV[1]
if #ARGV > 1 then
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('HSET', P .. 'worker:' .. id, unpack(ARGV, 2))
else
  redis.call('ZREM', KEYS[1], id)
  redis.call('DEL', P .. 'worker:' .. id)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - GONE_MS, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('DEL', P .. 'worker:' .. gone)
end
return 1
