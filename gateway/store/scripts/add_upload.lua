-- add_upload: stores the record of an upload, or finds the tenant's upload with the same content.
--
-- KEYS  upload: its record
-- ARGV  args, JSON: {id, tenant, sha256, bytes, life_ms, bytes_max, count_max, fields, or nil: nothing is written}
--
-- The life of an upload that is found starts anew. Without `fields` it only finds, or checks the limits of the tenant.
--
-- Returns {"known", id, record as a flat list} | {"added", id, record} | {"would_fit"} | {"bytes", what the tenant's
-- uploads would take} | {"count", how many it has}
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local now = call.now_ms()

local known = redis.call('HGET', uploads.hashes(args.tenant), args.sha256)
if known then
  uploads.refresh(known, now, args.life_ms)
  return { 'known', known, redis.call('HGETALL', uploads.key(known)) }
end
local usage = quotas.usage_key(args.tenant)
counters.read(usage, 'uploads', 'upload_count')
local bytes, count = counters.get(usage, 'uploads') + args.bytes, counters.get(usage, 'upload_count')
if count >= args.count_max then return { 'count', count } end
if bytes > args.bytes_max then return { 'bytes', bytes } end
if not args.fields then return { 'would_fit' } end

for field, value in pairs(args.fields) do redis.call('HSET', key, field, value) end
redis.call('ZADD', uploads.index(args.tenant), 0, args.id)
redis.call('HSET', uploads.hashes(args.tenant), args.sha256, args.id)
quotas.add_usage(args.tenant, 'uploads', args.bytes)
quotas.add_usage(args.tenant, 'upload_count', 1)
uploads.refresh(args.id, now, args.life_ms)
return { 'added', args.id, redis.call('HGETALL', key) }
