-- disable: disables an endpoint; its deliveries are held from now on.
--
-- KEYS  endpoint: its record
-- ARGV  id, reason, at_ms, url: where it was sent to
--
-- A script, because a full Redis refuses a plain write, and then the endpoint would be called again and again. Nothing
-- changes if it is disabled already, or if its URL has changed since the answer.
--
-- Returns 1 | 0: there is no such endpoint
local endpoint = KEYS[1]
local id, reason, at_ms, url = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', endpoint, 'url') ~= url then return 0 end
return circuit_breaker.disable_endpoint(id, reason, at_ms, call.now_ms()) and 1 or 0
