-- retire_upload: no new job may use an upload any more, because its owner deleted it or its life is over.
--
-- KEYS  upload: its record
-- ARGV  id; tenant: its owner, who deletes it, or "": only if its life is over
--
-- Its record stays until `forget_upload`, so that whoever removes the file and dies is followed by another.
--
-- Returns "absent": there is none, or it is another tenant's, or deleted | "in_use": its file must stay | its
-- extension: the file must be removed now
local key = KEYS[1]
local id, tenant = ARGV[1], ARGV[2]
local found = redis.call('HMGET', key, 'tenant', 'sha256', 'retired', 'pins', 'expires_at', 'extension')
local owner, sha256, retired, extension = found[1], found[2], found[3], found[6]
local pins, expires_at, now = tonumber(found[4] or '0'), tonumber(found[5] or '0'), call.now_ms()

if not owner then
  redis.call('ZREM', uploads.EXPIRY, id)
  return 'absent'
end
if tenant ~= '' and (tenant ~= owner or retired) then return 'absent' end
if tenant == '' and not retired then
  if pins > 0 then
    redis.call('ZREM', uploads.EXPIRY, id)
    return 'in_use'
  end
  if expires_at > now then
    redis.call('ZADD', uploads.EXPIRY, expires_at, id)
    return 'in_use'
  end
end
if not retired then
  redis.call('HSET', key, 'retired', now)
  redis.call('ZREM', uploads.index(owner), id)
  if redis.call('HGET', uploads.hashes(owner), sha256) == id then redis.call('HDEL', uploads.hashes(owner), sha256) end
end
if pins > 0 then
  redis.call('ZREM', uploads.EXPIRY, id)
  return 'in_use'
end
redis.call('ZADD', uploads.EXPIRY, now, id) -- the sweep goes on if we do not
return extension
