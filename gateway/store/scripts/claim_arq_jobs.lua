-- claim_arq_jobs: removes the first jobs from an arq queue, for a worker to run, and begins their work.
--
-- KEYS  queue: of arq; memory: of this worker's last claim; held: the names that its process holds (see `heartbeat`)
-- ARGV  claim: an id; most: how many jobs; lasts_ms: how long the memory lasts; terms, JSON: how the work is begun, or
--       "" if its worker does that: {role, record = prefix of its key, lease_ms, related: as of `records.begin`} or
--       {record, transition: of each job, as of transitions.lua, but for its name, ticket, number and run}
--
-- Beginning the work here saves a step for each piece of it. Repeating a claim, because its answer was lost, returns
-- the same jobs as long as the memory lasts.
--
-- Returns {name of an arq job, its record, what `records.begin` or transition.lua returns, or nil: not begun, ...}
local queue, memory, held = KEYS[1], KEYS[2], KEYS[3]
local claim, most, lasts_ms, terms = ARGV[1], ARGV[2], ARGV[3], ARGV[4] ~= '' and cjson.decode(ARGV[4])
local GAP_MS, GONE_MS = 2000, 60000 -- as in heartbeat.lua
local now = call.now_ms()

-- A process that was frozen, or could not reach Redis, may claim before its next heartbeat. It is alive, or what it has
-- just begun would be taken back. But it was not heard all the time, so it must not judge others yet.
local function report_after_gap(process)
  local last = redis.call('ZSCORE', P .. 'workers', process)
  if not last or now - last < GAP_MS then return end
  redis.call('ZADD', P .. 'workers', now, process)
  redis.call('HSET', P .. 'worker:' .. process, 'steady_since', now)
end

-- Jobs stay in the queue while nothing may be submitted.
local function is_held()
  local claiming = terms and terms.transition and terms.transition.effects.claim
  return claiming and primary.is_held(claiming.failover, now)
end

local function take()
  local last = redis.call('HMGET', memory, 'claim', 'found')
  if last[1] == claim then return cjson.decode(last[2]) end
  local found, taken, names = {}, {}, redis.call('ZRANGE', queue, 0, most - 1)
  if #names > 0 and is_held() then return found end
  if #names > 0 then
    local keys = {}
    for at, name in ipairs(names) do keys[at] = 'arq:job:' .. name end
    local jobs = redis.call('MGET', unpack(keys))
    redis.call('ZREM', queue, unpack(names))
    redis.call('DEL', unpack(keys))
    for at, name in ipairs(names) do
      if jobs[at] then
        taken[#taken + 1] = name
        found[#found + 1] = name
        found[#found + 1] = jobs[at]
      end
    end
  end
  -- The queue is empty: the tokens on the wake list belong to claimed work.
  if #names < tonumber(most) then redis.call('DEL', queue .. ':wake') end
  if #found > 0 then
    redis.call('HSET', memory, 'claim', claim, 'found', cjson.encode(found))
    redis.call('PEXPIRE', memory, lasts_ms)
    redis.call('SADD', held, unpack(taken))
    redis.call('PEXPIRE', held, GONE_MS)
    report_after_gap(string.match(held, '([^:]+):held$') or '')
  end
  return found
end

local function begin(ticket, number, key)
  local transition = terms.transition
  if not transition then return records.begin(key, terms.role, ticket, number, terms.lease_ms, terms.related, now) end
  transition.name = string.sub(key, #P + #terms.record + 1)
  transition.guard.holder.ticket, transition.guard.holder.number = ticket, number
  transition.effects.hold_slot.ticket = ticket
  transition.effects.claim.run = claim .. number
  local result = effects.apply(key, transition, '', now)
  local moved = result.outcome == 'moved'
  quotas.write_counted_bytes()
  return { result.outcome, result.before, result.after, moved and record.all(key) or {} }
end

local function parts_of(name)
  local ticket, number = string.match(name, ':%a+:([^|]+|.+):(%d+)$')
  return ticket, number
end

-- One damaged record must not stop the others: the error is not raised here, but when the worker begins that job alone.
local function begin_if_sound(name)
  local ticket, number = parts_of(name)
  if not ticket then return false end
  local key = P .. terms.record .. string.sub(ticket, string.find(ticket, '|', 1, true) + 1)
  local went_well, begun = pcall(begin, ticket, number, key)
  if went_well then return begun end
  record.drop(key)
  call.forget('bytes')
  return false
end

local function read_dispatches(found)
  local tickets, role = {}, terms.role or terms.transition.guard.holder.role
  for at = 1, #found, 2 do tickets[#tickets + 1] = parts_of(found[at]) end
  if #tickets > 0 then lanes.read_dispatches(role, tickets) end
end

local found, answer = take(), {}
if terms then read_dispatches(found) end
for at = 1, #found, 2 do
  answer[#answer + 1] = found[at]
  answer[#answer + 1] = found[at + 1]
  answer[#answer + 1] = terms and begin_if_sound(found[at])
end
-- The claimed jobs must reach their worker, whatever stops others: the next tick reports what does.
if terms and terms.transition and #found > 0 then
  pcall(dispatching.dispatch_changed, terms.transition.dispatch, now)
end
return answer
