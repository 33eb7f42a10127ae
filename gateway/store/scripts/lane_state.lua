-- lane_state: the health of a lane of the deliver role. Changes nothing.
--
-- KEYS  any key of ours
-- ARGV  lane; limits: as of circuit_breaker.lua, JSON
--
-- Returns JSON: {parked_until, probing = true or false, failing_since, attempts: of the window, failed, waiting,
-- in_flight: slots held}; times are strings, and absent if not set
local lane, limits = ARGV[1], cjson.decode(ARGV[2])
local r, key = P .. 'deliver:', P .. 'health:' .. lane
local attempts, failed = circuit_breaker.window_of(key, limits, call.now_ms())
return cjson.encode({
  parked_until = redis.call('ZSCORE', r .. 'parked', lane) or nil,
  probing = redis.call('SISMEMBER', r .. 'probing', lane) == 1,
  failing_since = redis.call('HGET', key, 'failing_since') or nil,
  attempts = attempts,
  failed = failed,
  waiting = redis.call('ZCARD', r .. 'lane:' .. lane),
  in_flight = tonumber(redis.call('HGET', r .. 'inflight', lane) or '0'),
})
