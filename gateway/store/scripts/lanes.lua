-- lanes.lua: a part, put before every script when it is loaded. Time, lanes, slots and the doorbell.
--
-- A role keeps, under {gw}:<role>:
--   lane:<lane>  zset   ticket -> rank (retries before new work, then in order of arrival)
--   fair         zset   active lane -> turns served (start-time fair queueing: the lowest is next)
--   served       hash   turns served of a lane that is not active
--   turn         string turns served of the lane that was last served: where a lane that was idle joins
--   waiting      zset   ticket -> when it entered its lane, over all lanes: depth and age
--   due          zset   ticket -> when it may enter its lane
--   again        set    tickets that became due while they hold a slot
--   slots        zset   ticket -> end of its lease ("+inf": held until it is given back)
--   holders      hash   ticket -> ring, the number of the dispatch that may act on it
--   inflight     hash   lane -> slots it holds
--   tat          string when the next hand-out of a role with a rate is due (GCRA)
--   arq          zset   arq's own queue, and arq:wake the list its worker blocks on
-- {gw}:account:main, the upstream's account, limits the submit role: slots (fewer after a 429), hold_until,
-- and parked_at with reason, status, code and probe_at while the upstream refuses it.
-- A ticket is "<lane>|<name>". Times are milliseconds of this server's clock.
local P = '{gw}:'
local ACCOUNT = P .. 'account:main'
local OPS_KEPT = 10000 -- what operators were told, the newest of it
local RUNNABLE_MS = 604800000 -- how long arq keeps a job that nobody runs; ours is rung again long before
local WAKE_CAP = 1000 -- tokens beyond the number of workers that could take one are of no use

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- What operators should know of, oldest first, under {gw}:ops:events.
local function ops_event(now, kind, ...)
  redis.call('XADD', P .. 'ops:events', 'MAXLEN', '~', OPS_KEPT, '*', 'kind', kind, 'at', now, ...)
end

-- The upstream refused the account: nothing is sent any more but a probe now and then.
local function park(now, status, code, reason, by)
  if redis.call('HSETNX', ACCOUNT, 'parked_at', now) == 0 then return end
  redis.call('HSET', ACCOUNT, 'status', status, 'code', code, 'reason', reason)
  ops_event(now, 'account_parked', 'status', status, 'code', code, 'reason', reason, 'by', by)
end

local function unpark(now, by)
  if redis.call('HDEL', ACCOUNT, 'parked_at') == 0 then return end
  redis.call('HDEL', ACCOUNT, 'status', 'code', 'reason', 'probe_at')
  ops_event(now, 'account_resumed', 'by', by)
end

-- How many slots a 429 left, nil when all: one more for each interval that has passed since the cut, for the
-- few that are left may be held by jobs which nobody hears of.
local function slots_left(slots, cut_at, interval, now)
  return slots and tonumber(slots) + math.floor((now - tonumber(cut_at or now)) / interval)
end

-- What a verdict means for the account. verdict = {kind, retry_after_ms, status, code, reason}; `began`: when
-- the submission did; `slots`: how many there are at most. Slots halve at a 429 and grow by one each time as many
-- submissions as there are slots were accepted, and with time.
local function judge_account(verdict, began, slots, interval, now)
  local kind = verdict[1]
  local found = redis.call('HMGET', ACCOUNT, 'parked_at', 'slots', 'cut_at')
  local limit = slots_left(found[2], found[3], interval, now)
  if kind == 'refused' then
    park(now, verdict[3], verdict[4], verdict[5], 'upstream')
  elseif kind == 'busy' then
    if verdict[2] > 0 then
      local hold = tonumber(redis.call('HGET', ACCOUNT, 'hold_until') or '0')
      redis.call('HSET', ACCOUNT, 'hold_until', math.max(hold, now + verdict[2]))
    end
    -- one cut for one crowd: what began before the last cut tells nothing of the slots since
    if not found[3] or began >= tonumber(found[3]) then
      local held = redis.call('ZCARD', P .. 'submit:slots') + 1
      redis.call('HSET', ACCOUNT, 'slots', math.max(1, math.floor(math.min(limit or slots, held) / 2)),
        'cut_at', now, 'grown', 0)
    end
  else
    -- an answer to what was sent before the account was parked does not prove that it is open again,
    -- and what an operator parked, an operator resumes
    if found[1] and began >= tonumber(found[1]) and redis.call('HEXISTS', ACCOUNT, 'parked_by') == 0 then
      unpark(now, 'probe')
    end
    if limit and redis.call('HINCRBY', ACCOUNT, 'grown', 1) >= limit then
      if limit + 1 >= slots then
        redis.call('HDEL', ACCOUNT, 'slots', 'grown', 'cut_at')
      else
        redis.call('HINCRBY', ACCOUNT, 'slots', 1)
        redis.call('HSET', ACCOUNT, 'grown', 0)
      end
    end
  end
