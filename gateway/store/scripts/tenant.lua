-- tenant(KEYS = {the tenant's settings, tenants}, ARGV = {order, roles})
-- order: {tenant, by, request, set = {field = text}, unset = {field, ...}, pause = reason or "", or nil: leave it}
--
-- Writes what an operator set for a tenant, and what follows from it in the submit role: weight, slots, and whether it
-- is sent anything. Noted among the operators' events if anything changed, in the same step; asked again nothing does.
--
-- Returns 1 | 0: it was so before
local order, now = cjson.decode(ARGV[1]), now_ms()
local tenant, changed = order.tenant, {}
redis.call('ZADD', KEYS[2], 'NX', 0, tenant) -- equal scores: ordered by name
redis.call('HSETNX', KEYS[1], 'created_at', now)

local function change(field, value)
  local before = redis.call('HGET', KEYS[1], field) or ''
  if before == value then return end
  if value == '' then redis.call('HDEL', KEYS[1], field) else redis.call('HSET', KEYS[1], field, value) end
  changed[#changed + 1] = field
  changed[#changed + 1] = (before ~= '' and before or 'default') .. ' -> ' .. (value ~= '' and value or 'default')
end

for field, value in pairs(order.set) do change(field, value) end
for _, field in ipairs(order.unset) do change(field, '') end

local function told(act, ...)
  ops_event(now, act, 'tenant', tenant, 'by', order.by, ...)
  audit(act, order.by, order.request, 'tenant', tenant, ...)
end

if #changed > 0 then told('tenant_changed', unpack(changed)) end

local own = redis.call('HMGET', KEYS[1], 'weight', 'in_flight', 'paused_at')
for at, index in ipairs({ 'weights', 'caps' }) do
  if own[at] then
    redis.call('HSET', P .. 'submit:' .. index, tenant, own[at])
  else
    redis.call('HDEL', P .. 'submit:' .. index, tenant)
  end
end
local acted = #changed > 0
if order.pause and order.pause ~= '' and not own[3] then
  redis.call('HSET', KEYS[1], 'paused_at', now, 'paused_by', order.by, 'paused_reason', order.pause)
  park_lane('submit', tenant, '+inf')
  told('tenant_paused', 'reason', order.pause)
  acted = true
elseif order.pause == '' and own[3] then
  redis.call('HDEL', KEYS[1], 'paused_at', 'paused_by', 'paused_reason')
  resume_lane('submit', tenant)
  told('tenant_resumed')
  acted = true
elseif not own[3] then
  reactivate('submit', tenant) -- its slots may be more than they were
end
dispatch_all(cjson.decode(ARGV[2]), now)
return acted and 1 or 0
