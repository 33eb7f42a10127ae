-- lanes.lua: a shared part, after account_slots.lua. Time, lanes, slots, and how a ticket is put before arq.
--
-- A role keeps, under {gw}:<role>:
--   lane:<lane>  zset   ticket -> rank (retries, new work, what is recovered; each in order of arrival)
--   fair         zset   active lane -> turns served (start-time fair queueing: the lowest is next)
--   blocked      zset   lane -> turns served, while only retries wait there and those of all lanes hold their share
--   parked       zset   lane of which nothing is dispatched -> until when ("+inf": until it is resumed)
--   probing      set    lanes that were paused, and have one slot until it is known how they do
--   caps         hash   lane -> how many slots it may hold, where that is not the role's number; in deliver never more
--   weights      hash   lane -> its weight, where that is not 1: a turn of it counts as 1 / weight turns
--   idle         zset   lane that is not active -> turns served, while those are more than `turn`
--   turn         string turns served of the lane that was last served: where a lane that was idle joins
--   waiting      zset   ticket -> when it entered its lane, over all lanes: depth and age
--   due          zset   ticket -> when it may enter its lane
--   again        set    tickets that became due while they hold a slot
--   slots        zset   ticket -> end of its lease ("+inf": held until it is given back)
--   holders      hash   ticket -> number of the dispatch that may act on it
--   inflight     hash   lane -> slots it holds
--   retrying     set    tickets that hold a slot of the retries' share, and retries, hash: lane -> how many of them
--   leant        set    lanes whose last turn a retry had, while the next goes to new work if there is some
--   tenants      hash   lane of the deliver role that holds a slot or is in a crowd -> the tenant whose it is
--   tenant_inflight     hash   tenant -> slots that these lanes of it hold
--   crowd:<tenant>      zset   lane that waits for its tenant to hold fewer slots -> turns served
--   relieved     set    tenants with a crowd of which more lanes may be let go
--   tat          string when the next dispatch of a role with a rate is due (GCRA)
--   arq          zset   arq's own queue, and arq:wake the list its worker blocks on
-- {gw}:paused, a hash of at, by and reason: nothing of the submit role is dispatched.
-- A ticket is "<lane>|<name>". Times are milliseconds of this server's clock.
local OPS_KEPT = 10000 -- events for operators, the newest
local AUDIT_KEPT = 1000000 -- acts of operators
local RUNNABLE_MS = 604800000 -- how long arq keeps a job that nobody runs; ours is dispatched again long before
local BOUNDS = { -- ms; as gateway/store/histograms.py has them
  5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000,
  7200000, 21600000,
}
local WAKE_CAP = 1000 -- tokens beyond the number of workers that could take one are of no use

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- What operators should know of, oldest first, under {gw}:ops:events.
local function ops_event(now, kind, ...)
  redis.call('XADD', P .. 'ops:events', 'MAXLEN', '~', OPS_KEPT, '*', 'kind', kind, 'at', now, ...)
end

-- One more of what is timed, in {gw}:timings: how many of each name took up to each bound, and their sum in ms.
local function record_timing(name, ms)
  local bucket = 'inf'
  for _, bound in ipairs(BOUNDS) do
    if ms <= bound then
      bucket = bound
      break
    end
  end
  redis.call('HINCRBY', P .. 'timings', name .. '|' .. bucket, 1)
  redis.call('HINCRBY', P .. 'timings', name .. '|sum', math.max(0, math.floor(ms)))
end

-- What an operator did, oldest first, under {gw}:audit: who (the id of a key), and by which request. Trimmed by age
-- alone (`trim_audit`), but for a bound that nobody should reach.
local function add_audit_entry(act, by, request, ...)
  redis.call('XADD', P .. 'audit', 'MAXLEN', '~', AUDIT_KEPT, '*', 'act', act, 'by', by, 'request', request, ...)
end

local function lane_of(ticket)
  return string.sub(ticket, 1, string.find(ticket, '|', 1, true) - 1)
end

-- From now on the lane's slots count for the tenant, also those that it holds already.
local function set_lane_tenant(r, lane, tenant)
  if redis.call('HSETNX', r .. ':tenants', lane, tenant) == 0 then return end
  local held = redis.call('HGET', r .. ':inflight', lane)
  if held then redis.call('HINCRBY', r .. ':tenant_inflight', tenant, held) end
end

