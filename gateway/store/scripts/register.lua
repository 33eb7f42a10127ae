-- register: stores a new endpoint, or changes one.
--
-- KEYS  endpoint: its record; endpoints: the tenant's index of them
-- ARGV  order, JSON: {name, tenant, fields = {}, unset = {field, ...}, wish, wanted = key, steps = {type of an event
--       that is not final, ...}, slots, heal, bytes, bytes_max, claims = key, claim = digest of the Idempotency-Key, or
--       nil, most | expect = {field = value or ""}}
--
-- `most`: given for a new endpoint: how many the tenant may have. An existing one is written if it is still as
-- expected, or already as wanted. `wanted` stores the types that any of the tenant's endpoints wants, so that scripts
-- only create events with subscribers. `claims` stores which endpoint was created with which key. `heal`: resets its
-- circuit breaker. `bytes`: what it takes in Redis. Above `bytes_max`, nothing is written that is new or adds to what
-- future jobs cause; other changes repair an endpoint, and its own limits bound what they add.
--
-- Returns "written" | "full" | "heavy" | "claimed": another endpoint was created with the key | "changed" | "missing"
local endpoint, endpoints = KEYS[1], KEYS[2]
local order = cjson.decode(ARGV[1])
local there = redis.call('EXISTS', endpoint) == 1
if order.most then
  local owner = order.claim and redis.call('HGET', order.claims, order.claim)
  if owner and owner ~= order.name and redis.call('EXISTS', P .. 'endpoint:' .. owner) == 1 then return 'claimed' end
  if not there and redis.call('HLEN', endpoints) >= order.most then return 'full' end
else
  if not there then return 'missing' end
  local done = true -- a repeat, because the answer was lost
  for field, value in pairs(order.fields) do done = done and redis.call('HGET', endpoint, field) == value end
  for _, field in ipairs(order.unset) do done = done and redis.call('HEXISTS', endpoint, field) == 0 end
  if done then
    if order.heal then reset_health(order.name) end
    return 'written'
  end
  for field, value in pairs(order.expect) do
    if (redis.call('HGET', endpoint, field) or '') ~= value then return 'changed' end
  end
end
local wishes = {}
local flat = redis.call('HGETALL', endpoints)
for i = 1, #flat, 2 do
  if flat[i] ~= order.name then wishes[#wishes + 1] = cjson.decode(flat[i + 1]) end
end
wishes[#wishes + 1] = cjson.decode(order.wish)
local grown = order.bytes - (redis.call('HGET', endpoint, 'bytes') or 0)
if order.bytes_max then
  local before = expected_bytes(order.tenant, { bytes = 0 })
  local added = { bytes = there and 0 or grown }
  local after = expected_bytes(order.tenant, added, caused_by(wishes, order.steps))
  if after > before and after > order.bytes_max then return 'heavy' end
end
set_fields(endpoint, order.fields)
redis.call('HSET', endpoint, 'bytes', order.bytes)
add_usage(order.tenant, 'bytes', grown)
if order.claim then redis.call('HSET', order.claims, order.claim, order.name) end
for _, field in ipairs(order.unset) do redis.call('HDEL', endpoint, field) end
redis.call('HSET', endpoints, order.name, order.wish)
if order.slots then
  redis.call('HSET', P .. 'deliver:caps', order.name, order.slots)
else
  redis.call('HDEL', P .. 'deliver:caps', order.name)
end
if order.heal then reset_health(order.name) else reactivate('deliver', order.name) end
note_wishes(order.tenant, endpoints, order.wanted, order.steps)
return 'written'
