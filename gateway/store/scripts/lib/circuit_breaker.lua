-- circuit_breaker.lua: a shared part. The circuit breakers of subscribers.
--
-- {gw}:health:<lane>, a hash of a lane of the deliver role:
--   t:<n>, f:<n>    attempts, and failed attempts, in the n-th bucket of `bucket_ms` since the epoch
--   parks           how often the lane was paused in this episode, which ends with a success
--   failing_since   the first failure after the last success
--   confirmed       another failure happened at least `apart_ms` after that one
--   warned          the highest percentage of `disable_ms` for which operators were warned
--   error, url, tenant   of the last failure, in a few words; where it was sent to, without its path; whose it was
-- {gw}:deliver:failing, a zset: lane whose last attempt failed -> failing_since
-- {gw}:deliver:failing_urls, a zset: those of callback URLs -> their last failure
-- limits = {window_ms, bucket_ms, least, percent, pause_ms, max_pause_ms, disable_ms, apart_ms}: HealthLimits of
-- gateway/dispatch.py, with the same names. attempt = {lane, endpoint or "", tenant, ok, error, url}: the result of an
-- attempt.
local circuit_breaker = {}

local FAILING = P .. 'deliver:failing'
local FAILING_URLS = P .. 'deliver:failing_urls'
local WARN_AT = { 90, 70, 50 }
local URL_KEPT_MS = 7200000 -- for a callback URL's lane, which is never removed; the breaker needs less

