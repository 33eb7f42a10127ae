-- begin_callback_probe: whose turn it is to probe our own callback route.
--
-- KEYS  path: what is known of the callback route
-- ARGV  every_ms: a probe is due so long after the last proof that callbacks reach us
--
-- A process whose probe is under way keeps its turn for TURN_MS. If no proof follows, the next one tries. Also records
-- since when the route is probed: until a probe has arrived, this is since when one could have.
--
-- Returns ms until the caller may ask again; 0: it is its turn
local path = KEYS[1]
local every_ms = tonumber(ARGV[1])
local TURN_MS = 5000
local now = call.now_ms()
redis.call('HSETNX', path, 'probed_at', now)
local known = redis.call('HMGET', path, 'last', 'turn_at')
local due = (tonumber(known[1]) or 0) + every_ms
local free = (tonumber(known[2]) or 0) + math.min(TURN_MS, every_ms)
local wait = math.max(due, free) - now
if wait > 0 then return wait end
redis.call('HSET', path, 'turn_at', now)
return 0
