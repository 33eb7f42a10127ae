-- disable(KEYS = {endpoint, the tenant's index of endpoints}, ARGV = {id, reason, at, url})
--
-- The endpoint gets nothing more; what is owed to it from now on is held. A script, because a full Redis refuses a
-- plain write, and the endpoint would be posted to again and again. One that is disabled stays as it is, and one that
-- goes to another URL by now did not answer so.
--
-- Returns 1 | 0: there is no such endpoint
if redis.call('HGET', KEYS[1], 'url') ~= ARGV[4] then return 0 end
return disable_endpoint(ARGV[1], ARGV[2], ARGV[3], now_ms()) and 1 or 0
