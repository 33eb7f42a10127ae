-- accept: stores a new job and puts it into its tenant's lane.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, tenant, state, fields = {bytes, event_bytes, media, or nil, ...}, ticket, idempotency,
--       fingerprint, queue_max, bytes_max, media_max, deadline, priority, rate, burst, video = kind of video, step =
--       type of its event, threshold = type of the event of a budget's threshold, deliver = limits,
--       dispatch = {role = limits}, uploads = {id, ...} or nil, attempt or nil, check_only};
--       payload: the client's own, or ""
--
-- One durable step takes the idempotency key, writes the job, puts it into the lane, and dispatches it if a slot is
-- free. Called again with the same job id, or the same key and fingerprint, it changes nothing. The tenant's own
-- settings override `queue_max`, `rate` (jobs per second, 0: no limit) and `burst`. `bytes`, `event_bytes`
-- and `media` are what quotas.lua counts for it; money.lua reserves its `estimate`. `uploads`: those that it holds
-- until it is finished. `attempt`: as of attempts.lua, of a request without a key; it may find its job. `check_only`:
-- everything is checked and no job is written.
--
-- Returns {"accepted", id, allowance, queue position} | {"replayed" | "mismatch", earlier id} | {"would_fit"}: with
-- `check_only` | {"full", jobs that wait, how many are allowed} | {"heavy" | "media", bytes that the tenant would take
-- with it} | {"upload", id of one that it may not use} | {"over_budget", name of the hard budget that does not
-- allow it, limit, spent, reserved, estimate} | {"price_unknown", the same} |
-- {"limited", allowance}; allowance: as of `quotas.meter_rate`;
-- queue position: as of `queue_position.of`
local job = KEYS[1]
local args, payload = cjson.decode(ARGV[1]), ARGV[2]
local posted

if args.idempotency then
  posted = P .. 'tenant:' .. args.tenant .. ':idempotency:' .. args.idempotency
  local prior = redis.call('HMGET', posted, 'job', 'fingerprint')
  local prior_job, prior_fingerprint = prior[1], prior[2]
  if prior_job then
    return { prior_fingerprint == args.fingerprint and 'replayed' or 'mismatch', prior_job }
  end
end
if redis.call('EXISTS', job) == 1 then return { 'replayed', args.name } end
local now = call.now_ms()
local found = args.attempt and attempts.find(args.tenant, args.attempt, args.name, now)
if found then return { 'replayed', found } end
local unusable = args.uploads and uploads.first_unusable(args.uploads, args.tenant, now)
if unusable then return { 'upload', unusable } end
local fields = args.fields
local budget_fields = budgets.fields(fields.key)
local own = redis.call('HMGET', P .. 'tenant:' .. args.tenant .. ':settings', 'queue_max', 'rate', 'burst',
  unpack(budget_fields))
local own_queue_max, own_rate, own_burst = own[1], own[2], own[3]
local waiting = redis.call('ZCARD', P .. 'submit:lane:' .. args.tenant)
local most = tonumber(own_queue_max or args.queue_max)
if waiting >= most then return { 'full', waiting, most } end
local added, media = { bytes = fields.bytes, jobs = 1, event_bytes = fields.event_bytes }, tonumber(fields.media or 0)
if args.bytes_max then
  local expected = quotas.expected_bytes(args.tenant, added)
  if expected > args.bytes_max then return { 'heavy', expected } end
end
if media > 0 and args.media_max then
  local with_it = media + counters.get(quotas.usage_key(args.tenant), 'media')
  if with_it > args.media_max then return { 'media', with_it } end
end

local today, estimate = money.day_of(now), tonumber(fields.estimate)
local limits = budgets.load({ unpack(own, 4, 3 + #budget_fields) }, fields.key, today)
local exceeded = budgets.first_exceeded(args.tenant, fields.key, limits, estimate)
if exceeded then return budgets.refusal(args.tenant, exceeded, estimate, args.check_only, now) end

local rate, burst = own_rate or args.rate or 0, own_burst or args.burst or 1
local passes, allowance = quotas.meter_rate(args.tenant, 'jobs', rate, burst, now, args.check_only)
if not passes then return { 'limited', allowance } end
if args.check_only then return { 'would_fit' } end
if posted then redis.call('HSET', posted, 'job', args.name, 'fingerprint', args.fingerprint) end
record.create(job, fields)
quotas.count_new_job(args.tenant, added, media)
money.accept(job, today)
local reached = budgets.note_thresholds(args.tenant, limits, estimate or 0, now)
if #reached > 0 then record.set(job, { budgets = cjson.encode(reached) }) end
if args.uploads then uploads.pin(args.uploads) end
if args.attempt then attempts.note(args.tenant, args.attempt, args.name, now, now) end
if payload ~= '' then redis.call('SET', job .. ':payload', payload) end
records.count_state('job', args.state, 1)
log.tally('jobs_accepted')
records.index_job(args.name, args.tenant, args.state)
if args.deadline then redis.call('ZADD', P .. 'deadlines', args.deadline, args.name) end
lanes.enter_soon('submit', args.ticket, now, false, args.priority)
records.publish_event(args.tenant, args.name, args.step)
local owes_step = records.queue_step_event(args.name, args.tenant, args.step, now)
if #reached > 0 and records.queue_step_event(args.name, args.tenant, args.threshold, now) then owes_step = true end
if owes_step then
  dispatching.dispatch_role('deliver', args.deliver, now)
end
for role, of_role in pairs(args.dispatch) do dispatching.dispatch_role(role, of_role, now) end
-- a dispatched ticket has no position
local position = ''
if not call.kept('dispatched')[args.ticket] then
  lanes.enter_now('submit')
  position = queue_position.of(args.ticket, args.video or '', args.dispatch.submit.accounts, now, waiting + 1)
end
return { 'accepted', args.name, allowance, position }
