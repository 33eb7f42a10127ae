-- account_health.lua: a shared part. How much may be sent with each of the upstream's accounts.
--
-- {gw}:account:<name> limits what is sent with the account: slots (fewer after a 429), hold_until, and parked_at with
-- reason, status, code and probe_at while it is paused; tat, when the next dispatch is due if it has a rate (GCRA);
-- turns, how often it was served if there are several accounts (start-time fair queueing, as between lanes).
-- {gw}:submit:account_turn: the turns of the account that was served last, where others join.
-- accounts = {{name, slots, weight, interval_ms: per submission, 0 without a rate}, ...}: from the caller's settings.
local account_health = {}

local TURN = P .. 'submit:account_turn'

-- The upstream refused the account: from now on only a probe is sent with it from time to time.
function account_health.pause(account, now, status, code, reason, by)
  local key = account_slots.key(account)
  if redis.call('HSETNX', key, 'parked_at', now) == 0 then return end
  redis.call('HSET', P .. 'submit:pace', 'busy', 0) -- queue_position.lua: the time until a resume is no pace
  redis.call('HSET', key, 'status', status, 'code', code, 'reason', reason)
  log.ops_event(now, 'account_parked', 'account', account, 'status', status, 'code', code, 'reason', reason, 'by', by)
end

function account_health.resume(account, now, by)
  local key = account_slots.key(account)
  if redis.call('HDEL', key, 'parked_at') == 0 then return end
  redis.call('HDEL', key, 'status', 'code', 'reason', 'probe_at')
  role_facts.note_change('submit')
  account_slots.end_longer_waits(account)
  log.ops_event(now, 'account_resumed', 'account', account, 'by', by)
end

-- Whether nothing is sent with any account: each is paused, or waits for the time that a 429 named.
function account_health.none_open(accounts, now)
  local open = call.kept('accounts').open -- as `account_health.rooms` found
  if open ~= nil then return not open end
  for _, one in ipairs(accounts) do
    local found = redis.call('HMGET', account_slots.key(one.name), 'parked_at', 'hold_until')
    if not found[1] and tonumber(found[2] or '0') <= now then return false end
  end
  return true
end

-- How many slots the last 429 left, nil for all. One more for each interval since then, because the few remaining slots
-- may be held by jobs without any answer.
local function slots_left(slots, cut_at, interval, now)
  return slots and tonumber(slots) + math.floor((now - (cut_at or now)) / interval)
end

-- JudgeAccount. Applies the upstream's answer to the account. answer = {kind = "accepted" | "busy" | "refused",
-- retry_after_ms, status, code, reason, account}; `job`: its record; `limits`: of the submit role (dispatching.lua).
-- A 429 halves the slots. They grow by one whenever as many submissions as slots were accepted, and with time.
function account_health.judge(job, answer, limits, now)
  local kind, account = answer.kind, answer.account
  local began = tonumber(record.get(job, 'submitting_at') or '0')
  local key, slots = account_slots.key(account), limits.slots
  for _, one in ipairs(limits.accounts) do
    if one.name == account then slots = one.slots end
  end
  local found = redis.call('HMGET', key, 'parked_at', 'slots', 'cut_at')
  local parked_at, cut_at = tonumber(found[1]), tonumber(found[3])
  local limit = slots_left(found[2], cut_at, limits.probe_ms, now)
  if kind == 'refused' then
    account_health.pause(account, now, answer.status, answer.code, answer.reason, 'upstream')
  elseif kind == 'busy' then
    if answer.retry_after_ms > 0 then
      local hold = tonumber(redis.call('HGET', key, 'hold_until') or '0')
      redis.call('HSET', key, 'hold_until', math.max(hold, now + answer.retry_after_ms))
    end
    -- halve once per burst: submissions from before the last cut say nothing about the present slots
    if not cut_at or began >= cut_at then
      local held = account_slots.taken(account) + 1
      redis.call('HSET', key, 'slots', math.max(1, math.floor(math.min(limit or slots, held) / 2)),
        'cut_at', now, 'grown', 0)
    end
  else
    -- an answer to a submission from before the pause does not prove that the account works again,
    -- and only an operator resumes what an operator paused
    if parked_at and began >= parked_at and redis.call('HEXISTS', key, 'parked_by') == 0 then
      account_health.resume(account, now, 'probe')
    end
    if limit then role_facts.note_change('submit') end
    if limit and redis.call('HINCRBY', key, 'grown', 1) >= limit then
      if limit + 1 >= slots then
        redis.call('HDEL', key, 'slots', 'grown', 'cut_at')
      else
        redis.call('HINCRBY', key, 'slots', 1)
        redis.call('HSET', key, 'grown', 0)
      end
    end
  end
