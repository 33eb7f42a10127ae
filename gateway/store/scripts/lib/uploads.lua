-- uploads.lua: a shared part. Files that tenants handed over, and the unfinished jobs that hold them.
--
-- {gw}:upload:<id>, a hash: tenant, sha256, bytes, extension, width, height, seconds, created_at; and
--   life_ms     how long it lives after its last use
--   expires_at  when it expires, unless a job holds it
--   pins        how many unfinished jobs hold it; the field `uploads` of a job's record lists what it holds
--   retired     when it was deleted or expired; no new job may use it, and its file goes once no job holds it
-- {gw}:tenant:<t>:uploads        zset: ids of those that are not retired, ordered by id
-- {gw}:tenant:<t>:upload_hashes  hash: SHA-256 -> id, of the same
-- {gw}:uploads:expiry            zset: ids by the time when the sweep must look at them; no job holds them
local uploads = {}

uploads.EXPIRY = P .. 'uploads:expiry'

function uploads.key(id)
  return P .. 'upload:' .. id
end

function uploads.index(tenant)
  return P .. 'tenant:' .. tenant .. ':uploads'
end

function uploads.hashes(tenant)
  return P .. 'tenant:' .. tenant .. ':upload_hashes'
end

-- Its life starts anew now, unless a job holds it: then it does when the job is finished.
function uploads.refresh(id, now, life_ms)
  local key = uploads.key(id)
  redis.call('HSET', key, 'life_ms', life_ms)
  if tonumber(redis.call('HGET', key, 'pins') or '0') > 0 then return end
  redis.call('HSET', key, 'expires_at', now + life_ms)
  redis.call('ZADD', uploads.EXPIRY, now + life_ms, id)
end

-- The first of `ids` that a new job of the tenant may not use, or nil.
function uploads.first_unusable(ids, tenant, now)
  for _, id in ipairs(ids) do
    local found = redis.call('HMGET', uploads.key(id), 'tenant', 'retired', 'pins', 'expires_at')
    local owner, retired, pins, expires_at = found[1], found[2], tonumber(found[3] or '0'), tonumber(found[4] or '0')
    if owner ~= tenant or retired or (pins == 0 and expires_at <= now) then return id end
  end
end

-- A new job holds them. Its record lists them already.
function uploads.pin(ids)
  for _, id in ipairs(ids) do
    redis.call('HINCRBY', uploads.key(id), 'pins', 1)
    redis.call('ZREM', uploads.EXPIRY, id)
  end
end

-- The job is finished and holds nothing any more. `job`: its record.
function uploads.unpin(job, now)
  local held = record.get(job, 'uploads')
  if not held then return end
  record.unset(job, 'uploads')
  for _, id in ipairs(cjson.decode(held)) do
    local key = uploads.key(id)
    local found = redis.call('HMGET', key, 'pins', 'retired', 'life_ms')
    local pins, retired, life_ms = tonumber(found[1] or '0'), found[2], found[3]
    if pins > 0 then redis.call('HINCRBY', key, 'pins', -1) end
    if pins == 1 and retired then
      redis.call('ZADD', uploads.EXPIRY, now, id)
    elseif pins == 1 then
      uploads.refresh(id, now, life_ms)
    end
  end
end

return uploads
