-- unregister(KEYS = {endpoint, the tenant's index of endpoints, the types that the tenant wants}, ARGV = {name})
--
-- Forgets an endpoint. What is still owed to it dies at its next attempt.
--
-- Returns 1
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', P .. 'deliver:caps', ARGV[1])
heal_lane(ARGV[1]) -- what waits there dies at its next attempt, which must come
note_wanted(KEYS[2], KEYS[3])
return 1
