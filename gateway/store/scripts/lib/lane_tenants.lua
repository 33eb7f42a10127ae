-- lane_tenants.lua: a shared part. Whose a lane of the deliver role is, while that matters: `tenants`,
-- `tenant_inflight`, `crowd:<tenant>` and `relieved` of lanes.lua. `r`: the prefix of the role's keys.
local lane_tenants = {}

-- Counts the lane's slots for the tenant from now on, also those that it already holds.
function lane_tenants.set(r, lane, tenant)
  if redis.call('HSETNX', r .. ':tenants', lane, tenant) == 0 then return end
  local held = redis.call('HGET', r .. ':inflight', lane)
  if held then redis.call('HINCRBY', r .. ':tenant_inflight', tenant, held) end
end

-- The lane became inactive, or freed a slot: another lane that waits for its tenant may go. If the lane holds no slot
-- and does not wait for its tenant, its tenant is forgotten. `tenant`, `holds` (a slot): if they are known.
function lane_tenants.forget(r, lane, tenant, holds)
  tenant = tenant or redis.call('HGET', r .. ':tenants', lane)
  if not tenant then return end
  local waiting = r .. ':crowd:' .. tenant
  local others = redis.call('EXISTS', waiting) == 1
  if others then redis.call('SADD', r .. ':relieved', tenant) end
  if holds == nil then holds = redis.call('HEXISTS', r .. ':inflight', lane) == 1 end
  if not holds and not (others and redis.call('ZSCORE', waiting, lane)) then
    redis.call('HDEL', r .. ':tenants', lane)
  end
end

function lane_tenants.waits(r, lane)
  local tenant = redis.call('HGET', r .. ':tenants', lane)
  return tenant and redis.call('ZSCORE', r .. ':crowd:' .. tenant, lane)
end

return lane_tenants
