-- lanes.lua: a shared part. Lanes, slots, and how a ticket gets to arq.
--
-- A role keeps, under {gw}:<role>:
--   lane:<lane>  zset   ticket -> rank (retries, new work, recovered deliveries; each in order of arrival)
--   fair         zset   active lane -> turns served (start-time fair queueing: the lowest is next)
--   blocked      zset   lane -> turns served, while only retries wait there and the retries' share is used up
--   parked       zset   paused lane -> until when ("+inf": until it is resumed)
--   pauses       hash   lane that an operator paused -> JSON: {at, by, reason, asked: the id of the request}
--   probing      set    half-open lanes: one slot until an attempt succeeds
--   caps         hash   lane -> how many slots it may hold, if not the role's number; in deliver never more than that
--   weights      hash   lane -> its weight, if not 1: a dispatch counts as 1 / weight turns
--   idle         zset   inactive lane -> turns served, while those are above `turn`
--   turn         string turns of the lane that was served last: where an idle lane joins
--   waiting      zset   ticket -> when it entered its lane, for all lanes: depth and age
--   due          zset   ticket -> when it may enter its lane
--   again        set    tickets that became due while they hold a slot
--   slots        zset   ticket -> end of its lease ("+inf": held until it is given back)
--   holders      hash   ticket -> number of the dispatch that may act on it
--   inflight     hash   lane -> slots it holds
--   retrying     set    tickets that hold a slot of the retries' share; the hash `retries`: lane -> how many
--   leant        set    lanes whose last turn went to a retry: the next one goes to new work, if any
--   tenants      hash   lane of the deliver role that holds a slot or waits for its tenant -> its tenant
--   tenant_inflight     hash   tenant -> slots that its lanes hold
--   crowd:<tenant>      zset   lane that waits for its tenant to hold fewer slots -> turns served
--   relieved     set    tenants that may hold more slots, and whose lanes wait
--   tat          string when the next dispatch of a role with a rate is due (GCRA)
--   rings        string number of the newest dispatch
--   arq          zset   arq's own queue, and arq:wake the list its worker blocks on (wakes.lua)
-- {gw}:paused, a hash of at, by and reason: the service is paused, so nothing of the submit role is dispatched.
-- A ticket is "<lane>|<name>". Times are milliseconds of this server's clock.
local lanes = {}

lanes.RUNNABLE_MS = 604800000 -- how long arq keeps a job that is not run; ours are dispatched again long before

function lanes.lane_of(ticket)
  return string.sub(ticket, 1, string.find(ticket, '|', 1, true) - 1)
end

-- Makes the lane active, unless it is paused or waits for its tenant. `retry`: only a retry or a retry's slot was
-- added, which does not help a blocked lane.
local function activate(role, lane, retry)
  local r = P .. role
  role_facts.note_change(role)
  if redis.call('ZSCORE', r .. ':fair', lane) or redis.call('ZSCORE', r .. ':parked', lane) then return end
  if retry and redis.call('ZSCORE', r .. ':blocked', lane) then return end
  if role == 'deliver' and lane_tenants.waits(r, lane) then return end
  redis.call('ZREM', r .. ':blocked', lane)
  local mine = tonumber(redis.call('ZSCORE', r .. ':idle', lane) or '0')
  local turn = tonumber(redis.call('GET', r .. ':turn') or '0')
  -- an idle lane collects no credit: it joins at the present turn
  redis.call('ZADD', r .. ':fair', math.max(mine, turn), lane)
end

-- `served`: its turns, with which it continues when it is active again.
function lanes.deactivate(role, lane, served)
  redis.call('ZREM', P .. role .. ':fair', lane)
  redis.call('ZADD', P .. role .. ':idle', served, lane)
  role_facts.note_unusual(role)
  lane_tenants.forget(P .. role, lane)
end

-- Makes the lane active if tickets wait in it, such as after a pause or when its cap was raised.
function lanes.reactivate(role, lane)
  if redis.call('EXISTS', P .. role .. ':lane:' .. lane) == 1 then activate(role, lane) end
end

local function enter_lane(r, role, lane, ticket, now, again, priority)
  if role == 'submit' and again then account_slots.unpin(ticket) end
  redis.call('ZADD', r .. ':lane:' .. lane, ranks.rank_of(role, lane, again, priority), ticket)
  role_facts.note_waiting(role, redis.call('ZADD', r .. ':waiting', 'NX', now, ticket))
  activate(role, lane, again)
end

-- `again`: false (new work), true (a retry or a requested redelivery), or 'recovered': part of a recovery, behind
-- everything else in its lane. `priority`: of new work of the submit role. A ticket that holds a slot enters when the
-- slot is given back.
function lanes.enter(role, ticket, now, again, priority)
  local r, lane = P .. role, lanes.lane_of(ticket)
  if redis.call('ZSCORE', r .. ':slots', ticket) then
    redis.call('SADD', r .. ':again', ticket)
    role_facts.note_unusual(role)
    return
  end
  enter_lane(r, role, lane, ticket, now, again, priority)
