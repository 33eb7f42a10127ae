-- accept(KEYS = {job}, ARGV = {order, payload})
-- order: {name, tenant, state, fields = {}, ticket, idempotency, fingerprint, queue_max, bytes, bytes_max,
--         deadline,
--         step = type of its event, deliver = limits, dispatch = {role = limits}}
--
-- Claims the idempotency key, writes the job, puts it in its tenant's lane and dispatches it when a slot is
-- free: one durable step. Called again with the same job id, or the same key and fingerprint, it changes nothing.
--
-- Returns {"accepted", id} | {"replayed", earlier id} | {"mismatch", earlier id} | {"full", jobs that wait} |
-- {"heavy", bytes that the tenant's jobs take}
local order = cjson.decode(ARGV[1])
local claim
if order.idempotency then
  claim = P .. 'tenant:' .. order.tenant .. ':idempotency:' .. order.idempotency
  local prior = redis.call('HMGET', claim, 'job', 'fingerprint')
  if prior[1] then
    return { prior[2] == order.fingerprint and 'replayed' or 'mismatch', prior[1] }
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'replayed', order.name } end
local waiting = redis.call('ZCARD', P .. 'submit:lane:' .. order.tenant)
if waiting >= order.queue_max then return { 'full', waiting } end
local usage = P .. 'tenant:' .. order.tenant .. ':usage'
local taken = tonumber(redis.call('HGET', usage, 'bytes') or '0')
if order.bytes_max and taken + order.bytes > order.bytes_max then return { 'heavy', taken } end

local now = now_ms()
redis.call('HINCRBY', usage, 'bytes', order.bytes)
if claim then redis.call('HSET', claim, 'job', order.name, 'fingerprint', order.fingerprint) end
write(KEYS[1], order.fields)
redis.call('HSET', KEYS[1], 'bytes', order.bytes)
if ARGV[2] ~= '' then redis.call('SET', KEYS[1] .. ':payload', ARGV[2]) end
count('job', order.state, 1)
index('job', order.name, order.tenant, order.state)
if order.deadline then redis.call('ZADD', P .. 'deadlines', order.deadline, order.name) end
enter('submit', order.ticket, now)
tell_tenant(order.tenant, order.name, order.step)
if step_taken(order.name, order.tenant, order.step, now) then hand_out('deliver', order.deliver, now) end
for role, limits in pairs(order.dispatch) do hand_out(role, limits, now) end
return { 'accepted', order.name }
