-- accept: stores a new job and puts it into its tenant's lane.
--
-- KEYS  job: its record
-- ARGV  order, JSON: {name, tenant, state, fields = {bytes, event_bytes, media, or nil, ...}, ticket, idempotency,
--       fingerprint, queue_max, bytes_max, media_max, deadline, priority, rate, burst, video = kind of video, step =
--       type of its event, deliver = limits, dispatch = {role = limits}, check_only}; payload: the client's own, or ""
--
-- One durable step claims the idempotency key, writes the job, puts it into the lane, and dispatches it if a slot is
-- free. Called again with the same job id, or the same key and fingerprint, it changes nothing. The tenant's own
-- settings override `queue_max`, `rate` (jobs per second, 0: no limit) and `burst`. `bytes`, `event_bytes`
-- and `media` are what quotas.lua counts for it. `check_only`: everything is checked and nothing is written.
--
-- Returns {"accepted", id, allowance, queue position} | {"replayed" | "mismatch", earlier id} | {"would_fit"}: with
-- `check_only` | {"full", jobs that wait, how many are allowed} | {"heavy" | "media", bytes that the tenant would take
-- with it} | {"limited", allowance}; allowance: as of `meter_rate`; queue position: as of `queue_position_of`
local job = KEYS[1]
local order, payload = cjson.decode(ARGV[1]), ARGV[2]
local claim

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
local fields = order.fields
local added, media = { bytes = fields.bytes, jobs = 1, event_bytes = fields.event_bytes }, tonumber(fields.media or 0)
if order.bytes_max then
  local expected = expected_bytes(order.tenant, added)
  if expected > order.bytes_max then return { 'heavy', expected } end
end
if media > 0 and order.media_max then
  local with_it = media + (redis.call('HGET', usage_key(order.tenant), 'media') or 0)
  if with_it > order.media_max then return { 'media', with_it } end
end

local now = now_ms()
local rate, burst = own_rate or order.rate or 0, own_burst or order.burst or 1
local passes, allowance = meter_rate(order.tenant, 'jobs', rate, burst, now, order.check_only)
if not passes then return { 'limited', allowance } end
if order.check_only then return { 'would_fit' } end
if claim then redis.call('HSET', claim, 'job', order.name, 'fingerprint', order.fingerprint) end
set_fields(job, fields)
count_new_job(order.tenant, added, media)
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
