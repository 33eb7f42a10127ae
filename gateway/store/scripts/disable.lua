-- disable(KEYS = {endpoint, the tenant's index of endpoints}, ARGV = {id, reason, at, wish})
--
-- The endpoint gets nothing more; what is owed to it from now on is held. A script, because a full Redis refuses a
-- plain write, and the endpoint would be posted to again and again.
--
-- Returns 1 | 0: there is no such endpoint
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'disabled_at', ARGV[3], 'disabled_reason', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return 1
