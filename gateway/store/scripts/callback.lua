-- callback: a callback whose token was verified.
--
-- KEYS  job: its record
-- ARGV  order, JSON: {name, tenant, epoch, task, terminal, working, distrusted, claimed, nonce, tally = {name, ...},
--       gap, account, submit = its ticket, first_poll_ms, born, retention_ms, armed = state, unknown, final, accepted, seen,
--       rollback = {event, moves}, stub = {state, fields}, steps, tells, dispatch = {role = limits}}; raw: the start of
--       its body
--
-- The upstream has a task for that submission, whatever the body says. Binds the task that it names, moves the job on,
-- and makes a poll due: one durable step. Every outcome is one of gateway/store/base.py; the same callback again
-- changes nothing more.
--
-- Returns the outcome
local key = KEYS[1]
local order, raw = cjson.decode(ARGV[1]), ARGV[2]
local now = now_ms()

local function look()
  set_due('confirm', confirm_of(order.name), now)
  dispatch_all(order.dispatch, now)
end

local function take_in()
  local found = redis.call('HMGET', key, 'state', 'epoch', 'released_at')
  local state, epoch, released = found[1], tonumber(found[2] or '0'), found[3]
  local known = epoch

  if not state then
    if order.born + order.retention_ms < now then return 'expired' end
    -- Redis acknowledged this job and does not know it: it was rolled back. What is left is built up again.
    quarantine(now, 'orphan', order, raw)
    ops_event(now, 'rollback_seen', 'job', order.name, 'tenant', order.tenant, 'epoch', order.epoch)
    redis.call('HINCRBY', P .. 'tally', 'rollback_seen|orphan', 1)
    if order.task and not order.distrusted and bind(order.name, order.task, true, now) then
      local stub = order.stub
      write(key, stub.fields)
      redis.call('HSET', key, 'task_id', order.task, stub.state .. '_at', now)
      if order.terminal then redis.call('HSET', key, 'called_back_at', now) end
      count('job', stub.state, 1)
      index('job', order.name, order.tenant, stub.state)
      note(key, now, 'event', 'rebuilt', 'to', stub.state, 'epoch', order.epoch)
      local told = order.tells[stub.state]
      if tell_tenant(order.tenant, order.name, told) then step_taken(order.name, order.tenant, told, now) end
      occupy('submit', order.submit)
      look()
    end
    return 'orphan'
  end

  if raw ~= '' then quarantine(now, order.distrusted and 'distrusted' or 'unreadable', order, raw) end
  local again = order.nonce and not redis.call('SET', P .. 'nonce:' .. order.nonce, '1', 'NX', 'PX', NONCE_MS)
  if again or order.distrusted then
    if not order.final[state] then look() end
    return again and 'replayed' or 'repeated'
  end

  local effect
  local older = order.epoch < epoch
  if order.epoch > epoch or (state == order.armed and order.epoch == epoch and not released) then
    -- Our record knows nothing of a submission that the upstream has: Redis lost acknowledged writes.
    effect = 'ahead'
    quarantine(now, 'ahead', order, raw)
    ops_event(now, 'rollback_seen', 'job', order.name, 'tenant', order.tenant, 'epoch', order.epoch)
    redis.call('HINCRBY', P .. 'tally', 'rollback_seen|ahead', 1)
    if not order.final[state] then
      redis.call('HSET', key, 'epoch', order.epoch)
      redis.call('HSETNX', key, 'released_at', now)
      epoch = order.epoch
    end
    move(key, { kind = 'job', name = order.name, event = order.rollback[1], moves = order.rollback[2],
      final = order.final, unknown = order.unknown, steps = order.steps, tells = order.tells }, now)
  elseif older then
    effect = 'earlier'
  end

  local task = order.task
  if task then
    local owner = redis.call('GET', P .. 'task:' .. task)
    local answered = redis.call('HGET', key, 'answered:' .. order.epoch)
    if (owner and owner ~= order.name) or (answered and answered ~= task) then
      quarantine(now, 'crossed', order, raw)
      ops_event(now, 'task_claimed_twice', 'task', order.task, 'job', order.name, 'owner', owner or '')
      if owner and owner ~= order.name and owner ~= NOBODY then
        if not answered then contest(task, owner, order.final, order.retention_ms, now) end
        set_due('confirm', confirm_of(owner), now)
      end
      effect, task = 'crossed', nil
    end
  end

  -- What the record tells of a newer submission is not true, or costs nothing: this one's account is the job's.
  local newest = effect ~= 'crossed' and (order.epoch > known or not released)
  if newest and (not order.final[state] or watched(key, now)) then move_account(key, order.account) end
  local what = task and order.accepted or order.seen
  -- An earlier submission was accepted, and the newest is about to be released: it must not be paid for as well.
  if older and not task and state == order.armed and not released then what = order.rollback end
  local fields = {}
  if order.terminal and effect ~= 'crossed' and not redis.call('HGET', key, 'called_back_at') then
    fields.called_back_at = now
  end
  if order.claimed and effect ~= 'crossed' then fields.claimed = order.claimed end
  if not task then fields.evidence = 'callback' end
  local outcome = move(key, { kind = 'job', name = order.name, event = what[1], moves = what[2], set = fields,
    final = order.final, unknown = order.unknown, steps = order.steps, tells = order.tells }, now)
  local result = outcome[1]
  if result == 'absorbed' then
    if not watched(key, now) then return effect or 'absorbed' end
    if task then take_task(key, order.name, task, true, order.epoch, now, nil, order.account) end
    look()
    return effect or 'late'
  end
  if task then take_task(key, order.name, task, true, order.epoch, now, nil, order.account) end
  if outcome[3] ~= state or task then occupy('submit', order.submit) end
  if order.working and not effect then
    if result == 'moved' then set_due('confirm', confirm_of(order.name), now + order.first_poll_ms) end
  else
    look()
  end
  return effect or result
end

heard(now, order.gap)
for _, name in ipairs(order.tally) do redis.call('HINCRBY', P .. 'tally', name, 1) end
local effect = take_in()
if redis.call('EXISTS', key) == 1 then
  note(key, now, 'event', 'callback', 'effect', effect, 'epoch', order.epoch, 'hint', order.hint)
end
return effect