end

-- The same for a ticket that holds no slot, at the next dispatch of this call or at its end. If nothing else waits, the
-- ticket is dispatched without entering its lane.
function lanes.enter_soon(role, ticket, now, again, priority)
  role_facts.note_change(role)
  local entering = call.kept('entering')
  entering[role] = entering[role] or {}
  table.insert(entering[role], { ticket = ticket, now = now, again = again, priority = priority })
end

-- The only ticket of the role that enters soon, or nil; if there are several, they enter now.
function lanes.only_entering(role)
  local entering = call.kept('entering')[role] or {}
  if #entering == 1 then return entering[1] end
  lanes.enter_now(role)
end

function lanes.enter_now(role)
  local entering = call.kept('entering')
  for _, one in ipairs(entering[role] or {}) do
    enter_lane(P .. role, role, lanes.lane_of(one.ticket), one.ticket, one.now, one.again, one.priority)
  end
  entering[role] = nil
end

local function enter_all()
  for role in pairs(call.kept('entering')) do lanes.enter_now(role) end
end

-- Runs a verb, and writes at its end what is not written yet. An error in it undoes nothing: it may have changed
-- indexes by then, so what it decided about records is written too. Then the error is raised again.
function lanes.run_call(verb, ...)
  call.begin()
  local went_well, answer = pcall(verb, ...)
  local entered, fault = pcall(enter_all)
  local unwritten = call.write()
  if not went_well then error(answer, 0) end
  if not entered then error(fault, 0) end
  if unwritten then error(unwritten, 0) end
  return answer
end

-- `number`: of the dispatch.
function lanes.enqueue_at_arq(role, ticket, number, now)
  local queue = P .. role .. ':arq'
  local id = P .. role .. ':' .. ticket .. ':' .. number
  local job = cjson.encode({ t = cjson.null, f = role, a = { ticket, number }, k = {}, et = now })
  redis.call('SET', 'arq:job:' .. id, job, 'PX', lanes.RUNNABLE_MS)
  -- A number, not a time: arq compares the score with its own clock, which may be behind ours. Small numbers are past.
  redis.call('ZADD', queue, number, id)
  wakes.wake_worker(queue)
end

-- `tenant`: the owner of the lane, if its slots are limited.
function lanes.take_slot(role, ticket, lease_ms, now, tenant)
  local r = P .. role
  if tenant then
    lane_tenants.set(r, lanes.lane_of(ticket), tenant)
    counters.hold(r .. ':tenant_inflight', tenant, 1)
  end
  call.kept('dispatched')[ticket] = true
  local number = redis.call('INCR', r .. ':rings')
  redis.call('ZADD', r .. ':slots', now + lease_ms, ticket)
  redis.call('HSET', r .. ':holders', ticket, number)
  call.kept('dispatches')[role .. ticket] = nil
  counters.hold(r .. ':inflight', lanes.lane_of(ticket), 1)
  lanes.enqueue_at_arq(role, ticket, number, now)
end

-- Reads the newest dispatches of several tickets together, for `lanes.is_newest_dispatch`.
function lanes.read_dispatches(role, tickets)
  local numbers = call.kept('dispatches')
  for i, number in ipairs(redis.call('HMGET', P .. role .. ':holders', unpack(tickets))) do
    numbers[role .. tickets[i]] = number
  end
end

function lanes.is_newest_dispatch(role, ticket, number)
  local known = call.kept('dispatches')[role .. ticket]
  if known == nil then known = redis.call('HGET', P .. role .. ':holders', ticket) end
  return known == tostring(number)
end

-- Never shortens a lease: while its worker renews it, the upstream may turn out to have work for the ticket
-- (`lanes.hold_until_given_back`).
function lanes.extend_lease(role, ticket, lease_ms, now)
  local leases = call.kept('leases')
  leases[role] = leases[role] or {}
  table.insert(leases[role], lease_ms >= 0 and now + lease_ms or '+inf')
  table.insert(leases[role], ticket)
end

-- Writes the extended leases of a role: before its slots are changed otherwise, and at the end of every call.
local function write_leases(role)
  local leases = call.kept('leases')
  if leases[role] then redis.call('ZADD', P .. role .. ':slots', 'XX', 'GT', unpack(leases[role])) end
  leases[role] = nil
end

call.written_by(function()
  for role in pairs(call.kept('leases')) do write_leases(role) end
end)

-- Limits a slot that is held until it is given back: the sweep frees it then.
function lanes.end_hold_at(role, ticket, at)
  write_leases(role)
  redis.call('ZADD', P .. role .. ':slots', 'XX', at, ticket)
end

