-- accept(KEYS = {job}, ARGV = {order, payload})
-- order: {name, tenant, state, fields = {}, ticket, idempotency, fingerprint, queue_max, bytes, bytes_max,
--         deadline, priority, rate, burst, video = kind of video,
--         step = type of its event, deliver = limits, dispatch = {role = limits}}
--
-- Claims the idempotency key, writes the job, puts it in its tenant's lane and dispatches it when a slot is
-- free: one durable step. Called again with the same job id, or the same key and fingerprint, it changes nothing.
-- What the tenant was given of its own goes before `queue_max`, `rate` (jobs in a second, 0: any number) and `burst`.
--
-- Returns {"accepted", id, allowance, place} | {"replayed", earlier id} | {"mismatch", earlier id} |
-- {"full", jobs that wait, how many may} | {"heavy", bytes that the tenant's jobs take} | {"limited", allowance};
-- allowance: {rate and burst as texts, jobs left, ms until all are, ms until the next} or {} when any number may come,
-- place: of waiting.lua
local order = cjson.decode(ARGV[1])
local claim

-- Whether one more may come (GCRA), and the allowance that is left then.
local function meter(tenant, rate, burst, now)
  rate, burst = tonumber(rate), tonumber(burst)
  if rate <= 0 then return true, {} end
  local key, one = P .. 'tenant:' .. tenant .. ':tat', 1000 / rate
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local passes = tat + one - now <= burst * one + 0.001
  if passes then
    tat = tat + one
    redis.call('SET', key, string.format('%.3f', tat), 'PX', math.ceil(tat - now) + 1000)
  end
  local left = math.max(0, math.floor(burst - (tat - now) / one + 0.001))
  local wait = math.max(0, math.ceil(tat + one - now - burst * one))
  return passes, { tostring(rate), tostring(burst), left, math.ceil(tat - now), wait }
end

if order.idempotency then
  claim = P .. 'tenant:' .. order.tenant .. ':idempotency:' .. order.idempotency
  local prior = redis.call('HMGET', claim, 'job', 'fingerprint')
  if prior[1] then
    return { prior[2] == order.fingerprint and 'replayed' or 'mismatch', prior[1] }
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'replayed', order.name } end
local given = redis.call('HMGET', P .. 'tenant:' .. order.tenant .. ':settings', 'queue_max', 'rate', 'burst')
local waiting, most = redis.call('ZCARD', P .. 'submit:lane:' .. order.tenant), tonumber(given[1] or order.queue_max)
if waiting >= most then return { 'full', waiting, most } end
local usage = P .. 'tenant:' .. order.tenant .. ':usage'
local taken = tonumber(redis.call('HGET', usage, 'bytes') or '0')
if order.bytes_max and taken + order.bytes > order.bytes_max then return { 'heavy', taken } end

local now = now_ms()
local passes, allowance = meter(order.tenant, given[2] or order.rate or 0, given[3] or order.burst or 1, now)
if not passes then return { 'limited', allowance } end
redis.call('HINCRBY', usage, 'bytes', order.bytes)
if claim then redis.call('HSET', claim, 'job', order.name, 'fingerprint', order.fingerprint) end
write(KEYS[1], order.fields)
redis.call('HSET', KEYS[1], 'bytes', order.bytes)
if ARGV[2] ~= '' then redis.call('SET', KEYS[1] .. ':payload', ARGV[2]) end
count('job', order.state, 1)
redis.call('HINCRBY', P .. 'tally', 'jobs_accepted', 1)
index('job', order.name, order.tenant, order.state)
if order.deadline then redis.call('ZADD', P .. 'deadlines', order.deadline, order.name) end
enter('submit', order.ticket, now, false, order.priority)
tell_tenant(order.tenant, order.name, order.step)
if step_taken(order.name, order.tenant, order.step, now) then hand_out('deliver', order.deliver, now) end
for role, limits in pairs(order.dispatch) do hand_out(role, limits, now) end
return { 'accepted', order.name, allowance, place_of(order.ticket, order.video or '', order.dispatch.submit[8], now) }
