-- dispatching.lua: a shared part. Which ticket is next, and its way from its lane to arq.
local dispatching = {}

local EVENTS = 'events-' -- the prefix of the name of a tenant's events lane
local PINNED_SEEN = 50 -- how many of the tickets that wait for one account are checked

-- How many of the slots retries may hold.
local function share_of(share, slots)
  return math.max(1, math.floor(share * slots))
end

-- The tenant that owns the lane of a ticket of the deliver role: an endpoint's or callback host's lane belongs to the
-- tenant of any delivery in it, an events lane to the tenant in its name. nil if no record exists any more.
function dispatching.tenant_of(lane, ticket)
  local known = lane_tenants.of(P .. 'deliver', lane)
  if known then return known end
  if string.sub(lane, 1, #EVENTS) == EVENTS then return string.sub(lane, #EVENTS + 1) end
  return record.get(P .. 'delivery:' .. string.sub(ticket, #lane + 2), 'tenant')
end

-- The tenant that owns the lane, and whether it holds all slots that it may.
local function tenant_full(r, lane, ticket, most)
  local tenant = dispatching.tenant_of(lane, ticket)
  return tenant, tenant and counters.get(r .. ':tenant_inflight', tenant) >= most
end

-- How many slots the lane may hold. `special`: as for `choose_ticket`.
local function lane_cap(role, lane, limits, special)
  local r, cap = P .. role, limits.lane_slots
  if not special then return cap end
  local own = tonumber(redis.call('HGET', r .. ':caps', lane) or cap)
  if redis.call('SISMEMBER', r .. ':probing', lane) == 1 then return 1 end
  return role == 'submit' and own or math.min(cap, own)
end

-- The next ticket of the lane, whether it takes from the retries' share, in the deliver role its tenant, its rank, and
-- whether it is the only one. nil if none may go; then also 'share' if only the retries' share of all lanes prevents
-- it (`open`: some of it is left), or 'tenant' if its tenant's slots do. `special`: some lane is probed, or has its own
-- cap or weight.
local function choose_ticket(role, lane, limits, open, special)
  local r = P .. role
  local key, share, cap = r .. ':lane:' .. lane, limits.retry_share, lane_cap(role, lane, limits, special)
  if counters.get(r .. ':inflight', lane) >= cap then return nil end
  local head = redis.call('ZRANGE', key, 0, 1, 'WITHSCORES')
  local ticket, rank, last, tenant, full = head[1], tonumber(head[2]), not head[3], nil, false
  if not ticket then return nil end
  if limits.tenant_slots then tenant, full = tenant_full(r, lane, ticket, limits.tenant_slots) end
  if full then return nil, 'tenant', tenant end
  if share >= 1 or ranks.is_new(rank) then return ticket, false, tenant, rank, last end
  local mine = counters.get(r .. ':retries', lane) < share_of(share, cap)
  if rank < ranks.NEW then -- new work may wait behind it; the two take turns
    if not mine or not open or redis.call('SISMEMBER', r .. ':leant', lane) == 1 then
      local new = redis.call('ZRANGEBYSCORE', key, ranks.NEW, '(' .. ranks.RECOVERED, 'WITHSCORES', 'LIMIT', 0, 1)
      redis.call('SREM', r .. ':leant', lane)
      if new[1] then return new[1], false, tenant, tonumber(new[2]), last end
    end
  end
  if not mine then return nil end
  if not open then return nil, 'share' end
  if rank < ranks.NEW then
    redis.call('SADD', r .. ':leant', lane)
    role_facts.note_unusual(role)
  end
  return ticket, true, tenant, rank, last
end

-- Dispatches jobs that wait for room in the account that they are bound to. They go before unbound jobs, unless their
-- lane is paused or full. Returns how many.
local function dispatch_pinned(rooms, room, limits, special, now)
  local r, dispatched = P .. 'submit', 0
  for _, one in ipairs(rooms) do
    local pinned = account_slots.PINNED .. ':' .. one.name
    local line = one.room > 0 and redis.call('ZRANGE', pinned, 0, PINNED_SEEN - 1) or {}
    for _, ticket in ipairs(line) do
      local lane = lanes.lane_of(ticket)
      local held = counters.get(r .. ':inflight', lane)
      local free = held < lane_cap('submit', lane, limits, special)
      if one.room > 0 and dispatched < room and free and not redis.call('ZSCORE', r .. ':parked', lane) then
        account_slots.unpin(ticket)
        role_facts.note_waiting('submit', -redis.call('ZREM', r .. ':waiting', ticket))
        lanes.take_slot('submit', ticket, limits.lease_ms, now)
        account_health.use(one, ticket, one.name, #rooms > 1)
        dispatched = dispatched + 1
      end
    end
  end
  return dispatched
end

-- The next ticket waits for the account that its job is bound to, and the tickets behind it go on.
local function wait_for_account(lane, ticket, account, now)
  redis.call('ZREM', P .. 'submit:lane:' .. lane, ticket)
  ranks.forget_empty_lane(lane)
  account_slots.pin(ticket, account, now)
end

-- Dispatches the ticket that would be the only one that waits, if its lane, its tenant and its account have room.
-- Returns how many.
local function dispatch_directly(role, one, limits, rooms, now)
  local r, ticket, submit = P .. role, one.ticket, role == 'submit'
  local lane, tenant, full, account, own = lanes.lane_of(ticket), nil, false, nil, nil
  if counters.get(r .. ':inflight', lane) >= limits.lane_slots then return 0 end
  if limits.tenant_slots then tenant, full = tenant_full(r, lane, ticket, limits.tenant_slots) end
  if full then return 0 end
  if submit then
    account, own = account_health.choose(ticket, rooms, not one.again)
    if not account then return 0 end
  end
  call.kept('entering')[role] = nil
  log.record_timing('wait:' .. role, now - one.now)
  lanes.take_slot(role, ticket, limits.lease_ms, now, tenant)
  if submit then account_health.use(account, ticket, own, #rooms > 1) end
  return 1
end

-- Moves waiting tickets from the lanes to arq. limits = {slots, lane_slots, lease_ms, batch: at most, interval_ms: per
-- dispatch, 0 without a rate, probe_ms: between probes of a paused account, retry_share: the share of the slots that
-- retries may hold}, in the submit role also {accounts: as of account_health.lua}, and in the deliver role {health:
-- limits of circuit_breaker.lua, tenant_slots}. `due`: tickets that are due enter first if they find others there: a
-- retry goes before new work. Returns how many.
function dispatching.dispatch_role(role, limits, now, due)
  local r, submit = P .. role, role == 'submit'
  local room, dispatched, interval, next_due, rooms = limits.batch, 0, limits.interval_ms, nil, nil
  local one, waiting = lanes.only_entering(role), role_facts.waiting(role)
  if waiting == 0 and not one then return 0 end
  if submit then
    local open
    if not role_facts.is_quiet(role) and redis.call('EXISTS', P .. 'paused') == 1 then return 0 end
    rooms, open = account_health.rooms(limits.accounts, limits.probe_ms, now)
    room = math.min(room, open)
  else
    room = math.min(room, limits.slots - redis.call('ZCARD', r .. ':slots'))
  end
  if interval > 0 and room > 0 then
    local open
    open, next_due = account_health.rate_room(redis.call('GET', r .. ':tat'), interval, now)
    room = math.min(room, open)
  end
  if room <= 0 then return 0 end
  if due and waiting > 0 then lanes.enter_due(role, now) end
  local special = role_facts.is_special(role)
  local share, open, nobody, served_lanes = limits.retry_share, 0, false, {}
  if special and limits.tenant_slots then turns.readmit(r, limits.tenant_slots) end
  if share < 1 then
    open = share_of(share, limits.slots) - (special and redis.call('SCARD', r .. ':retrying') or 0)
  end
  -- the last slot is taken in the order of turns, which others will wait for
  if one and waiting == 0 and room > 1 and not special and not (one.again and share < 1) then
    dispatched = dispatch_directly(role, one, limits, rooms, now)
  end
  if dispatched == 0 then
    lanes.enter_now(role)
    waiting = role_facts.waiting(role)
  end
  if submit and special then dispatched = dispatch_pinned(rooms, room, limits, special, now) end
  while dispatched < room and (special or dispatched < waiting) do
    local lane, served = turns.next_lane(r, special and open > 0, limits.tenant_slots)
    if not lane then
      nobody = true
      break
    end
    local ticket, again, tenant, rank, last = choose_ticket(role, lane, limits, open > 0, special)
    local account, own
    if ticket and submit then account, own = account_health.choose(ticket, rooms, ranks.is_new(rank)) end
    if not ticket then
      special = true
      turns.sideline(role, lane, served, again, tenant)
    elseif submit and not account then
      special = true
      wait_for_account(lane, ticket, own, now)
    else
      if submit then
        ranks.leave_lane(lane, ticket, rank, last)
      else
        redis.call('ZREM', r .. ':lane:' .. lane, ticket)
      end
      redis.call('SET', r .. ':turn', served)
      served_lanes[lane] = true
      redis.call('ZADD', r .. ':fair', served + turns.cost(r, lane, special), lane)
      log.record_timing('wait:' .. role, now - tonumber(redis.call('ZSCORE', r .. ':waiting', ticket) or now))
      role_facts.note_waiting(role, -redis.call('ZREM', r .. ':waiting', ticket))
      if again then
        redis.call('SADD', r .. ':retrying', ticket)
        role_facts.note_unusual(role)
        counters.hold(r .. ':retries', lane, 1)
        open = open - 1
      end
      lanes.take_slot(role, ticket, limits.lease_ms, now, tenant)
      if submit then account_health.use(account, ticket, own, #rooms > 1) end
      dispatched = dispatched + 1
    end
  end
  if special then
    turns.forget(r, nobody)
  elseif next(served_lanes) and dispatched == waiting and dispatched < room then
    turns.forget_lanes(r, served_lanes)
  end
  if submit and dispatched > 0 then
    queue_position.note_pace(now, dispatched, waiting > dispatched)
    account_health.note_used(rooms, limits.probe_ms, now)
  end
  if next_due and dispatched > 0 then redis.call('SET', r .. ':tat', next_due + dispatched * interval) end
  return dispatched
end

local function has_rate(limits)
  for _, account in ipairs(limits.accounts or {}) do
    if account.interval_ms > 0 then return true end
  end
  return limits.interval_ms > 0
end

-- roles = {role = limits}. Due tickets enter their lanes, and the work that may run is dispatched. Returns how many,
-- and whether only the batch size stopped it.
function dispatching.dispatch(roles, now)
  local dispatched, more = 0, false
  for role, limits in pairs(roles) do
    lanes.enter_due(role, now)
    local some = dispatching.dispatch_role(role, limits, now)
    dispatched, more = dispatched + some, more or some == limits.batch
  end
  return dispatched, more
end

-- The same for the roles in which this call changed something: in the others nothing may be dispatched that could not
-- be before, unless time did it (`dispatching.tick`). A rate lets more go with time, too.
function dispatching.dispatch_changed(roles, now)
  for role, limits in pairs(roles) do
    if role_facts.has_changed(role) or has_rate(limits) then dispatching.dispatch_role(role, limits, now, true) end
  end
end

-- Those of the roles in which anything waits, will be due, or is left of lanes.
local function roles_in_use(roles)
  local used = {}
  for role, limits in pairs(roles) do
    local r = P .. role
    local keys = redis.call('EXISTS', r .. ':waiting', r .. ':due', r .. ':parked', r .. ':fair', r .. ':idle',
      r .. ':relieved')
    if keys > 0 then used[role] = limits end
  end
  return used
end

-- Dispatches, after lanes whose pause has ended are tried. Then forgets what is left of lanes where nothing waits.
-- Also returns the roles in which time may change something.
function dispatching.tick(roles, now)
  roles = roles_in_use(roles)
  for role in pairs(roles) do lane_pauses.end_pauses(role, now) end
  local dispatched, more = dispatching.dispatch(roles, now)
  for role, limits in pairs(roles) do
    local r = P .. role
    local left = redis.call('EXISTS', r .. ':fair', r .. ':idle', r .. ':relieved')
    if left > 0 and redis.call('EXISTS', r .. ':waiting') == 0 then
      if limits.tenant_slots then turns.readmit(r, limits.tenant_slots) end
      turns.forget_lanes(r, {})
      turns.forget(r, true)
    end
  end
  return dispatched, more, roles
end

-- Milliseconds until the next ticket is due, or the next pause ends; -1 if time alone changes nothing.
function dispatching.until_next(roles, now)
  local first = math.huge
  for role in pairs(roles) do
    for _, kind in ipairs({ ':due', ':parked' }) do
      local head = redis.call('ZRANGE', P .. role .. kind, 0, 0, 'WITHSCORES')
      if head[1] then first = math.min(first, tonumber(head[2])) end
    end
  end
  return first < math.huge and math.ceil(math.max(0, first - now)) or -1
end

return dispatching