-- A due ticket enters its lane; if it holds a slot, when that is given back.
local function enter_when_free(role, ticket, now)
  if redis.call('ZSCORE', P .. role .. ':slots', ticket) then
    redis.call('SADD', P .. role .. ':again', ticket)
    role_facts.note_unusual(role)
  else
    lanes.enter_soon(role, ticket, now, true)
  end
end

-- The ticket is due at that time, if it is not due earlier. `now`: if it is due already, it enters its lane at once.
function lanes.set_due(role, ticket, at, now)
  local r = P .. role
  if not now or at > now then
    redis.call('ZADD', r .. ':due', 'LT', at, ticket)
    wakes.wake_leader(role, ticket, at)
    if role == 'submit' then role_facts.note_unusual(role) end
    return
  end
  redis.call('ZREM', r .. ':due', ticket)
  enter_when_free(role, ticket, now)
end

-- Frees the slot only if it is taken, so that giving it back twice is harmless. Returns whether it was.
local function free_slot(role, ticket)
  local r, lane = P .. role, lanes.lane_of(ticket)
  write_leases(role)
  if redis.call('ZREM', r .. ':slots', ticket) == 0 then return false end
  redis.call('HDEL', r .. ':holders', ticket)
  call.kept('dispatches')[role .. ticket] = nil
  role_facts.note_change(role)
  if role == 'submit' then account_slots.unassign(ticket) end
  local waiting = role_facts.waiting(role) > 0
  if waiting then counters.read(r .. ':inflight', lane) end -- taken again at once, it need not be written
  local held = counters.hold(r .. ':inflight', lane, -1)
  local tenant = role == 'deliver' and lane_tenants.of(r, lane)
  if tenant then
    counters.hold(r .. ':tenant_inflight', tenant, -1)
    lane_tenants.forget(r, lane, tenant, held > 0)
  end
  if role_facts.is_special(role) and redis.call('SREM', r .. ':retrying', ticket) == 1 then
    counters.hold(r .. ':retries', lane, -1)
  end
  if waiting and not redis.call('ZSCORE', r .. ':fair', lane) and redis.call('EXISTS', r .. ':lane:' .. lane) == 1 then
    activate(role, lane, true)
  end
  return true
end

-- `due_at` (or nil): when the ticket is due again; at once if it became due while it held the slot.
function lanes.give_back(role, ticket, now, due_at)
  free_slot(role, ticket)
  if not role_facts.is_quiet(role) and redis.call('SREM', P .. role .. ':again', ticket) == 1 then
    lanes.enter(role, ticket, now, true)
  elseif due_at then
    lanes.set_due(role, ticket, due_at, now)
  end
end

-- The ticket is never due. A ticket that holds a slot is nowhere else.
local function forget_due(role, ticket)
  local quiet = role_facts.is_quiet(role)
  if not quiet then redis.call('SREM', P .. role .. ':again', ticket) end
  if not quiet or role ~= 'submit' then redis.call('ZREM', P .. role .. ':due', ticket) end
end

local function withdraw(role, ticket)
  local r = P .. role
  lanes.enter_now(role)
  forget_due(role, ticket)
  role_facts.note_change(role)
  role_facts.note_waiting(role, -redis.call('ZREM', r .. ':waiting', ticket))
  redis.call('ZREM', r .. ':lane:' .. lanes.lane_of(ticket), ticket)
  if role == 'submit' then
    account_slots.unpin(ticket)
    ranks.forget_empty_lane(lanes.lane_of(ticket))
  end
end

-- Removes the ticket from wherever it is: lane, due times and slot.
function lanes.finish(role, ticket)
  if free_slot(role, ticket) then forget_due(role, ticket) else withdraw(role, ticket) end
end

-- The ticket holds a slot until it is given back, and no longer waits: the upstream has work for it.
function lanes.hold_until_given_back(role, ticket)
  local r = P .. role
  write_leases(role)
  local held = redis.call('ZSCORE', r .. ':slots', ticket)
  if not held then counters.hold(r .. ':inflight', lanes.lane_of(ticket), 1) end
  if held ~= 'inf' then redis.call('ZADD', r .. ':slots', '+inf', ticket) end
  if role == 'submit' then account_slots.assign(ticket, account_slots.account_of(account_slots.job_of(ticket))) end
  if held then forget_due(role, ticket) else withdraw(role, ticket) end
end

-- Due tickets enter their lanes, in the order of their due times.
function lanes.enter_due(role, now)
  local r = P .. role
  if role == 'submit' and role_facts.is_quiet(role) then return end
  local due = redis.call('ZRANGEBYSCORE', r .. ':due', '-inf', now, 'LIMIT', 0, 100)
  if #due > 0 then redis.call('ZREM', r .. ':due', unpack(due)) end
  for _, ticket in ipairs(due) do enter_when_free(role, ticket, now) end
end

return lanes
