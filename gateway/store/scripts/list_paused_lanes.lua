-- list_paused_lanes: the paused lanes of the deliver role, those whose pause ends first come first. Changes nothing.
--
-- KEYS  any key of ours
-- ARGV  limit: how many at most
--
-- Returns a JSON object for each: {lane, until: a string, waiting, tenant and url if known, pause: as of `pauses` if an
-- operator paused it}
local limit = tonumber(ARGV[1])
local found, flat = {}, redis.call('ZRANGE', P .. 'deliver:parked', 0, limit - 1, 'WITHSCORES')
for i = 1, #flat, 2 do
  local lane = flat[i]
  local head = redis.call('ZRANGE', P .. 'deliver:lane:' .. lane, 0, 0)[1]
  local pause = redis.call('HGET', P .. 'deliver:pauses', lane)
  local endpoint = redis.call('HMGET', P .. 'endpoint:' .. lane, 'tenant', 'url')
  found[#found + 1] = cjson.encode({
    lane = lane,
    ['until'] = flat[i + 1],
    waiting = redis.call('ZCARD', P .. 'deliver:lane:' .. lane),
    tenant = endpoint[1] or head and dispatching.tenant_of(lane, head) or nil,
    url = endpoint[2] or nil,
    pause = pause and cjson.decode(pause) or nil,
  })
end
return found
