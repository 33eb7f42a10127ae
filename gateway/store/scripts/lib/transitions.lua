-- transitions.lua: a shared part. Changes states: no other function changes the state of a record.
-- This part does not know the names of states: the rows of gateway/lifecycle.py come with the transition.
--
-- transition = {
--   kind = "job" | "delivery", name = its id, event,
--   moves = {from = to}: the rows of the event,
--   final = {state = true}, unknown = state of a job, dead = state of a delivery,
--   publishes = {state = type of the event that clients get}, steps = {state = type}: states that are not final, whose
--     events for subscribers a worker creates,
--   guard = {holder = {role, ticket, number}, fields = {field = value, or "": must be absent}},
--   effects = {name = effect}: of effects.lua,
--   creates = {state, fields}: how the record begins if it is missing, or nil,
--   at = ms: when the event happened, or nil: now,
--   dispatch = {role = limits}: where the effects may free slots or create work
-- }
local transitions = {}

-- Adds the job to the indexes by time of its new state, or removes it from them.
local function index_by_time(key, transition, before, after, now)
  local name = transition.name
  if after == transition.unknown then
    redis.call('ZADD', P .. 'unknowns', now, name)
  elseif before == transition.unknown then
    redis.call('ZREM', P .. 'unknowns', name)
  end
  if transition.final[after] then
    redis.call('ZADD', P .. 'finished', now, name)
    quotas.count_finished_job(key)
    if transition.effects.charge then money.charge(key, transition.effects.charge, now) end
    money.finish(key, now)
    money.count_ended_job(key, after)
    uploads.unpin(key, now)
    local created_at, called_back_at = record.get(key, 'created_at'), record.get(key, 'called_back_at')
    log.record_timing('job', now - (created_at or now))
    if called_back_at then log.record_timing('confirm', now - called_back_at) end
    redis.call('ZREM', P .. 'deadlines', name)
  end
end

-- Whether the tenant of the record has room for that many bytes more.
local function has_room(key, bytes, bytes_max)
  if not bytes_max or bytes <= 0 then return true end
  return quotas.expected_bytes(record.get(key, 'tenant'), { bytes = bytes }) <= bytes_max
end

-- The effects that write fields of the record. What they add counts for the job, also if the record is a delivery's.
-- WriteLog: {log, newest, or nil: the same, bytes_max, or nil}: the log of a delivery's attempts; only its newest entry
-- is written if the tenant has no room for more.
local function write_fields(key, transition, now)
  local effects = transition.effects
  local fields, attempts = effects.set_fields or {}, effects.write_log
  local numbers, gone = effects.add_to_fields or {}, effects.unset_fields or {}
  if attempts then fields.log = attempts.log end
  local grown = quotas.growth_of(key, fields, gone)
  if attempts and attempts.newest and not has_room(key, grown, attempts.bytes_max) then
    fields.log, grown = attempts.newest, grown - #attempts.log + #attempts.newest
  end
  if grown ~= 0 then
    local job = transition.kind == 'job' and key or P .. 'job:' .. (record.get(key, 'job_id') or '')
    quotas.count_bytes(job, grown)
  end
  if effects.claim then
    fields.run = effects.claim.run
    primary.skip_lost_submissions(key, effects.claim.failover, now)
  end
  record.set(key, fields)
  for field, by in pairs(numbers) do record.add(key, field, by) end
  if #gone > 0 then record.unset(key, unpack(gone)) end
end

-- After a change of state: updates counts and indexes, and publishes the event to clients. `before`: false if the
-- record is new.
local function enter_state(key, transition, before, after, now)
  local kind, name = transition.kind, transition.name
  record.set(key, { state = after, [after .. '_at'] = transition.at or now })
  if kind == 'job' then
    local tenant, published = record.get(key, 'tenant'), transition.publishes[after]
    records.index_job(name, tenant, after, before)
    if not before then money.count_new_job(key) end -- the store had lost it
    index_by_time(key, transition, before, after, now)
    if published and records.publish_event(tenant, name, published) and transition.steps[after] then
      records.queue_step_event(name, tenant, published, now)
    end
  else
    local tenant, lane = record.get(key, 'tenant'), record.get(key, 'lane')
    records.index_delivery(name, tenant, lane, after, before, record.get(key, 'created_at'))
    if after == transition.dead then redis.call('ZADD', P .. 'dead', now, name) end
    if before == transition.dead then redis.call('ZREM', P .. 'dead', name) end
  end
  -- last: a record without what its indexes need stops here before anything is counted
  if before then records.count_state(kind, before, -1) end
  records.count_state(kind, after, 1)
end

-- Adds an entry to the job's history: the event, with the details of the effect `record_history`.
local function record_history(key, transition, after, now)
  local effects = transition.effects
  local said = effects.record_history or {}
  local epoch = record.get(key, 'epoch') or 0
  local account = effects.claim and record.get(key, 'account') or ''
  -- what the job was in before, the previous entries say
  records.note_history(key, now, 'event', transition.event, 'to', after, 'epoch', tonumber(epoch), 'by', said.by or '',
    'why', said.why or '', 'account', account)
end

-- Applies the event to the record, with the effects that write the record itself. Returns {outcome, before, after}: the
-- state before and after; outcome: "moved" | "repeated": it stays in its state | "absorbed": it is final already, and
-- nothing is written | "fenced": by the guard | "refused": the event cannot happen in this state | "missing".
function transitions.change_state(key, transition, now)
  local before = record.get(key, 'state')
  local after
  if before then
    for field, value in pairs(transition.guard and transition.guard.fields or {}) do
      if (record.get(key, field) or '') ~= value then
        return { outcome = 'fenced', before = before, after = before }
      end
    end
    after = transition.moves[before]
    if not after then return { outcome = 'refused', before = before, after = before } end
    if after == before and transition.final[before] then
      return { outcome = 'absorbed', before = before, after = before }
    end
  elseif transition.creates then
    after = transition.creates.state
    record.create(key, transition.creates.fields)
  else
    return { outcome = 'missing', before = '', after = '' }
  end
  write_fields(key, transition, now)
  if after ~= before then enter_state(key, transition, before, after, now) end
  if transition.kind == 'job' then record_history(key, transition, after, now) end
  return { outcome = after == before and 'repeated' or 'moved', before = before or '', after = after }
end

return transitions