-- The lane is no longer in line, or a slot of it was freed: another of its tenant's crowd may go. Whose it is need not
-- be known any longer when it holds nothing and is in no crowd.
local function forget_lane_tenant(r, lane)
  local tenant = redis.call('HGET', r .. ':tenants', lane)
  if not tenant then return end
  local crowd = r .. ':crowd:' .. tenant
  if redis.call('EXISTS', crowd) == 1 then redis.call('SADD', r .. ':relieved', tenant) end
  if redis.call('HEXISTS', r .. ':inflight', lane) == 0 and not redis.call('ZSCORE', crowd, lane) then
    redis.call('HDEL', r .. ':tenants', lane)
  end
end

local function in_crowd(r, lane)
  local tenant = redis.call('HGET', r .. ':tenants', lane)
  return tenant and redis.call('ZSCORE', r .. ':crowd:' .. tenant, lane)
end

-- The lane takes part, unless it is paused or in a crowd. `retry`: nothing but a retry's slot or work was added, which
-- is not what a blocked lane waits for.
local function activate(role, lane, retry)
  local r = P .. role
  if redis.call('ZSCORE', r .. ':fair', lane) or redis.call('ZSCORE', r .. ':parked', lane) then return end
  if retry and redis.call('ZSCORE', r .. ':blocked', lane) then return end
  if in_crowd(r, lane) then return end
  redis.call('ZREM', r .. ':blocked', lane)
  local mine = tonumber(redis.call('ZSCORE', r .. ':idle', lane) or '0')
  local turn = tonumber(redis.call('GET', r .. ':turn') or '0')
  -- a lane that was idle has saved up no credit: it joins at the present turn
  redis.call('ZADD', r .. ':fair', math.max(mine, turn), lane)
end

-- `served`: its turns, which it finds again when it takes part the next time.
local function deactivate(role, lane, served)
  redis.call('ZREM', P .. role .. ':fair', lane)
  redis.call('ZADD', P .. role .. ':idle', served, lane)
  forget_lane_tenant(P .. role, lane)
end

-- Nothing of the lane is dispatched until then (ms, or "+inf": until it is resumed); what waits there stays.
local function pause_lane(role, lane, till)
  local r = P .. role
  redis.call('ZADD', r .. ':parked', till, lane)
  redis.call('SREM', r .. ':probing', lane)
  redis.call('ZREM', r .. ':blocked', lane)
  local served = redis.call('ZSCORE', r .. ':fair', lane) or in_crowd(r, lane)
  if not served then return end
  redis.call('ZREM', r .. ':crowd:' .. (redis.call('HGET', r .. ':tenants', lane) or ''), lane)
  deactivate(role, lane, served)
end

-- What waits in the lane may be dispatched, if there is any: as after it was paused, or its cap was raised.
local function reactivate(role, lane)
  if redis.call('EXISTS', P .. role .. ':lane:' .. lane) == 1 then activate(role, lane) end
end

-- The lane goes on as if it had never been paused.
local function resume_lane(role, lane)
  redis.call('ZREM', P .. role .. ':parked', lane)
  redis.call('SREM', P .. role .. ':probing', lane)
  reactivate(role, lane)
end

-- `again`: false (new work), true (a retry, or what somebody asked for again), or 'recovered': one of many that are
-- sent again, after all else in its lane. `priority`: of new work of the submit role. A ticket that holds a slot enters
-- when it is given back.
local function enter_lane(role, ticket, now, again, priority)
  local r, lane = P .. role, lane_of(ticket)
  if redis.call('ZSCORE', r .. ':slots', ticket) then
    redis.call('SADD', r .. ':again', ticket)
    return
  end
  if role == 'submit' and again then unpin_ticket(ticket) end
  redis.call('ZADD', r .. ':lane:' .. lane, rank_of(role, lane, again, priority), ticket)
  redis.call('ZADD', r .. ':waiting', 'NX', now, ticket)
  activate(role, lane, again)
end

-- `number`: of the dispatch.
local function enqueue_at_arq(role, ticket, number, now)
  local queue = P .. role .. ':arq'
  local id = P .. role .. ':' .. ticket .. ':' .. number
  local record = cjson.encode({ t = cjson.null, f = role, a = { ticket, number }, k = {}, et = now })
  redis.call('SET', 'arq:job:' .. id, record, 'PX', RUNNABLE_MS)
  -- Never a time: arq compares the score with its own clock, which may be behind ours. Numbers are long past.
  redis.call('ZADD', queue, number, id)
  if redis.call('LLEN', queue .. ':wake') < WAKE_CAP then redis.call('RPUSH', queue .. ':wake', '1') end
end

