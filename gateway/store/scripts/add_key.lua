-- add_key: stores a client key, lists it and its tenant, and lets the key that it replaces expire.
--
-- KEYS  key, keys: all of them, own_keys: those of its tenant, tenants; replaced: the key that it replaces, if any
-- ARGV  args, JSON: {id, tenant, fields = {field, text, ...}, replaced_until = when that key expires (ms, as text),
--       replaces: its id; audit: as of `log.write_audit`}
--
-- A key that replaces another one gets its budgets.
--
-- All in one step, so that every stored key is in the lists, and no rotation is half done. A repeat with the same key
-- changes nothing, so that later changes to the keys stay.
--
-- Returns 1: added | 0: it was there
local key, keys, own_keys, tenants, replaced = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local args = cjson.decode(ARGV[1])
if redis.call('EXISTS', key) == 1 then return 0 end
redis.call('HSET', key, unpack(args.fields))
redis.call('SADD', keys, args.id)
redis.call('SADD', own_keys, args.id)
redis.call('ZADD', tenants, 'NX', 0, args.tenant) -- equal scores: ordered by name
if replaced then
  redis.call('HSET', replaced, 'expires_at', args.replaced_until)
  local settings = P .. 'tenant:' .. args.tenant .. ':settings'
  for _, period in ipairs({ 'day', 'month', 'total' }) do
    local budget = redis.call('HGET', settings, 'budget_' .. period .. ':' .. args.replaces)
    if budget then redis.call('HSET', settings, 'budget_' .. period .. ':' .. args.id, budget) end
  end
end
log.write_audit(call.now_ms(), args.audit)
return 1
