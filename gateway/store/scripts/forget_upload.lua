-- forget_upload: removes the record of a retired upload, after its file.
--
-- KEYS  upload: its record
-- ARGV  id
--
-- Returns 1: removed | 0: there is none, or it is still in use
local key = KEYS[1]
local id = ARGV[1]
local found = redis.call('HMGET', key, 'tenant', 'retired', 'pins', 'bytes')
local tenant, retired, pins, bytes = found[1], found[2], tonumber(found[3] or '0'), tonumber(found[4] or '0')
if not retired or pins > 0 then return 0 end
redis.call('DEL', key)
redis.call('ZREM', uploads.EXPIRY, id)
quotas.add_usage(tenant, 'uploads', -bytes)
quotas.add_usage(tenant, 'upload_count', -1)
return 1
