-- unregister: removes an endpoint.
--
-- KEYS  endpoint: its record; endpoints: the tenant's index of them; wanted: the types of events that the tenant wants;
--       idempotency_keys: which endpoint was created with which Idempotency-Key
-- ARGV  name: its id; tenant; steps: types of events that are not final, JSON
--
-- Its pending deliveries become dead at their next attempt.
--
-- Returns 1
local endpoint, endpoints, wanted, idempotency_keys = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, tenant, steps = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local idempotency = redis.call('HGET', endpoint, 'idempotency')
if idempotency then redis.call('HDEL', idempotency_keys, cjson.decode(idempotency).key) end
quotas.add_usage(tenant, 'bytes', -(redis.call('HGET', endpoint, 'bytes') or 0))
redis.call('DEL', endpoint)
redis.call('HDEL', endpoints, name)
redis.call('HDEL', P .. 'deliver:caps', name)
circuit_breaker.reset(name) -- so that waiting deliveries get their next attempt, and become dead
records.note_wishes(tenant, endpoints, wanted, steps)
return 1
