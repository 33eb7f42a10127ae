-- lane_pauses.lua: a shared part. Pauses lanes, ends their pauses, and tries them after that: `parked`, `pauses` and
-- `probing` of lanes.lua.
local lane_pauses = {}

-- Pauses the lane until then (ms, or "+inf": until it is resumed). Waiting tickets stay in it.
function lane_pauses.pause(role, lane, till)
  local r = P .. role
  redis.call('ZADD', r .. ':parked', till, lane)
  role_facts.note_unusual(role)
  redis.call('HDEL', r .. ':pauses', lane)
  redis.call('SREM', r .. ':probing', lane)
  redis.call('ZREM', r .. ':blocked', lane)
  local served = redis.call('ZSCORE', r .. ':fair', lane) or lane_tenants.waits(r, lane)
  if not served then return end
  redis.call('ZREM', r .. ':crowd:' .. (lane_tenants.of(r, lane) or ''), lane)
  lanes.deactivate(role, lane, served)
end

-- Ends the lane's pause and probing. Returns whether there was any.
function lane_pauses.resume(role, lane)
  local r = P .. role
  redis.call('HDEL', r .. ':pauses', lane)
  local ended = redis.call('ZREM', r .. ':parked', lane) + redis.call('SREM', r .. ':probing', lane)
  lanes.reactivate(role, lane)
  return ended > 0
end

-- Lanes whose pause has ended are tried.
function lane_pauses.end_pauses(role, now)
  local r = P .. role
  for _, lane in ipairs(redis.call('ZRANGEBYSCORE', r .. ':parked', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', r .. ':parked', lane)
    redis.call('HDEL', r .. ':pauses', lane)
    redis.call('SADD', r .. ':probing', lane)
    role_facts.note_unusual(role)
    lanes.reactivate(role, lane)
  end
end

return lane_pauses
