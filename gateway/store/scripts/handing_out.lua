-- handing_out.lua: a part, put before every script when it is loaded, after lanes.lua. Which ticket is next.

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

-- Retries hold so many of the slots at most.
local function part(share, slots)
  return math.max(1, math.floor(share * slots))
end

-- The ticket of the lane whose turn it is, and whether it takes from the retries' share. nil when none may go; then
-- `true` when only the share of all lanes, which `open` says is left, stands in its way. `special`: some lane is
-- probed or has a cap of its own.
local function choose(role, lane, limits, open, special)
  local r = P .. role
  local key, cap, share = r .. ':lane:' .. lane, limits[2], limits[7]
  if special then
    cap = math.min(cap, tonumber(redis.call('HGET', r .. ':caps', lane) or cap))
    if redis.call('SISMEMBER', r .. ':probing', lane) == 1 then cap = 1 end
  end
  if tonumber(redis.call('HGET', r .. ':inflight', lane) or '0') >= cap then return nil end
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local ticket, rank = head[1], tonumber(head[2])
  if not ticket or share >= 1 or (rank >= NEW and rank < RECOVERED) then return ticket, false end
  local mine = tonumber(redis.call('HGET', r .. ':retries', lane) or '0') < part(share, cap)
  if rank < NEW then -- new work may wait behind it, and they take turns
    if not mine or not open or redis.call('SISMEMBER', r .. ':leant', lane) == 1 then
      local new = redis.call('ZRANGEBYSCORE', key, NEW, '(' .. RECOVERED, 'LIMIT', 0, 1)[1]
      redis.call('SREM', r .. ':leant', lane)
      if new then return new, false end
    end
  end
  if not mine then return nil end
  if not open then return nil, true end
  if rank < NEW then redis.call('SADD', r .. ':leant', lane) end
  return ticket, true
end

-- The lane whose turn it is, with its turns served. `open`: retries may be handed out, for which blocked lanes wait.
local function next_lane(r, open)
  local freed = open and redis.call('ZPOPMIN', r .. ':blocked') or {}
  if freed[1] then
    return freed[1], math.max(tonumber(freed[2]), tonumber(redis.call('GET', r .. ':turn') or '0'))
  end
  local first = redis.call('ZRANGE', r .. ':fair', 0, 0, 'WITHSCORES')
  return first[1], tonumber(first[2])
end

-- What waits in the lanes -> slots -> arq. limits = {slots, lane_slots, lease_ms, batch, ms for one or 0, ms
-- between probes of a parked account, share of the slots that retries may hold}; returns how many.
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
  if room <= 0 then return 0 end
  local special = redis.call('EXISTS', r .. ':caps', r .. ':probing') > 0
  local share, open = limits[7], 0
  if share < 1 then open = part(share, limits[1]) - redis.call('SCARD', r .. ':retrying') end
  while handed < room do
    local lane, served = next_lane(r, open > 0)
    if not lane then break end
    local ticket, again = choose(role, lane, limits, open > 0, special)
    if ticket then
      redis.call('ZREM', r .. ':lane:' .. lane, ticket)
      redis.call('SET', r .. ':turn', served)
      redis.call('ZADD', r .. ':fair', served + 1, lane)
      redis.call('ZREM', r .. ':waiting', ticket)
      if again then
        redis.call('SADD', r .. ':retrying', ticket)
        redis.call('HINCRBY', r .. ':retries', lane, 1)
        open = open - 1
      end
      take(role, ticket, limits[3], now)
      handed = handed + 1
    else -- empty, or full: `enter` or `free` makes it active again
      deactivate(role, lane, served)
      if again then redis.call('ZADD', r .. ':blocked', served, lane) end
      if share < 1 and redis.call('EXISTS', r .. ':lane:' .. lane) == 0 then
        redis.call('SREM', r .. ':leant', lane)
      end
    end
  end
  if tat and handed > 0 then redis.call('SET', r .. ':tat', tat + handed * interval) end
  if probing and handed > 0 then redis.call('HSET', ACCOUNT, 'probe_at', now + limits[6]) end
  return handed
end

-- roles = {role = limits}: what became due enters its lane, and what may run is handed out. Returns how many, and
-- whether there may be more that only the size of a batch stopped.
local function dispatch_all(roles, now)
  local handed, more = 0, false
  for role, limits in pairs(roles) do
    promote(role, now)
    local some = hand_out(role, limits, now)
    handed, more = handed + some, more or some == limits[4]
  end
  return handed, more
end

-- Milliseconds until the next ticket is due, or the next parked lane is tried; -1 when time alone changes nothing.
local function until_next(roles, now)
  local first = math.huge
  for role in pairs(roles) do
    for _, kind in ipairs({ ':due', ':parked' }) do
      local head = redis.call('ZRANGE', P .. role .. kind, 0, 0, 'WITHSCORES')
      if head[1] then first = math.min(first, tonumber(head[2])) end
    end
  end
  return first < math.huge and math.ceil(math.max(0, first - now)) or -1
end
