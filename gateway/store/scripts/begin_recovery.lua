-- begin_recovery: stores a recovery: an endpoint's deliveries of a time range will be redelivered.
--
-- KEYS  recovery, endpoint: their records
-- ARGV  args, JSON: {name, endpoint = its id, fields = {}, states, since, until, most, most_of_tenant,
--       audit: as of `log.write_audit`, if an operator begins it}
--
-- `recover` does the work in batches. One recovery at a time per endpoint; its newest `most` are kept, and
-- the newest `most_of_tenant` of a tenant, which counts those of deleted endpoints.
--   {gw}:recoveries              hash  endpoint -> the running recovery
--   {gw}:lane:<lane>:recoveries  zset  recovery -> when it began
--   {gw}:tenant:<t>:recoveries   zset  the same of a tenant
--   {gw}:recovery:<id>           hash  the recovery; `cursor`: everything created before it was handled
--
-- Returns {"begun", record as a flat list}, or {"deleted" | "disabled" | "under_way"}
local recovery, endpoint = KEYS[1], KEYS[2]
local args = cjson.decode(ARGV[1])
local lane = P .. 'lane:' .. args.endpoint
local of_tenant = P .. 'tenant:' .. args.fields.tenant .. ':recoveries'

local function keep_newest(list, most)
  redis.call('ZADD', list, args.fields.created_at, args.name)
  for _, old in ipairs(redis.call('ZRANGE', list, 0, -most - 1)) do
    local key = P .. 'recovery:' .. old
    local running = redis.call('HGET', P .. 'recoveries', redis.call('HGET', key, 'endpoint') or '') == old
    if not running then
      redis.call('ZREM', list, old)
      redis.call('DEL', key)
    end
  end
end

if redis.call('EXISTS', recovery) == 0 then
  if redis.call('EXISTS', endpoint) == 0 then return { 'deleted' } end
  if redis.call('HEXISTS', endpoint, 'disabled_at') == 1 then return { 'disabled' } end
  if redis.call('HSETNX', P .. 'recoveries', args.endpoint, args.name) == 0 then return { 'under_way' } end
  local total, list = 0, lane .. ':recoveries'
  for _, state in ipairs(args.states) do
    total = total + redis.call('ZCOUNT', lane .. ':deliveries:' .. state, args.since, args['until'])
  end
  record.set(recovery, args.fields)
  record.set(recovery, { total = total, cursor = args.since })
  record.write() -- before the lists are cut, which may remove it
  keep_newest(list, args.most)
  keep_newest(of_tenant, args.most_of_tenant)
  redis.call('PERSIST', list)
  if args.audit then log.write_audit(call.now_ms(), args.audit) end
end
return { 'begun', record.all(recovery) }
