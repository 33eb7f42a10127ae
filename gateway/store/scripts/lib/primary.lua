-- primary.lua: a shared part. Notices a failover. The new primary may lack writes that the old one acknowledged, so a
-- job that was paid for may look queued. Nothing is submitted for a while, so that tasks of lost submissions can call
-- back first, and until every gateway has replayed the callbacks that it kept on disk meanwhile.
--
-- {gw}:primary   replication: id of the primary's history; failovers: how many; of the last: failed_over_at,
--                held_until, acknowledged: "1" if replicas had to; on_hold: "1" while nothing is submitted
-- {gw}:journals  when each process that keeps a journal of callbacks last said that all of it is replayed
--
-- failover = {hold_ms, acknowledged: whether replicas must acknowledge what is written}
local primary = {}

local KEY, JOURNALS = P .. 'primary', P .. 'journals'
local ALIVE_MS = 600000 -- a process that reported less than this before a failover may have a journal
local PATIENCE_MS = 300000 -- a process that does not come back is waited for no longer
local LOST = 15 -- submissions of one job that one failover may lose

-- The id of the server's history, and whether it took that over from another server. A primary that restarts, or gets
-- its first replica, has a new id, but no earlier one. nil if the server does not say.
local function history()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return nil end
  return string.match(info, 'master_replid:(%x+)'), string.find(info, 'master_replid2:0*[1-9a-f]') ~= nil
end

local function note_failover(known, failover, now)
  known.failovers, known.failed_over_at, known.held_until = known.failovers + 1, now, now + failover.hold_ms
  redis.call('HSET', KEY, 'failovers', known.failovers, 'failed_over_at', now, 'held_until', known.held_until,
    'acknowledged', failover.acknowledged and '1' or '0')
  local kind = failover.acknowledged and 'acknowledged' or 'unacknowledged'
  log.tally('store_failovers|' .. kind)
  log.ops_event(now, 'store_failed_over', 'writes', kind, 'hold_ms', failover.hold_ms)
end

local function journals_wait(failed_over_at, now)
  if now >= failed_over_at + PATIENCE_MS then return false end
  return redis.call('ZCOUNT', JOURNALS, failed_over_at - ALIVE_MS, '(' .. failed_over_at) > 0
end

-- What is known of the primary, once a call.
local function read(failover, now)
  local known = call.kept('primary')
  if known.failovers then return known end
  local stored = redis.call('HMGET', KEY, 'replication', 'failovers', 'failed_over_at', 'held_until', 'on_hold')
  known.failovers = tonumber(stored[2] or '0')
  known.failed_over_at, known.held_until = tonumber(stored[3] or '0'), tonumber(stored[4] or '0')
  local id, taken_over = history()
  if id and id ~= stored[1] then
    redis.call('HSET', KEY, 'replication', id)
    if stored[1] and taken_over then note_failover(known, failover, now) end
  end
  known.held = now < known.held_until or journals_wait(known.failed_over_at, now)
  if known.held ~= (stored[5] == '1') then redis.call('HSET', KEY, 'on_hold', known.held and '1' or '0') end
  return known
end

-- Whether nothing may be submitted now.
function primary.is_held(failover, now)
  return read(failover, now).held
end

-- How often another server became the primary.
function primary.failovers(failover, now)
  return read(failover, now).failovers
end

-- A claim of the job comes after a failover: no submission that was lost has the number of the next one.
function primary.skip_lost_submissions(key, failover, now)
  local known = read(failover, now)
  if known.failovers == 0 or tonumber(record.get(key, 'created_at') or '0') >= known.failed_over_at then return end
  if record.get(key, 'failovers') == tostring(known.failovers) then return end
  record.set(key, { failovers = known.failovers })
  record.add(key, 'epoch', LOST)
end

return primary
