-- attempts.lua: a shared part. Finds the job of a request that a client sends again without an Idempotency-Key.
--
-- An attempt = {digest: of the request's meaning, number: how often it was sent before, for_ms: how long its job can be
-- found}. Nothing here counts after `for_ms`, so it has that time to live.
-- {gw}:tenant:<t>:attempts:<number>:<digest>  zset: jobs that the attempt with this number made or found, by the time
--                                             when they were accepted
-- {gw}:tenant:<t>:attempt:<job id>            the job that the attempt found which would have made this one
local attempts = {}

local function key_of(tenant, attempt, number)
  return P .. 'tenant:' .. tenant .. ':attempts:' .. number .. ':' .. attempt.digest
end

local function own_key(tenant, name)
  return P .. 'tenant:' .. tenant .. ':attempt:' .. name
end

-- Notes that this attempt led to the job.
function attempts.note(tenant, attempt, name, accepted_at, now)
  local key = key_of(tenant, attempt, attempt.number)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - attempt.for_ms)
  redis.call('ZADD', key, accepted_at, name)
  redis.call('PEXPIRE', key, attempt.for_ms)
end

-- The job of an earlier attempt, which no other attempt of this number finds from now on; nil if there is none. The
-- latest attempt before this one is the likeliest, and of its jobs the newest. `name`: of the job that this attempt
-- would make: asked again, the answer is the same.
function attempts.find(tenant, attempt, name, now)
  local found = redis.call('GET', own_key(tenant, name))
  if found then return found end
  for number = attempt.number - 1, 0, -1 do
    local key = key_of(tenant, attempt, number)
    local since = '(' .. now - attempt.for_ms
    local newest = redis.call('ZREVRANGEBYSCORE', key, '+inf', since, 'WITHSCORES', 'LIMIT', 0, 1)
    local job, accepted_at = newest[1], newest[2]
    if job then
      redis.call('ZREM', key, job)
      attempts.note(tenant, attempt, job, accepted_at, now)
      redis.call('SET', own_key(tenant, name), job, 'PX', attempt.for_ms)
      return job
    end
  end
end

return attempts
