-- queue_position.lua: a shared part. Queue positions, and how long jobs will wait.
--
-- {gw}:submit:pace, a hash: at (of the last dispatch), busy ("1" if other jobs were waiting then) and ms (the mean time
-- between dispatches while jobs wait).
local queue_position = {}

local PACE = P .. 'submit:pace'
local SAMPLES = 10 -- after which the mean has forgotten about two thirds of its past

-- `waiting`: whether other jobs wait now.
function queue_position.note_pace(now, dispatched, waiting)
  local found = redis.call('HMGET', PACE, 'at', 'busy', 'ms')
  local mean = tonumber(found[3])
  if found[2] == '1' then
    local one = (now - found[1]) / dispatched
    mean = mean and mean + (one - mean) * math.min(1, dispatched / SAMPLES) or one
  end
  redis.call('HSET', PACE, 'at', now, 'busy', waiting and 1 or 0, unpack(mean and { 'ms', mean } or {}))
end

-- The time from now until the next dispatch does not count for the pace.
function queue_position.break_pace()
  redis.call('HSET', PACE, 'busy', 0)
end

-- The queue position of a ticket of the submit role, as JSON: {rank: tickets ahead in its lane, in_lane: tickets in its
-- lane, weight, slots: its tenant's own, waiting: tickets in all lanes, lanes: other active lanes, pace_ms: per job,
-- idle_ms: since the last dispatch, mean_ms: of its kind of video, stopped: whether nothing is sent}. Unknown fields
-- are absent. "" if it does not wait. `accounts`: as of account_health.lua; `in_lane`: if it is known.
function queue_position.of(ticket, kind, accounts, now, in_lane)
  local r, lane = P .. 'submit', lanes.lane_of(ticket)
  local rank = redis.call('ZRANK', r .. ':lane:' .. lane, ticket)
  if not rank then return '' end
  local pace = redis.call('HMGET', PACE, 'at', 'ms')
  local last_at, pace_ms = pace[1], pace[2]
  local others, quiet = redis.call('ZCARD', r .. ':fair'), role_facts.is_quiet('submit')
  -- in a quiet role, a lane with tickets is active, and none is paused or has its own weight
  if quiet or redis.call('ZSCORE', r .. ':fair', lane) then others = others - 1 end
  local stopped = account_health.none_open(accounts, now)
  if not quiet then
    stopped = stopped or redis.call('EXISTS', P .. 'paused') == 1 or redis.call('ZSCORE', r .. ':parked', lane)
  end
  return cjson.encode({
    rank = rank,
    in_lane = in_lane or redis.call('ZCARD', r .. ':lane:' .. lane),
    weight = tonumber(not quiet and redis.call('HGET', r .. ':weights', lane) or '1'),
    slots = tonumber(not quiet and redis.call('HGET', r .. ':caps', lane)),
    waiting = role_facts.waiting('submit'),
    lanes = others,
    pace_ms = tonumber(pace_ms),
    idle_ms = last_at and now - last_at or 0,
    mean_ms = tonumber(redis.call('HGET', P .. 'durations', kind .. ':mean')),
    stopped = stopped and true or false,
  })
end

return queue_position
