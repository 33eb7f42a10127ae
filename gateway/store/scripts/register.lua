-- register: stores a new endpoint, or changes one.
--
-- KEYS  endpoint: its record; endpoints: the tenant's index of them
-- ARGV  args, JSON: {name, tenant, fields = {}, unset = {field, ...}, wish, wanted = key, steps = {type of an event
--       that is not final, ...}, slots, heal, bytes, bytes_max, idempotency_keys = key, idempotency_key = digest,
--       or nil, most | expect = {field = value or ""}}
--
-- `most`: given for a new endpoint: how many the tenant may have. An existing one is written if it is still as
-- expected, or already as wanted. `wanted` stores the types that any of the tenant's endpoints wants, so that scripts
-- only create events with subscribers. `idempotency_keys` stores which endpoint was created with which key. `heal`:
-- resets its circuit breaker. `bytes`: what it takes in Redis. Above `bytes_max`, nothing is written that is new or
-- adds to what future jobs cause; other changes repair an endpoint, and its own limits bound what they add.
--
-- Returns "written" | "full" | "heavy" | "replayed": another endpoint was created with the key | "changed" | "missing"
local endpoint, endpoints = KEYS[1], KEYS[2]
local args = cjson.decode(ARGV[1])
local there = redis.call('EXISTS', endpoint) == 1
if args.most then
  local owner = args.idempotency_key and redis.call('HGET', args.idempotency_keys, args.idempotency_key)
  if owner and owner ~= args.name and redis.call('EXISTS', P .. 'endpoint:' .. owner) == 1 then return 'replayed' end
  if not there and redis.call('HLEN', endpoints) >= args.most then return 'full' end
else
  if not there then return 'missing' end
  local done = true -- a repeat, because the answer was lost
  for field, value in pairs(args.fields) do done = done and redis.call('HGET', endpoint, field) == value end
  for _, field in ipairs(args.unset) do done = done and redis.call('HEXISTS', endpoint, field) == 0 end
  if done then
    if args.heal then circuit_breaker.reset(args.name) end
    return 'written'
  end
  for field, value in pairs(args.expect) do
    if (redis.call('HGET', endpoint, field) or '') ~= value then return 'changed' end
  end
end
local wishes = {}
local flat = redis.call('HGETALL', endpoints)
for i = 1, #flat, 2 do
  if flat[i] ~= args.name then wishes[#wishes + 1] = cjson.decode(flat[i + 1]) end
end
wishes[#wishes + 1] = cjson.decode(args.wish)
local grown = args.bytes - (redis.call('HGET', endpoint, 'bytes') or 0)
if args.bytes_max then
  local before = quotas.expected_bytes(args.tenant, { bytes = 0 })
  local added = { bytes = there and 0 or grown }
  local after = quotas.expected_bytes(args.tenant, added, quotas.caused_by(wishes, args.steps))
  if after > before and after > args.bytes_max then return 'heavy' end
end
record.set(endpoint, args.fields)
redis.call('HSET', endpoint, 'bytes', args.bytes)
quotas.add_usage(args.tenant, 'bytes', grown)
if args.idempotency_key then redis.call('HSET', args.idempotency_keys, args.idempotency_key, args.name) end
for _, field in ipairs(args.unset) do redis.call('HDEL', endpoint, field) end
redis.call('HSET', endpoints, args.name, args.wish)
if args.slots then
  redis.call('HSET', P .. 'deliver:caps', args.name, args.slots)
else
  redis.call('HDEL', P .. 'deliver:caps', args.name)
end
if args.heal then circuit_breaker.reset(args.name) else lanes.reactivate('deliver', args.name) end
records.note_wishes(args.tenant, endpoints, args.wanted, args.steps)
return 'written'
