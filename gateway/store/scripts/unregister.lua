-- unregister: forgets an endpoint.
--
-- KEYS  endpoint: its record; endpoints: the tenant's index of them; wanted: the types of events that the tenant wants
-- ARGV  name: its id
--
-- What is still owed to it dies at its next attempt.
--
-- Returns 1
local endpoint, endpoints, wanted = KEYS[1], KEYS[2], KEYS[3]
local name = ARGV[1]
redis.call('DEL', endpoint)
redis.call('HDEL', endpoints, name)
redis.call('HDEL', P .. 'deliver:caps', name)
reset_health(name) -- what waits there dies at its next attempt, which must come
note_wanted_types(endpoints, wanted)
return 1