end

-- How many submissions the rate allows now: up to one second's worth at once, at least one. `interval`: ms per
-- submission; `tat`: the stored value. Also returns the time from which it counts.
function account_health.rate_room(tat, interval, now)
  tat = math.max(now, tonumber(tat or '0'))
  return math.floor((now + math.max(1000, interval) - tat) / interval), tat
end

-- How many submissions the account allows now, and whether this is one probe. known = {parked_at, probe_at, hold_until,
-- left: slots that a 429 left}
local function account_room(known, slots, held, probe_ms, now)
  if known.parked_at then
    local probe_at = known.probe_at or known.parked_at + probe_ms
    return now >= probe_at and math.min(1, slots - held) or 0, true
  end
  if known.hold_until and now < known.hold_until then return 0, false end
  return math.min(slots, known.left or slots) - held, false
end

-- How many submissions each account allows now, as {{name =, room =, probing =, ...}, ...}, and their sum.
function account_health.rooms(accounts, probe_ms, now)
  local rooms, sum, any_open = {}, 0, false
  local turn = #accounts > 1 and tonumber(redis.call('GET', TURN) or '0') or 0
  for _, one in ipairs(accounts) do
    local name, interval, tat = one.name, one.interval_ms, nil
    local found = redis.call('HMGET', account_slots.key(name), 'parked_at', 'probe_at', 'hold_until', 'slots', 'cut_at',
      'tat', 'turns')
    local known = {
      parked_at = tonumber(found[1]),
      probe_at = tonumber(found[2]),
      hold_until = tonumber(found[3]),
      left = slots_left(found[4], tonumber(found[5]), probe_ms, now),
    }
    local room, probing = account_room(known, one.slots, account_slots.taken(name), probe_ms, now)
    if interval > 0 then
      local open
      open, tat = account_health.rate_room(found[6], interval, now)
      room = math.min(room, open)
    end
    room = math.max(0, room)
    sum = sum + room
    any_open = any_open or not known.parked_at and (known.hold_until or 0) <= now
    rooms[#rooms + 1] = { name = name, room = room, probing = probing, weight = one.weight, interval = interval,
      tat = tat, turns = math.max(turn, tonumber(found[7] or '0')), sent = 0 }
  end
  call.kept('accounts').open = any_open
  return rooms, sum
end

-- The account for the ticket: the one that its job is bound to, else the next one in turn; probes first. nil if that
-- account has no room; then also its name. A damaged record must not stop the tickets behind it: it gets a slot, and
-- its worker reports the fault, before anything is sent. `new`: it was never dispatched, so nothing binds its job.
function account_health.choose(ticket, rooms, new)
  local own, pinned, sound = account_slots.MAIN, false, true
  if not new then sound, own, pinned = pcall(account_slots.pinned_to, ticket) end
  if not sound then own, pinned = nil, nil end
  local best
  for _, one in ipairs(rooms) do
    if one.room > 0 and (not pinned or one.name == own) then
      local sooner = not best or (one.probing and not best.probing)
      if sooner or (one.probing == best.probing and one.turns < best.turns) then best = one end
    end
  end
  return best, own
end

-- Assigns the account to the ticket, which holds a slot. `own`: the account of its previous dispatch, or nil: its
-- record is damaged.
function account_health.use(one, ticket, own, several)
  local job = account_slots.job_of(ticket)
  account_slots.assign(ticket, one.name)
  if own and own ~= one.name and record.get(job, 'state') then account_slots.write(job, one.name) end
  if several then
    redis.call('SET', TURN, one.turns)
    one.turns = one.turns + 1 / one.weight
  end
  one.room, one.sent = one.room - 1, one.sent + 1
end

-- Stores with the accounts what was dispatched: turns, rates and probes.
function account_health.note_used(rooms, probe_ms, now)
  for _, one in ipairs(rooms) do
    if one.sent > 0 then
      local key = account_slots.key(one.name)
      if #rooms > 1 then redis.call('HSET', key, 'turns', one.turns) end
      if one.tat then redis.call('HSET', key, 'tat', one.tat + one.sent * one.interval) end
      if one.probing then redis.call('HSET', key, 'probe_at', now + probe_ms) end
    end
  end
end

return account_health
