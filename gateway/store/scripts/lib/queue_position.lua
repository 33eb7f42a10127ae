-- waiting.lua: a part, put before every script when it is loaded, after upstream.lua. How long what waits will wait.
--
-- {gw}:submit:pace, a hash: at (when a job was handed out last), busy ("1" when others were left waiting then) and ms,
-- what one of them took on average while others waited.
local PACE = P .. 'submit:pace'
local SAMPLES = 10 -- that make the average forget about two thirds of what was before

local function note_pace(now, handed)
  local found = redis.call('HMGET', PACE, 'at', 'busy', 'ms')
  if found[2] == '1' then
    local one, mean = (now - found[1]) / handed, tonumber(found[3])
    redis.call('HSET', PACE, 'ms', mean and mean + (one - mean) * math.min(1, handed / SAMPLES) or one)
  end
  redis.call('HSET', PACE, 'at', now, 'busy', redis.call('EXISTS', P .. 'submit:waiting'))
end

-- The time from now on until something is handed out again says nothing of the pace.
local function break_pace()
  redis.call('HSET', PACE, 'busy', 0)
end

-- `accounts`: as of upstream.lua. What is known of the place of a ticket of the submit role, as texts: {ahead in its lane, in the lane, weight, cap or
-- "", waiting in all, other lanes that take part, ms of one or "", since the last in ms, mean duration of its kind of
-- video or "", whether nothing is sent}. {} when it does not wait.
local function place_of(ticket, kind, accounts, now)
  local r, lane = P .. 'submit', lane_of(ticket)
  local rank = redis.call('ZRANK', r .. ':lane:' .. lane, ticket)
  if not rank then return {} end
  local pace = redis.call('HMGET', PACE, 'at', 'ms')
  local others = redis.call('ZCARD', r .. ':fair')
  if redis.call('ZSCORE', r .. ':fair', lane) then others = others - 1 end
  local still = redis.call('EXISTS', P .. 'paused') == 1 or redis.call('ZSCORE', r .. ':parked', lane)
    or all_parked(accounts)
  return {
    tostring(rank),
    tostring(redis.call('ZCARD', r .. ':lane:' .. lane)),
    redis.call('HGET', r .. ':weights', lane) or '1',
    redis.call('HGET', r .. ':caps', lane) or '',
    tostring(redis.call('ZCARD', r .. ':waiting')),
    tostring(others),
    pace[2] or '',
    tostring(pace[1] and now - pace[1] or 0),
    redis.call('HGET', P .. 'durations', kind .. ':mean') or '',
    still and '1' or '',
  }
end
