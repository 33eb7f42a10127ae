-- callback: applies a callback whose token was verified.
--
-- KEYS  job: its record
-- ARGV  args, JSON, below; raw: the start of its body, when it could not be read, or ""
--
-- A callback proves that the upstream has a task for the submission, whatever the body says. One durable step binds the
-- task that it names, changes the job's state, and makes a poll due. The same callback again changes nothing more.
--
-- args = {
--   name, tenant, epoch: of the submission, account: with which it was made, submit_ticket,
--   task: that it names, or nil, terminal, working: whether it reports a final status, or that work began, reported:
--     the result in its body, or nil, distrusted: it only makes a poll due, nonce: valid once, or nil, hint: for the
--     history,
--   tally = {name, ...}, gap_ms, first_poll_ms, born_at: of the job, retention_ms,
--   armed = state of a submission, unknown = state, final = {state = true}, steps, publishes: as of transitions.lua,
--   good: as of `money.charge`,
--   accepted, seen, rollback = {event, moves}, rebuilt = {event, creates}: what may have happened to the job,
--   dispatch = {role = limits}
-- }
--
-- Returns the outcome: one of CallbackOutcome of gateway/store/base.py
local key = KEYS[1]
local args, raw = cjson.decode(ARGV[1]), ARGV[2]
local now = call.now_ms()

local function poll_now()
  lanes.set_due('confirm', account_slots.confirm_ticket(args.name), now, now)
  dispatching.dispatch_changed(args.dispatch, now)
end

-- Applies one of `accepted`, `seen`, `rollback` and `rebuilt` to the job, and writes `fields`.
local function apply(what, fields)
  return transitions.change_state(key, {
    kind = 'job',
    name = args.name,
    event = what.event,
    moves = what.moves,
    creates = what.creates,
    final = args.final,
    unknown = args.unknown,
    steps = args.steps,
    publishes = args.publishes,
    effects = { set_fields = fields },
  }, now)
end

local function note_rollback(outcome)
  records.quarantine(now, outcome, args, raw)
  log.ops_event(now, 'rollback_seen', 'job', args.name, 'tenant', args.tenant, 'epoch', args.epoch)
  log.tally('rollback_seen|' .. outcome)
end

-- Redis acknowledged this job but does not know it, so it was rolled back. Rebuilds what is known of the job.
local function rebuild()
  if args.born_at + args.retention_ms < now then return 'expired' end
  note_rollback('orphan')
  if args.task and not args.distrusted and tasks.assign(args.name, args.task, true, now) then
    apply(args.rebuilt, { task_id = args.task, called_back_at = args.terminal and now or nil })
    lanes.hold_until_given_back('submit', args.submit_ticket)
    poll_now()
  end
  return 'orphan'
end

-- Whether another job has the task, or the upstream's answer to that submission named another task. Then its owner is
-- uncertain, and the other job is polled too.
local function is_crossed()
  local task = args.task
  local owner = tasks.owner_of(task)
  local answered = record.get(key, 'answered:' .. args.epoch)
  local foreign = owner and owner ~= args.name
  if not foreign and (not answered or answered == task) then return false end
  records.quarantine(now, 'crossed', args, raw)
  log.ops_event(now, 'task_claimed_twice', 'task', task, 'job', args.name, 'owner', owner or '')
  if foreign and owner ~= tasks.NOBODY then
    if not answered then tasks.contest(task, owner, args.final, args.retention_ms, now) end
    lanes.set_due('confirm', account_slots.confirm_ticket(owner), now, now)
  end
  return true
end

local function take_in()
  local found = { record.get(key, 'state'), record.get(key, 'epoch'), record.get(key, 'released_at') }
  local state, known_epoch, released = found[1], tonumber(found[2] or '0'), found[3]
  if not state then return rebuild() end

  if raw ~= '' then records.quarantine(now, args.distrusted and 'distrusted' or 'unreadable', args, raw) end
  local again = args.nonce and not redis.call('SET', P .. 'nonce:' .. args.nonce, '1', 'NX', 'PX', records.NONCE_MS)
  if again or args.distrusted then
    if not args.final[state] then poll_now() end
    return again and 'replayed' or 'repeated'
  end

  local outcome
  local older, newer = args.epoch < known_epoch, args.epoch > known_epoch
  if newer or (state == args.armed and not older and not released) then
    -- The upstream has a submission that our record does not know: Redis lost acknowledged writes.
    outcome = 'ahead'
    note_rollback('ahead')
    if not args.final[state] then
      record.set(key, { epoch = args.epoch, released_at = record.get(key, 'released_at') or now })
      tasks.note_lost_submission(args.name, args.epoch, now)
    end
    apply(args.rollback)
  elseif older then
    outcome = 'earlier'
  end

  local task = args.task
  if task and is_crossed() then outcome, task = 'crossed', nil end
  local crossed = outcome == 'crossed'

  -- The record's newer submission is wrong, or costs nothing. So the job's account is that of this submission.
  local newest = not crossed and (newer or not released)
  if newest and (not args.final[state] or tasks.is_watched(key, now)) then account_slots.move_job(key, args.account) end
  local what = task and args.accepted or args.seen
  -- An earlier submission was accepted, and the newest is about to be released. It must not be paid for too.
  if older and not task and state == args.armed and not released then what = args.rollback end
  local fields = {}
  if args.terminal and not crossed and not record.get(key, 'called_back_at') then
    fields.called_back_at = now
  end
  if args.reported and not crossed then fields.claimed = args.reported end
  if not task then fields.evidence = 'callback' end
  -- it was sent, although its answer said that there is no task
  if not crossed and not older and not released and state ~= args.armed then fields.released_at = now end
  local result = apply(what, fields)
  local late = result.outcome == 'absorbed'
  if late and not tasks.is_watched(key, now) then
    if task and money.may_owe(key, args.epoch) and (tasks.owner_of(task) or args.name) == args.name then
      money.charge(key, { costs = { { task = task, epoch = args.epoch } }, good = args.good }, now)
    end
    return outcome or 'absorbed'
  end
  if task then
    local named = { task = task, reported = true, epoch = args.epoch, account = args.account }
    tasks.bind(key, args.name, named, now)
  end
  if late then
    poll_now()
    return outcome or 'late'
  end
  if result.after ~= state or task then lanes.hold_until_given_back('submit', args.submit_ticket) end
  if args.working and not outcome then
    if result.outcome == 'moved' then
      lanes.set_due('confirm', account_slots.confirm_ticket(args.name), now + args.first_poll_ms)
    end
  else
    poll_now()
  end
  return outcome or result.outcome
end

records.note_callback_path(now, args.gap_ms)
for _, name in ipairs(args.tally) do log.tally(name) end
local outcome = take_in()
if record.get(key, 'state') then
  records.note_history(key, now, 'event', 'callback', 'effect', outcome, 'epoch', args.epoch, 'hint', args.hint)
end
return outcome
