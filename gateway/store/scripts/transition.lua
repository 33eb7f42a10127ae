-- transition: the one way in which a record changes state, with everything that follows from it.
--
-- KEYS  record
-- ARGV  order, JSON: what `move` takes (records.lua), and what follows here; body: of the event that is owed, or ""
--   holder   = {role, ticket, ring}            only the newest dispatch of the ticket may do this
--   run      = text                            who claims: asked again by the same, the claim stands
--   budget   = {tenant, day, most}             done only when the tenant has resubmitted less than that on that day
--   task     = id, task_epoch, task_account    the upstream's answer to our own request named it
--   winner   = id                              done when the record moved: the task whose result it has
--   account  = {kind, ...}                     what `judge_account` takes as the answer, unless fenced
--   after    = {give_back = {role, ticket, due in ms or nil}, hold = {role, ticket, lease_ms},
--               end_hold = {role, ticket, in_ms},
--               due = {role, ticket, in_ms, kind of video or nil, deviations}}
--              done when the record moved or the event was a repeat that is not absorbed; `due` also when the job is
--              final but watched
--   leave    = {{role, ticket}, ...}           done unless the record goes on: not when fenced, nor when an event
--                                              was refused in a state that is not final
--   owed     = what `make_deliveries` takes    done when the record moved; `body` is the event's
--   beside   = true                            the record is final: `set` and `owed` are noted beside it, once
--   health   = {lane, endpoint or "", tenant, ok}: what the attempt says of its lane; unless fenced
--   learn    = {kind of video, ms}             done when the record moved
--   tally    = {name, ...}                     counted whatever the record said, unless fenced
--   dispatch = {role = limits}, read = true: return the record too
--
-- One durable step, so that no crash can fall between "completed" and "owed".
--
-- Returns {outcome, from, to, record as a flat list or {}}; outcome as of `move`, or "stale": not the holder, "late":
-- noted beside a final record, "over_budget".
local key = KEYS[1]
local order, event_body = cjson.decode(ARGV[1]), ARGV[2]
local now = now_ms()
local holder, budget = order.holder, order.budget
if holder and not holds(holder[1], holder[2], holder[3]) then return { 'stale', '', '', {} } end
if order.run then
  if redis.call('HGET', key, 'run') == order.run then
    local state = redis.call('HGET', key, 'state')
    return { 'moved', state, state, redis.call('HGETALL', key) }
  end
  order.set.run = order.run
end
local spent = budget and P .. 'tenant:' .. budget[1] .. ':resubmits'
if budget and tonumber(redis.call('HGET', spent, budget[2]) or '0') >= budget[3] then
  return { 'over_budget', '', '', {} }
end

local outcome = move(key, order, now)
local result = outcome[1]
local after = order.after or {}
if result == 'absorbed' then
  if order.beside then
    if redis.call('HSETNX', key, 'late_at', now) == 1 then
      write(key, order.set)
      make_deliveries(order.owed, event_body)
      outcome[1] = 'late'
    end
  elseif order.task and watched(key, now) then
    take_task(key, order.name, order.task, false, order.task_epoch, now, order.by, order.task_account)
    outcome[1] = 'late'
  end
  if outcome[1] ~= 'late' then after = {} end
  after = { due = after.due }
elseif result ~= 'moved' and result ~= 'repeated' then
  after = {}
elseif order.task then
  take_task(key, order.name, order.task, false, order.task_epoch, now, order.by, order.task_account)
end

if result ~= 'fenced' then
  local back, due, hold = after.give_back, after.due, after.hold
  if back then give_back(back[1], back[2], now, back[3] and now + back[3]) end
  if hold and hold[3] < 0 then occupy(hold[1], hold[2]) elseif hold then extend(hold[1], hold[2], hold[3], now) end
  if after.end_hold then end_hold(after.end_hold[1], after.end_hold[2], now + after.end_hold[3]) end
  if due then
    local wait = due[4] and typical(due[4], due[5], due[3]) or due[3]
    -- the end was told already, and waited for this answer to say whose task it is
    if order.task and redis.call('HEXISTS', key, 'called_back_at') == 1 then wait = 0 end
    set_due(due[1], due[2], now + wait)
  end
  if result ~= 'refused' or order.final[outcome[3]] then
    for _, gone in ipairs(order.leave or {}) do leave(gone[1], gone[2]) end
  end
  if result == 'moved' then
    if order.owed then make_deliveries(order.owed, event_body) end
    if order.winner then crown(key, order.winner) end
    if order.learn then learn(order.learn[1], order.learn[2]) end
    if budget then
      for _, day in ipairs(redis.call('HKEYS', spent)) do
        if day ~= budget[2] then redis.call('HDEL', spent, day) end
      end
      redis.call('HINCRBY', spent, budget[2], 1)
    end
  end
  if order.health then judge_lane(order.health, order.dispatch.deliver.health, now) end
  if order.account then
    local began = tonumber(redis.call('HGET', key, 'submitting_at') or '0')
    judge_account(order.account, began, order.dispatch.submit, now)
    if order.account.kind == 'refused' and after.give_back then
      redis.call('HSET', REFUSED, after.give_back[2], order.account.account)
    end
  end
  for _, name in ipairs(order.tally or {}) do redis.call('HINCRBY', P .. 'tally', name, 1) end
  dispatch_all(order.dispatch or {}, now)
end
outcome[4] = order.read and redis.call('HGETALL', key) or {}
return outcome
