-- upstream.lua: a part, put before every script when it is loaded, after lanes.lua. The upstream's account.
--
-- {gw}:account:main limits the submit role: slots (fewer after a 429), hold_until, and parked_at with reason, status,
-- code and probe_at while the upstream refuses it.
local ACCOUNT = P .. 'account:main'
local REFUSED = ACCOUNT .. ':refused' -- tickets that were refused since it was parked, and wait for longer than others

-- The upstream refused the account: nothing is sent any more but a probe now and then.
local function park(now, status, code, reason, by)
  if redis.call('HSETNX', ACCOUNT, 'parked_at', now) == 0 then return end
  redis.call('HSET', P .. 'submit:pace', 'busy', 0) -- waiting.lua: the time until it is resumed is no pace
  redis.call('HSET', ACCOUNT, 'status', status, 'code', code, 'reason', reason)
  ops_event(now, 'account_parked', 'status', status, 'code', code, 'reason', reason, 'by', by)
end

local function unpark(now, by)
  if redis.call('HDEL', ACCOUNT, 'parked_at') == 0 then return end
  redis.call('HDEL', ACCOUNT, 'status', 'code', 'reason', 'probe_at')
  redis.call('DEL', REFUSED)
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