end

local function lane_of(ticket)
  return string.sub(ticket, 1, string.find(ticket, '|', 1, true) - 1)
end

local function activate(role, lane)
  local r = P .. role
  if redis.call('ZSCORE', r .. ':fair', lane) then return end
  local own = tonumber(redis.call('HGET', r .. ':served', lane) or '0')
  local turn = tonumber(redis.call('GET', r .. ':turn') or '0')
  -- a lane that was idle has saved up no credit: it joins at the present turn
  redis.call('ZADD', r .. ':fair', math.max(own, turn), lane)
end

local function enter(role, ticket, now, again)
  local r, lane = P .. role, lane_of(ticket)
  local rank = redis.call('INCR', r .. ':ranks')
  if not again then rank = rank + 1e13 end
  redis.call('ZADD', r .. ':lane:' .. lane, rank, ticket)
  redis.call('ZADD', r .. ':waiting', 'NX', now, ticket)
  activate(role, lane)
end

local function ring_bell(role, ticket, ring, now)
  local queue = P .. role .. ':arq'
  local id = P .. role .. ':' .. ticket .. ':' .. ring
  local record = cjson.encode({ t = cjson.null, f = role, a = { ticket, ring }, k = {}, et = now })
  redis.call('SET', 'arq:job:' .. id, record, 'PX', RUNNABLE_MS)
  -- Never a time: arq compares the score with its own clock, which may be behind ours. Rings are long past.
  redis.call('ZADD', queue, ring, id)
  if redis.call('LLEN', queue .. ':wake') < WAKE_CAP then redis.call('RPUSH', queue .. ':wake', '1') end
end

local function take(role, ticket, lease_ms, now)
  local r = P .. role
  local ring = redis.call('INCR', r .. ':rings')
  redis.call('ZADD', r .. ':slots', now + lease_ms, ticket)
  redis.call('HSET', r .. ':holders', ticket, ring)
  redis.call('HINCRBY', r .. ':inflight', lane_of(ticket), 1)
  ring_bell(role, ticket, ring, now)
end

local function holds(role, ticket, ring)
  return redis.call('HGET', P .. role .. ':holders', ticket) == tostring(ring)
end

-- Never shorter: the upstream may have been found to have work for the ticket (`occupy`) while its worker renews.
local function extend(role, ticket, lease_ms, now)
  local till = '+inf'
  if lease_ms >= 0 then till = now + lease_ms end
  redis.call('ZADD', P .. role .. ':slots', 'XX', 'GT', till, ticket)
end

-- A slot that was held until it is given back is given back by the sweep, at the latest.
local function end_hold(role, ticket, at)
  redis.call('ZADD', P .. role .. ':slots', 'XX', at, ticket)
end

local function set_due(role, ticket, at)
  redis.call('ZADD', P .. role .. ':due', 'LT', at, ticket)
end

-- Only the call that finds the slot taken frees it, so that giving back twice is harmless.
local function free(role, ticket)
  local r, lane = P .. role, lane_of(ticket)
  if redis.call('ZREM', r .. ':slots', ticket) == 0 then return end
  redis.call('HDEL', r .. ':holders', ticket)
  if redis.call('HINCRBY', r .. ':inflight', lane, -1) <= 0 then redis.call('HDEL', r .. ':inflight', lane) end
  if redis.call('EXISTS', r .. ':lane:' .. lane) == 1 then activate(role, lane) end
end

