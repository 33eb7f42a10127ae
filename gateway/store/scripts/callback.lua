-- callback: applies a callback whose token was verified.
--
-- KEYS  job: its record
-- ARGV  order, JSON, below; raw: the start of its body, when it could not be read, or ""
--
-- A callback proves that the upstream has a task for the submission, whatever the body says. One durable step binds the
-- task that it names, changes the job's state, and makes a poll due. The same callback again changes nothing more.
--
-- order = {
--   name, tenant, epoch: of the submission, account: with which it was made, submit_ticket,
--   task: that it names, or nil, terminal, working: whether it reports a final status, or that work began, claimed: the
--     result in its body, or nil, distrusted: it only makes a poll due, nonce: valid once, or nil, hint: for the
--     history,
--   tally = {name, ...}, gap_ms, first_poll_ms, born_at: of the job, retention_ms,
--   armed = state of a submission, unknown = state, final = {state = true}, steps, publishes: as of transitions.lua,
--   accepted, seen, rollback = {event, moves}, rebuilt = {event, creates}: what may have happened to the job,
--   dispatch = {role = limits}
-- }
--
-- Returns the outcome: one of CallbackOutcome of gateway/store/base.py
local key = KEYS[1]
local order, raw = cjson.decode(ARGV[1]), ARGV[2]
local now = now_ms()

local function poll_now()
  set_due('confirm', confirm_of(order.name), now)
  dispatch_all(order.dispatch, now)
end

-- Applies one of `accepted`, `seen`, `rollback` and `rebuilt` to the job, and writes `fields`.
local function apply(what, fields)
  return move(key, {
    kind = 'job',
    name = order.name,
    event = what.event,
    moves = what.moves,
    creates = what.creates,
    final = order.final,
    unknown = order.unknown,
    steps = order.steps,
    publishes = order.publishes,
    effects = { set_fields = fields },
  }, now)
end

local function note_rollback(outcome)
  quarantine(now, outcome, order, raw)
  ops_event(now, 'rollback_seen', 'job', order.name, 'tenant', order.tenant, 'epoch', order.epoch)
  redis.call('HINCRBY', P .. 'tally', 'rollback_seen|' .. outcome, 1)
end

-- Redis acknowledged this job but does not know it, so it was rolled back. Rebuilds what is known of the job.
local function rebuild()
  if order.born_at + order.retention_ms < now then return 'expired' end
  note_rollback('orphan')
  if order.task and not order.distrusted and assign_task(order.name, order.task, true, now) then
    apply(order.rebuilt, { task_id = order.task, called_back_at = order.terminal and now or nil })
    hold_until_given_back('submit', order.submit_ticket)
    poll_now()
  end
  return 'orphan'
end

-- Whether another job has the task, or the upstream's answer to that submission named another task. Then its owner is
-- uncertain, and the other job is polled too.
local function is_crossed()
  local task = order.task
  local owner = redis.call('GET', P .. 'task:' .. task)
  local answered = redis.call('HGET', key, 'answered:' .. order.epoch)
  local foreign = owner and owner ~= order.name
  if not foreign and (not answered or answered == task) then return false end
  quarantine(now, 'crossed', order, raw)
  ops_event(now, 'task_claimed_twice', 'task', task, 'job', order.name, 'owner', owner or '')
  if foreign and owner ~= NOBODY then
    if not answered then contest_task(task, owner, order.final, order.retention_ms, now) end
    set_due('confirm', confirm_of(owner), now)
  end
  return true
end

local function take_in()
  local found = redis.call('HMGET', key, 'state', 'epoch', 'released_at')
  local state, known_epoch, released = found[1], tonumber(found[2] or '0'), found[3]
  if not state then return rebuild() end

  if raw ~= '' then quarantine(now, order.distrusted and 'distrusted' or 'unreadable', order, raw) end
  local again = order.nonce and not redis.call('SET', P .. 'nonce:' .. order.nonce, '1', 'NX', 'PX', NONCE_MS)
  if again or order.distrusted then
    if not order.final[state] then poll_now() end
    return again and 'replayed' or 'repeated'
  end

  local outcome
  local older, newer = order.epoch < known_epoch, order.epoch > known_epoch
  if newer or (state == order.armed and not older and not released) then
    -- The upstream has a submission that our record does not know: Redis lost acknowledged writes.
    outcome = 'ahead'
    note_rollback('ahead')
    if not order.final[state] then
      redis.call('HSET', key, 'epoch', order.epoch)
      redis.call('HSETNX', key, 'released_at', now)
    end
    apply(order.rollback)
  elseif older then
    outcome = 'earlier'
  end

  local task = order.task
  if task and is_crossed() then outcome, task = 'crossed', nil end
  local crossed = outcome == 'crossed'

  -- The record's newer submission is wrong, or costs nothing. So the job's account is that of this submission.
  local newest = not crossed and (newer or not released)
  if newest and (not order.final[state] or is_watched(key, now)) then move_account(key, order.account) end
  local what = task and order.accepted or order.seen
  -- An earlier submission was accepted, and the newest is about to be released. It must not be paid for too.
  if older and not task and state == order.armed and not released then what = order.rollback end
  local fields = {}
  if order.terminal and not crossed and not redis.call('HGET', key, 'called_back_at') then
    fields.called_back_at = now
  end
  if order.claimed and not crossed then fields.claimed = order.claimed end
  if not task then fields.evidence = 'callback' end
  local result = apply(what, fields)
  local late = result.outcome == 'absorbed'
  if late and not is_watched(key, now) then return outcome or 'absorbed' end
  if task then
    local named = { task = task, claimed = true, epoch = order.epoch, account = order.account }
    bind_task(key, order.name, named, now)
  end
  if late then
    poll_now()
    return outcome or 'late'
  end
  if result.after ~= state or task then hold_until_given_back('submit', order.submit_ticket) end
  if order.working and not outcome then
    if result.outcome == 'moved' then set_due('confirm', confirm_of(order.name), now + order.first_poll_ms) end
  else
    poll_now()
  end
  return outcome or result.outcome
end

note_callback_path(now, order.gap_ms)
for _, name in ipairs(order.tally) do redis.call('HINCRBY', P .. 'tally', name, 1) end
local outcome = take_in()
if redis.call('EXISTS', key) == 1 then
  note_history(key, now, 'event', 'callback', 'effect', outcome, 'epoch', order.epoch, 'hint', order.hint)
end
write_counted_bytes()
return outcome
