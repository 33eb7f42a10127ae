-- add_key(KEYS = {key, all keys, keys of its tenant, tenants, key that it replaces (if any)}, ARGV = {order})
-- order: {id, tenant, fields = {field = text}, replaced_until = when the replaced key expires, ms as text}
--
-- Stores a client key, lists it and its tenant, and lets the key that it replaces expire: in one step, so that no key
-- is found that no list names, and no rotation is half done. Called again with the same key, it changes nothing: what
-- happened to the key since then stays.
--
-- Returns 1: added | 0: it was there
local order = cjson.decode(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
write(KEYS[1], order.fields)
redis.call('SADD', KEYS[2], order.id)
redis.call('SADD', KEYS[3], order.id)
redis.call('ZADD', KEYS[4], 'NX', 0, order.tenant) -- equal scores: ordered by name
if KEYS[5] then redis.call('HSET', KEYS[5], 'expires_at', order.replaced_until) end
return 1