-- `due_at` (or nil): when to take the ticket up again; at once when it became due while it held the slot.
local function give_back(role, ticket, now, due_at)
  free(role, ticket)
  if redis.call('SREM', P .. role .. ':again', ticket) == 1 then
    enter(role, ticket, now, true)
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
end

-- The ticket is done with: wherever it is, it is there no more.
local function leave(role, ticket)
  free(role, ticket)
  withdraw(role, ticket)
end

-- The ticket holds a slot until it is given back, and waits no more: the upstream has work for it.
local function occupy(role, ticket)
  local r = P .. role
  if not redis.call('ZSCORE', r .. ':slots', ticket) then
    redis.call('HINCRBY', r .. ':inflight', lane_of(ticket), 1)
  end
  redis.call('ZADD', r .. ':slots', '+inf', ticket)
  withdraw(role, ticket)
end

local function promote(role, now)
  local r = P .. role
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', r .. ':due', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', r .. ':due', ticket)
    if redis.call('ZSCORE', r .. ':slots', ticket) then
      redis.call('SADD', r .. ':again', ticket)
    else
      enter(role, ticket, now, true)
    end
  end
end

-- How many the upstream's account lets through now, and whether that one is a probe.
local function account_room(slots, held, probe_ms, now)
  local found = redis.call('HMGET', ACCOUNT, 'parked_at', 'probe_at', 'hold_until', 'slots', 'cut_at')
  if found[1] then
    local probe_at = tonumber(found[2] or found[1] + probe_ms)
    return now >= probe_at and math.min(1, slots - held) or 0, true
  end
  if found[3] and now < tonumber(found[3]) then return 0, false end
  return math.min(slots, slots_left(found[4], found[5], probe_ms, now) or slots) - held, false
end

-- How many the role's rate lets through now; `interval`: milliseconds for one, and a second's worth at once, but
-- always one.
local function rate_room(role, interval, now)
  local tat = math.max(now, tonumber(redis.call('GET', P .. role .. ':tat') or '0'))
  return math.floor((now + math.max(1000, interval) - tat) / interval), tat
end

-- What waits in the lanes -> slots -> arq. limits = {slots, lane_slots, lease_ms, batch, ms for one or 0, ms
-- between probes of a parked account}; returns how many.
local function hand_out(role, limits, now)
  local r = P .. role
  local held = redis.call('ZCARD', r .. ':slots')
  local room, handed, interval, tat, probing = math.min(limits[4], limits[1] - held), 0, limits[5], nil, false
  if role == 'submit' then
    local open
    open, probing = account_room(limits[1], held, limits[6], now)
    room = math.min(room, open)
  end
  if interval > 0 and room > 0 then
    local open
    open, tat = rate_room(role, interval, now)
    room = math.min(room, open)
  end
  while handed < room do
    local first = redis.call('ZRANGE', r .. ':fair', 0, 0, 'WITHSCORES')
    if not first[1] then break end
    local lane, served, popped = first[1], tonumber(first[2]), {}
    if tonumber(redis.call('HGET', r .. ':inflight', lane) or '0') < limits[2] then
      popped = redis.call('ZPOPMIN', r .. ':lane:' .. lane)
    end
    if popped[1] then
      redis.call('SET', r .. ':turn', served)
      redis.call('ZADD', r .. ':fair', served + 1, lane)
      redis.call('ZREM', r .. ':waiting', popped[1])
      take(role, popped[1], limits[3], now)
      handed = handed + 1
    else -- empty, or full: `enter` or `free` makes it active again
      redis.call('ZREM', r .. ':fair', lane)
      redis.call('HSET', r .. ':served', lane, served)
    end
  end
  if tat and handed > 0 then redis.call('SET', r .. ':tat', tat + handed * interval) end
  if probing and handed > 0 then redis.call('HSET', ACCOUNT, 'probe_at', now + limits[6]) end
  return handed
end

-- roles = {role = limits}: what became due enters its lane, and what may run is handed out.
local function dispatch_all(roles, now)
  local handed = 0
  for role, limits in pairs(roles) do
    promote(role, now)
    handed = handed + hand_out(role, limits, now)
  end
  return handed
end
