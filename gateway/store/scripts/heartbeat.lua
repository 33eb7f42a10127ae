-- heartbeat: records that a worker process is alive, or that it ends, and says who leads.
--
-- KEYS  workers; sweep: the lock of `acquire_leadership`; leader: the id of the process that leads
-- ARGV  id; left, JSON: names of arq jobs that it took and left undone; then pairs of field, value; without pairs, the
--       process ends
--
-- The lease of what nobody works on ends now, so that the sweep decides what becomes of it: for `left`, for all that a
-- process held when it ended, and for what the dead held. A process is dead after DEAD_MS without a heartbeat, if the
-- one that says so was heard all the time: while Redis was away, nobody was. {gw}:worker:<id>:held, a set of names of
-- arq jobs, is what it took (`claim_arq_jobs`) and may still hold. Processes silent for GONE_MS are removed.
--
-- One process leads: it does what all need once (workers/heartbeat.py). It stays the leader as long as it reports, and
-- LEAD_MS after its last heartbeat the next process that reports becomes it.
--
-- Returns {how many leases ended, 1 | 0: whether the process leads, how many processes there are}
local workers, sweep, leader = KEYS[1], KEYS[2], KEYS[3]
local id, left, fields = ARGV[1], cjson.decode(ARGV[2]), { unpack(ARGV, 3) }
local DEAD_MS, STEADY_MS, GAP_MS, GONE_MS, LEAD_MS = 3000, 2000, 2000, 60000, 1500
local CHUNK = 500 -- arguments of one command
local now = call.now_ms()

local function held_by(worker)
  return P .. 'worker:' .. worker .. ':held'
end

-- The role, the ticket and the number of the dispatch in the name of an arq job.
local function parts_of(name)
  return string.match(name, '^' .. P .. '(%a+):(.*):(%d+)$')
end

-- Ends the leases of what is still held under these names. Returns how many.
local function end_leases(names)
  local ended = 0
  for _, name in ipairs(names) do
    local role, ticket, number = parts_of(name)
    local newest = role and lanes.is_newest_dispatch(role, ticket, number)
    local till = newest and redis.call('ZSCORE', P .. role .. ':slots', ticket)
    if till and till ~= 'inf' then
      lanes.end_hold_at(role, ticket, now)
      ended = ended + 1
    end
  end
  return ended
end

local function take_back(worker)
  local held = held_by(worker)
  local ended = end_leases(redis.call('SMEMBERS', held))
  redis.call('DEL', held)
  return ended
end

-- Forgets what the process took and does not hold any more. At most CHUNK names at a time.
local function forget_ended(held, role, names, tickets)
  local gone = {}
  for i, till in ipairs(redis.call('ZMSCORE', P .. role .. ':slots', unpack(tickets))) do
    if not till or till == 'inf' then gone[#gone + 1] = names[i] end
  end
  if #gone > 0 then redis.call('SREM', held, unpack(gone)) end
end

local function forget_all_ended(held)
  local names, by_role = redis.call('SMEMBERS', held), {}
  if #names > 0 then redis.call('PEXPIRE', held, GONE_MS) end
  for _, name in ipairs(names) do
    local role, ticket = parts_of(name)
    if role then
      local found = by_role[role] or { names = {}, tickets = {} }
      found.names[#found.names + 1], found.tickets[#found.tickets + 1] = name, ticket
      by_role[role] = found
      if #found.names == CHUNK then
        forget_ended(held, role, found.names, found.tickets)
        by_role[role] = nil
      end
    else
      redis.call('SREM', held, name) -- arq was given it by somebody else: it holds no slot
    end
  end
  for role, found in pairs(by_role) do forget_ended(held, role, found.names, found.tickets) end
end

local function lead()
  local leading = redis.call('GET', leader)
  if leading and leading ~= id then return 0 end
  redis.call('SET', leader, id, 'PX', LEAD_MS)
  return 1
end

local ended, leads = end_leases(left), 0
if #fields > 0 then
  local key = P .. 'worker:' .. id
  local last = tonumber(redis.call('ZSCORE', workers, id) or '0')
  if now - last >= GAP_MS then
    fields[#fields + 1] = 'steady_since'
    fields[#fields + 1] = now
  end
  redis.call('ZADD', workers, now, id)
  redis.call('HSET', key, unpack(fields))
  forget_all_ended(held_by(id))
  leads = lead()
  local dead = redis.call('ZRANGEBYSCORE', workers, '-inf', now - DEAD_MS)
  if #dead > 0 and now - (tonumber(redis.call('HGET', key, 'steady_since')) or now) >= STEADY_MS then
    for _, one in ipairs(dead) do ended = ended + take_back(one) end
  end
else
  ended = ended + take_back(id)
  redis.call('ZREM', workers, id)
  redis.call('DEL', P .. 'worker:' .. id)
  if redis.call('GET', leader) == id then redis.call('DEL', leader) end
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now - GONE_MS, 'LIMIT', 0, 100)) do
  redis.call('ZREM', workers, gone)
  redis.call('DEL', P .. 'worker:' .. gone, held_by(gone))
end
if ended > 0 then redis.call('DEL', sweep) end -- at once, although there may just have been one
return { ended, leads, redis.call('ZCARD', workers) }
