-- heartbeat: records that a worker process is alive, or removes it.
--
-- KEYS  workers
-- ARGV  id, then pairs of field, value; without pairs, the process is removed
--
-- Processes without a heartbeat for GONE_MS are removed.
--
-- Returns 1
local workers = KEYS[1]
local id, fields = ARGV[1], { unpack(ARGV, 2) }
local GONE_MS = 60000
local now = call.now_ms()
if #fields > 0 then
  redis.call('ZADD', workers, now, id)
  redis.call('HSET', P .. 'worker:' .. id, unpack(fields))
else
  redis.call('ZREM', workers, id)
  redis.call('DEL', P .. 'worker:' .. id)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now - GONE_MS, 'LIMIT', 0, 100)) do
  redis.call('ZREM', workers, gone)
  redis.call('DEL', P .. 'worker:' .. gone)
end
return 1
