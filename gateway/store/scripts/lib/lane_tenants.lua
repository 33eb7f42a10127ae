-- lane_tenants.lua: a shared part. Whose a lane of the deliver role is, while that matters: `tenants`,
-- `tenant_inflight`, `crowd:<tenant>` and `relieved` of lanes.lua. `r`: the prefix of the role's keys.
local lane_tenants = {}

-- The tenant of the lane, or false.
function lane_tenants.of(r, lane)
  local known = call.kept('lane_tenants')
  if known[lane] == nil then known[lane] = redis.call('HGET', r .. ':tenants', lane) end
  return known[lane]
end

-- Counts the lane's slots for the tenant from now on, also those that it already holds.
function lane_tenants.set(r, lane, tenant)
  if lane_tenants.of(r, lane) then return end
  redis.call('HSET', r .. ':tenants', lane, tenant)
  call.kept('lane_tenants')[lane] = tenant
  local held = counters.get(r .. ':inflight', lane)
  if held > 0 then counters.hold(r .. ':tenant_inflight', tenant, held) end
end

-- The lane became inactive, or freed a slot: another lane that waits for its tenant may go. If the lane holds no slot
-- and does not wait for its tenant, its tenant is forgotten. `tenant`, `holds` (a slot): if they are known.
function lane_tenants.forget(r, lane, tenant, holds)
  tenant = tenant or lane_tenants.of(r, lane)
  if not tenant then return end
  local waiting = r .. ':crowd:' .. tenant
  local others = redis.call('EXISTS', waiting) == 1
  if others then
    redis.call('SADD', r .. ':relieved', tenant)
    role_facts.note_unusual('deliver')
  end
  if holds == nil then holds = counters.get(r .. ':inflight', lane) > 0 end
  if not holds and not (others and redis.call('ZSCORE', waiting, lane)) then
    redis.call('HDEL', r .. ':tenants', lane)
    call.kept('lane_tenants')[lane] = false
  end
end

function lane_tenants.waits(r, lane)
  local tenant = lane_tenants.of(r, lane)
  return tenant and redis.call('ZSCORE', r .. ':crowd:' .. tenant, lane)
end

return lane_tenants