-- `tenant`: whose lane it is, where that matters.
local function take_slot(role, ticket, lease_ms, now, tenant)
  local r = P .. role
  if tenant then
    set_lane_tenant(r, lane_of(ticket), tenant)
    redis.call('HINCRBY', r .. ':tenant_inflight', tenant, 1)
  end
  local number = redis.call('INCR', r .. ':rings')
  redis.call('ZADD', r .. ':slots', now + lease_ms, ticket)
  redis.call('HSET', r .. ':holders', ticket, number)
  redis.call('HINCRBY', r .. ':inflight', lane_of(ticket), 1)
  enqueue_at_arq(role, ticket, number, now)
end

local function is_newest_dispatch(role, ticket, number)
  return redis.call('HGET', P .. role .. ':holders', ticket) == tostring(number)
end

-- Never shorter: while its worker renews, the upstream may have been found to have work for it
-- (`hold_until_given_back`).
local function extend_lease(role, ticket, lease_ms, now)
  local till = '+inf'
  if lease_ms >= 0 then till = now + lease_ms end
  redis.call('ZADD', P .. role .. ':slots', 'XX', 'GT', till, ticket)
end

-- A slot that is held until it is given back is given back by the sweep then, at the latest.
local function end_hold_at(role, ticket, at)
  redis.call('ZADD', P .. role .. ':slots', 'XX', at, ticket)
end

local function set_due(role, ticket, at)
  redis.call('ZADD', P .. role .. ':due', 'LT', at, ticket)
end

-- Only the call that finds the slot taken frees it, so that giving back twice is harmless.
local function free_slot(role, ticket)
  local r, lane = P .. role, lane_of(ticket)
  if redis.call('ZREM', r .. ':slots', ticket) == 0 then return end
  redis.call('HDEL', r .. ':holders', ticket)
  if role == 'submit' then unassign_slot(ticket) end
  if redis.call('HINCRBY', r .. ':inflight', lane, -1) <= 0 then redis.call('HDEL', r .. ':inflight', lane) end
  local tenant = redis.call('HGET', r .. ':tenants', lane)
  if tenant then
    local left = redis.call('HINCRBY', r .. ':tenant_inflight', tenant, -1)
    if left <= 0 then redis.call('HDEL', r .. ':tenant_inflight', tenant) end
    forget_lane_tenant(r, lane)
  end
  if redis.call('SREM', r .. ':retrying', ticket) == 1 and redis.call('HINCRBY', r .. ':retries', lane, -1) <= 0 then
    redis.call('HDEL', r .. ':retries', lane)
  end
  if redis.call('EXISTS', r .. ':lane:' .. lane) == 1 then activate(role, lane, true) end
end

-- `due_at` (or nil): when to take the ticket up again; at once when it became due while it held the slot.
local function give_back(role, ticket, now, due_at)
  free_slot(role, ticket)
  if redis.call('SREM', P .. role .. ':again', ticket) == 1 then
    enter_lane(role, ticket, now, true)
  elseif due_at then
    set_due(role, ticket, due_at)
  end
end

local function withdraw(role, ticket)
  local r = P .. role
  redis.call('SREM', r .. ':again', ticket)
  redis.call('ZREM', r .. ':due', ticket)
  redis.call('ZREM', r .. ':waiting', ticket)
  redis.call('ZREM', r .. ':lane:' .. lane_of(ticket), ticket)
  if role == 'submit' then
    unpin_ticket(ticket)
    forget_order(lane_of(ticket))
  end
end

-- The ticket is done with: wherever it is, it is there no more.
local function finish_ticket(role, ticket)
  free_slot(role, ticket)
  withdraw(role, ticket)
end

-- The ticket holds a slot until it is given back, and waits no more: the upstream has work for it.
local function hold_until_given_back(role, ticket)
  local r = P .. role
  if not redis.call('ZSCORE', r .. ':slots', ticket) then
    redis.call('HINCRBY', r .. ':inflight', lane_of(ticket), 1)
  end
  redis.call('ZADD', r .. ':slots', '+inf', ticket)
  if role == 'submit' then assign_slot(ticket, account_of(record_of(ticket))) end
  withdraw(role, ticket)
end

-- What became due enters its lane, in that order, and lanes that were paused until now are tried.
local function promote_due(role, now)
  local r = P .. role
  for _, lane in ipairs(redis.call('ZRANGEBYSCORE', r .. ':parked', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', r .. ':parked', lane)
    redis.call('SADD', r .. ':probing', lane)
    reactivate(role, lane)
  end
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', r .. ':due', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', r .. ':due', ticket)
    enter_lane(role, ticket, now, true)
  end
end
