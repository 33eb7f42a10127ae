-- tenant: writes an operator's settings for a tenant, and applies them in the submit role.
--
-- KEYS  settings: the tenant's; tenants: all of them
-- ARGV  args, JSON: {tenant, by, request, set = {field = text}, unset = {field, ...},
--       pause = reason or "": resume it, or nil: leave it}; roles: {role = limits} of dispatching.lua, JSON
--
-- Applies the weight, the slots, and whether the tenant is paused. If the tenant is new or anything changed, adds an
-- audit entry in the same step. A repeat changes nothing.
--
-- Returns 1 | 0: it was so before
local settings, tenants = KEYS[1], KEYS[2]
local args, roles = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local now, tenant, changed = call.now_ms(), args.tenant, {}
local created = redis.call('ZADD', tenants, 'NX', 0, tenant) == 1 -- equal scores: ordered by name
redis.call('HSETNX', settings, 'created_at', now)

-- A value as the audit shows it. That of a budget is "<micro-units>|hard" or "<micro-units>|soft".
local function shown(field, value)
  local budget = string.find(field, '^budget_')
  if value == '' then return budget and 'none' or 'default' end
  if not budget then return value end
  local micros, kind = string.match(value, '^(%d+)|(%a+)$')
  return string.format('%.6f %s', tonumber(micros) / 1000000, kind)
end

local function change(field, value)
  local before = redis.call('HGET', settings, field) or ''
  if before == value then return end
  if value == '' then redis.call('HDEL', settings, field) else redis.call('HSET', settings, field, value) end
  changed[#changed + 1] = field
  changed[#changed + 1] = shown(field, before) .. ' -> ' .. shown(field, value)
end

for field, value in pairs(args.set) do change(field, value) end
for _, field in ipairs(args.unset) do change(field, '') end

local function log_and_audit(act, ...)
  log.ops_event(now, act, 'tenant', tenant, 'by', args.by, ...)
  log.add_audit_entry(act, args.by, args.request, 'tenant', tenant, ...)
end

if #changed > 0 then log_and_audit('tenant_changed', unpack(changed)) end

local chosen = redis.call('HMGET', settings, 'weight', 'in_flight', 'paused_at')
local weight, slots, paused_at = chosen[1], chosen[2], chosen[3]

local function keep_beside_lanes(name, value)
  if value then
    redis.call('HSET', P .. 'submit:' .. name, tenant, value)
  else
    redis.call('HDEL', P .. 'submit:' .. name, tenant)
  end
end

keep_beside_lanes('weights', weight)
keep_beside_lanes('caps', slots)
local acted = #changed > 0
if args.pause and args.pause ~= '' and not paused_at then
  redis.call('HSET', settings, 'paused_at', now, 'paused_by', args.by, 'paused_reason', args.pause)
  lane_pauses.pause('submit', tenant, '+inf')
  log_and_audit('tenant_paused', 'reason', args.pause)
  acted = true
elseif args.pause == '' and paused_at then
  redis.call('HDEL', settings, 'paused_at', 'paused_by', 'paused_reason')
  lane_pauses.resume('submit', tenant)
  log_and_audit('tenant_resumed')
  acted = true
elseif not paused_at then
  lanes.reactivate('submit', tenant) -- it may have more slots than before
end
if created and not acted then
  log_and_audit('tenant_created')
  acted = true
end
dispatching.dispatch(roles, now)
return acted and 1 or 0
