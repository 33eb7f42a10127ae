-- lane(KEYS = {any key of ours}, ARGV = {lane, limits})
-- limits: as of health.lua
--
-- How a lane of the deliver role stands. Changes nothing.
--
-- Returns {parked until or "", probing, failing since or "", attempts in the window, failed, waiting, slots held}
local lane, deliver = ARGV[1], P .. 'deliver:'
local key = P .. 'health:' .. lane
local total, failed = window_of(key, cjson.decode(ARGV[2]), now_ms())
return {
  redis.call('ZSCORE', deliver .. 'parked', lane) or '',
  redis.call('SISMEMBER', deliver .. 'probing', lane),
  redis.call('HGET', key, 'failing_since') or '',
  total,
  failed,
  redis.call('ZCARD', deliver .. 'lane:' .. lane),
  tonumber(redis.call('HGET', deliver .. 'inflight', lane) or '0'),
}
