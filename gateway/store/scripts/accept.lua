-- accept: stores a new job and puts it into its tenant's lane.
--
-- KEYS  job: its record
-- ARGV  order, JSON: {name, tenant, state, fields = {}, ticket, idempotency, fingerprint, queue_max, bytes, bytes_max,
--       deadline, priority, rate, burst, video = kind of video, step = type of its event, deliver = limits,
--       dispatch = {role = limits}}; payload: the client's own, or ""
--
-- One durable step claims the idempotency key, writes the job, puts it into the lane, and dispatches it if a slot is
-- free. Called again with the same job id, or the same key and fingerprint, it changes nothing. The tenant's own
-- settings override `queue_max`, `rate` (jobs per second, 0: no limit) and `burst`.
--
-- Returns {"accepted", id, allowance, queue position} | {"replayed", earlier id} | {"mismatch", earlier id} |
-- {"full", jobs that wait, how many are allowed} | {"heavy", bytes that the tenant's jobs take} | {"limited",
-- allowance}; allowance: as `meter_rate` has it; queue position: as `queue_position_of` of queue_position.lua has it
local job = KEYS[1]
local order, payload = cjson.decode(ARGV[1]), ARGV[2]
local claim

-- Whether one more job is allowed (GCRA), and the allowance afterwards, as JSON: {rate, burst, left: jobs, reset_ms:
-- until all are allowed, wait_ms: until the next}. "" without a rate limit.
local function meter_rate(tenant, rate, burst, now)
  rate, burst = tonumber(rate), tonumber(burst)
  if rate <= 0 then return true, '' end
  local key, one = P .. 'tenant:' .. tenant .. ':tat', 1000 / rate
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local passes = tat + one - now <= burst * one + 0.001
  if passes then
    tat = tat + one
    redis.call('SET', key, string.format('%.3f', tat), 'PX', math.ceil(tat - now) + 1000)
  end
  local left = math.max(0, math.floor(burst - (tat - now) / one + 0.001))
  local wait = math.max(0, math.ceil(tat + one - now - burst * one))
  local allowance = { rate = rate, burst = burst, left = left, reset_ms = math.ceil(tat - now), wait_ms = wait }
  return passes, cjson.encode(allowance)
end

if order.idempotency then
  claim = P .. 'tenant:' .. order.tenant .. ':idempotency:' .. order.idempotency
  local prior = redis.call('HMGET', claim, 'job', 'fingerprint')
  local prior_job, prior_fingerprint = prior[1], prior[2]
  if prior_job then
    return { prior_fingerprint == order.fingerprint and 'replayed' or 'mismatch', prior_job }
  end
end
if redis.call('EXISTS', job) == 1 then return { 'replayed', order.name } end
local own = redis.call('HMGET', P .. 'tenant:' .. order.tenant .. ':settings', 'queue_max', 'rate', 'burst')
local own_queue_max, own_rate, own_burst = own[1], own[2], own[3]
local waiting = redis.call('ZCARD', P .. 'submit:lane:' .. order.tenant)
local most = tonumber(own_queue_max or order.queue_max)
if waiting >= most then return { 'full', waiting, most } end
local usage = P .. 'tenant:' .. order.tenant .. ':usage'
local taken = tonumber(redis.call('HGET', usage, 'bytes') or '0')
if order.bytes_max and taken + order.bytes > order.bytes_max then return { 'heavy', taken } end

local now = now_ms()
local passes, allowance = meter_rate(order.tenant, own_rate or order.rate or 0, own_burst or order.burst or 1, now)
if not passes then return { 'limited', allowance } end
redis.call('HINCRBY', usage, 'bytes', order.bytes)
if claim then redis.call('HSET', claim, 'job', order.name, 'fingerprint', order.fingerprint) end
set_fields(job, order.fields)
redis.call('HSET', job, 'bytes', order.bytes)
if payload ~= '' then redis.call('SET', job .. ':payload', payload) end
count_state('job', order.state, 1)
redis.call('HINCRBY', P .. 'tally', 'jobs_accepted', 1)
index_job(order.name, order.tenant, order.state)
if order.deadline then redis.call('ZADD', P .. 'deadlines', order.deadline, order.name) end
enter_lane('submit', order.ticket, now, false, order.priority)
publish_event(order.tenant, order.name, order.step)
if queue_step_event(order.name, order.tenant, order.step, now) then dispatch_role('deliver', order.deliver, now) end
for role, limits in pairs(order.dispatch) do dispatch_role(role, limits, now) end
local accounts = order.dispatch.submit.accounts
return { 'accepted', order.name, allowance, queue_position_of(order.ticket, order.video or '', accounts, now) }
