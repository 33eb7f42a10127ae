-- turns.lua: a shared part. Which lane of a role is next (start-time fair queueing), and what is kept of lanes that are
-- not active. `r`: the prefix of the role's keys.
local turns = {}

local function turn_of(r)
  return tonumber(redis.call('GET', r .. ':turn') or '0')
end

-- For each tenant that may have more slots, the same number of lanes that wait for it become active again, and are
-- served in turn. A lane that does not use its turn lets another one go (`lane_tenants.forget`). Returns
-- whether there was one.
function turns.readmit(r, most)
  local found = false
  for _, tenant in ipairs(redis.call('SMEMBERS', r .. ':relieved')) do
    redis.call('SREM', r .. ':relieved', tenant)
    local room = most - counters.get(r .. ':tenant_inflight', tenant)
    local freed = room > 0 and redis.call('ZPOPMIN', r .. ':crowd:' .. tenant, room) or {}
    for i = 1, #freed, 2 do
      redis.call('ZADD', r .. ':fair', math.max(tonumber(freed[i + 1]), turn_of(r)), freed[i])
      found = true
    end
  end
  return found
end

-- How many turns one dispatch counts for the lane. `special`: as for `choose_ticket`, some lane has a weight of its
-- own.
function turns.cost(r, lane, special)
  return 1 / tonumber(special and redis.call('HGET', r .. ':weights', lane) or '1')
end

-- The next lane, with its turns served. `open`: retries may be dispatched, so blocked lanes may go; `most`: slots per
-- tenant, or nil.
function turns.next_lane(r, open, most)
  local freed = open and redis.call('ZPOPMIN', r .. ':blocked') or {}
  if freed[1] then return freed[1], math.max(tonumber(freed[2]), turn_of(r)) end
  local first = redis.call('ZRANGE', r .. ':fair', 0, 0, 'WITHSCORES')
  if not first[1] and most and turns.readmit(r, most) then
    first = redis.call('ZRANGE', r .. ':fair', 0, 0, 'WITHSCORES')
  end
  return first[1], tonumber(first[2])
end

-- Makes the lane inactive, because none of its tickets may go. If it is empty or full, `lanes.enter` or `free_slot`
-- makes it active again; otherwise it waits for the retries' share, or for its tenant (`why`, from `choose_ticket`).
function turns.sideline(role, lane, served, why, tenant)
  local r = P .. role
  if why == 'tenant' then
    lane_tenants.set(r, lane, tenant)
    redis.call('ZADD', r .. ':crowd:' .. tenant, served, lane)
    redis.call('ZREM', r .. ':fair', lane)
    return
  end
  lanes.deactivate(role, lane, served)
  if why == 'share' then
    redis.call('ZADD', r .. ':blocked', served, lane)
    role_facts.note_unusual(role)
  end
  if redis.call('EXISTS', r .. ':lane:' .. lane) == 0 then redis.call('SREM', r .. ':leant', lane) end
end

-- Forgets the turns of idle lanes that are not above the present turn, and all turns when no lane is active. Otherwise
-- every lane that ever existed would be kept.
function turns.forget(r, nobody)
  local last = nobody and redis.call('ZRANGE', r .. ':idle', -1, -1, 'WITHSCORES') or {}
  if last[1] then redis.call('SET', r .. ':turn', math.max(tonumber(last[2]), turn_of(r))) end
  redis.call('ZREMRANGEBYSCORE', r .. ':idle', '-inf', turn_of(r))
end

-- Nothing waits any more, so no lane is active, and all turns are forgotten. `served`: lanes that hold a slot.
function turns.forget_lanes(r, served)
  local active, last = redis.call('ZRANGE', r .. ':fair', 0, -1, 'WITHSCORES'), 0
  for i = 1, #active, 2 do
    if not served[active[i]] then lane_tenants.forget(r, active[i]) end
    last = tonumber(active[i + 1])
  end
  if #active > 0 then
    redis.call('DEL', r .. ':fair')
    redis.call('SET', r .. ':turn', last)
  end
end

return turns