-- How many attempts were made in the window, and how many failed. Removes older buckets.
function circuit_breaker.window_of(key, limits, now)
  local oldest = math.floor(now / limits.bucket_ms) - math.ceil(limits.window_ms / limits.bucket_ms)
  local sums, gone, found = { t = 0, f = 0 }, {}, redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local kind, at = string.match(found[i], '^([tf]):(%d+)$')
    if kind and tonumber(at) > oldest then
      sums[kind] = sums[kind] + tonumber(found[i + 1])
    elseif kind then
      gone[#gone + 1] = found[i]
    end
  end
  return sums.t, sums.f, gone
end

local function forget_fields(key, fields)
  if #fields > 0 then redis.call('HDEL', key, unpack(fields)) end
end

local function clear_window(key)
  local gone = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, '^[tf]:%d') then gone[#gone + 1] = field end
  end
  forget_fields(key, gone)
end

-- Counts one result. Removes old buckets whenever a new one begins. Returns whether one began.
local function count_result(key, ok, limits, now)
  local bucket = string.format('%d', math.floor(now / limits.bucket_ms))
  if not ok then redis.call('HINCRBY', key, 'f:' .. bucket, 1) end
  if redis.call('HINCRBY', key, 't:' .. bucket, 1) > 1 then return false end
  local _, _, gone = circuit_breaker.window_of(key, limits, now)
  forget_fields(key, gone)
  return true
end

local function forget_failing(...)
  redis.call('ZREM', FAILING, ...)
  redis.call('ZREM', FAILING_URLS, ...)
end

-- Closes the lane's breaker and forgets its failures. Returns whether there was anything to close or forget.
function circuit_breaker.reset(lane)
  local failures = redis.call('DEL', P .. 'health:' .. lane)
  forget_failing(lane)
  return lane_pauses.resume('deliver', lane) or failures > 0
end

-- Forgets failing lanes of callback URLs whose failures were forgotten, because no attempt was made for a time.
function circuit_breaker.forget_failing_urls(now)
  local stale = redis.call('ZRANGEBYSCORE', FAILING_URLS, '-inf', now - URL_KEPT_MS, 'LIMIT', 0, 1000)
  if #stale > 0 then forget_failing(unpack(stale)) end
end

-- Disables the endpoint: new deliveries are held, and waiting ones are held when their turn comes, so its lane goes on.
-- `at`: when, for its owner. Returns whether the endpoint exists.
function circuit_breaker.disable_endpoint(id, reason, at, now)
  local key = P .. 'endpoint:' .. id
  local found = redis.call('HMGET', key, 'tenant', 'disabled_at')
  local tenant = found[1]
  if not tenant then return false end
  if found[2] then return true end
  redis.call('HSET', key, 'disabled_at', at, 'disabled_reason', reason)
  local index = P .. 'tenant:' .. tenant .. ':endpoints'
  local wish = redis.call('HGET', index, id)
  if wish then
    wish = cjson.decode(wish)
    wish.disabled = true
    redis.call('HSET', index, id, cjson.encode(wish))
  end
  circuit_breaker.reset(id)
  log.tenant_ops_event(now, 'endpoint_disabled', tenant, 'endpoint', id, 'reason', reason)
  return true
end

-- Opens the breaker, for longer each time in a row.
local function open_breaker(attempt, key, parks, limits, now)
  local till = now + math.min(limits.max_pause_ms, limits.pause_ms * 2 ^ math.min(parks, 30))
  lane_pauses.pause('deliver', attempt.lane, till)
  log.tally('subscribers_parked')
  redis.call('HSET', key, 'parks', parks + 1)
  if parks == 0 then
    local total, failed = circuit_breaker.window_of(key, limits, now)
    log.tenant_ops_event(now, 'endpoint_parked', attempt.tenant, 'lane', attempt.lane, 'endpoint', attempt.endpoint,
      'until', string.format('%d', till), 'attempts', total, 'failed', failed)
  end
end

-- Disables an endpoint that fails for too long, with warnings before. `since`: of the failures, ms.
local function judge_endpoint(attempt, key, since, confirmed, warned, limits, now)
  local elapsed = now - since
  if elapsed >= limits.disable_ms and confirmed then
    local days = string.format('%.4g', limits.disable_ms / 86400000)
    circuit_breaker.disable_endpoint(attempt.endpoint, 'no attempt has succeeded for ' .. days .. ' days', now, now)
    return
  end
  if elapsed >= limits.apart_ms then redis.call('HSET', key, 'confirmed', 1) end
  for _, percent in ipairs(WARN_AT) do
    if elapsed * 100 >= percent * limits.disable_ms then
      if warned < percent then
        redis.call('HSET', key, 'warned', percent)
        log.tenant_ops_event(now, 'endpoint_failing', attempt.tenant, 'endpoint', attempt.endpoint, 'percent', percent,
          'since', since)
      end
      return
    end
  end
end

-- JudgeLane. Applies the result of an attempt to its lane. An attempt that ends while the lane is paused began before,
-- so it does not change when to try again.
function circuit_breaker.judge(attempt, limits, now)
  local lane, endpoint, ok = attempt.lane, attempt.endpoint, attempt.ok
  if endpoint ~= '' then
    local found = redis.call('HMGET', P .. 'endpoint:' .. endpoint, 'id', 'disabled_at')
    local id, disabled_at = found[1], found[2]
    if not id or disabled_at then return end
  end
  local key = P .. 'health:' .. lane
  local quiet = role_facts.is_quiet('deliver')
  local paused = not quiet and redis.call('ZSCORE', P .. 'deliver:parked', lane)
  local probing = not quiet and redis.call('SISMEMBER', P .. 'deliver:probing', lane) == 1
  local known = redis.call('HMGET', key, 'parks', 'failing_since', 'confirmed', 'warned')
  local parks, failing_since = tonumber(known[1] or '0'), tonumber(known[2])
  local confirmed, warned = known[3], tonumber(known[4] or '0')
  local began = count_result(key, ok, limits, now)
  if ok then
    if failing_since then
      redis.call('HDEL', key, 'failing_since', 'confirmed', 'warned', 'error', 'url', 'tenant')
      forget_failing(lane)
    end
    if not paused and (probing or parks > 0) then
      redis.call('HDEL', key, 'parks')
      clear_window(key)
      lane_pauses.resume('deliver', lane)
      log.tenant_ops_event(now, 'endpoint_recovered', attempt.tenant, 'lane', lane, 'endpoint', endpoint)
    end
  else
    if not failing_since then redis.call('HSET', key, 'failing_since', now) end
    redis.call('HSET', key, 'error', attempt.error, 'url', attempt.url, 'tenant', attempt.tenant)
    redis.call('ZADD', FAILING, 'NX', failing_since or now, lane)
    if probing then
      open_breaker(attempt, key, parks, limits, now)
    elseif not paused then
      local total, failed = circuit_breaker.window_of(key, limits, now)
      if total >= limits.least and failed * 100 >= limits.percent * total then
        open_breaker(attempt, key, parks, limits, now)
      end
    end
    if endpoint ~= '' then
      judge_endpoint(attempt, key, failing_since or now, confirmed, warned, limits, now)
    end
  end
  if endpoint == '' then
    if began then redis.call('PEXPIRE', key, URL_KEPT_MS) end
    if not ok then redis.call('ZADD', FAILING_URLS, now, lane) end
  end
end

return circuit_breaker
