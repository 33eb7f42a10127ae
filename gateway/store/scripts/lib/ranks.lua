-- ranks.lua: the first of the shared parts. Where a ticket waits in its lane.
--
-- The lowest rank goes first: retries, then new work, then what is recovered. New work is ranked in the order of its
-- arrival, but in the submit role by priority too. There a lane is shared between its priorities as the role is between
-- its lanes (start-time fair queueing): a ticket's rank is the turn at which it is to be served, the next one of its
-- priority comes COST turns later, and one that comes after a pause joins at the present turn. So a job of high
-- priority is served soon, however many others wait, and none is starved.
--
-- {gw}:submit:order:<lane>  hash: turn (rank of the new ticket that was dispatched last), and for each priority where
--                           its next ticket goes; gone when the lane is empty
local P = '{gw}:'
local NEW, RECOVERED = 1e13, 2e13 -- where the ranks of the kinds of tickets begin; those of retries begin at 0
local COST = { high = 1, normal = 4, low = 16 } -- while all wait, 16 of high are served for 4 of normal and 1 of low

local function fair_rank(lane, priority)
  local key, cost = P .. 'submit:order:' .. lane, COST[priority]
  local found = redis.call('HMGET', key, 'turn', priority)
  local turn, rank = tonumber(found[1] or '0'), tonumber(found[2] or '0')
  if rank > turn then
    -- most of those that it was to come after may have been canceled
    local last = redis.call('ZREVRANGEBYSCORE', P .. 'submit:lane:' .. lane, '(' .. RECOVERED, NEW, 'WITHSCORES',
      'LIMIT', 0, 1)
    rank = math.max(turn, math.min(rank, tonumber(last[2] or NEW) - NEW + cost))
  else
    rank = turn
  end
  redis.call('HSET', key, priority, rank + cost)
  return NEW + rank
end

-- `again`, `priority`: as `enter_lane` of lanes.lua takes them.
local function rank_of(role, lane, again, priority)
  if role == 'submit' and not again then return fair_rank(lane, priority or 'normal') end
  local rank = redis.call('INCR', P .. role .. ':ranks')
  if again == 'recovered' then return RECOVERED + rank end
  return again and rank or NEW + rank
end

local function forget_order(lane)
  if redis.call('EXISTS', P .. 'submit:lane:' .. lane) == 0 then redis.call('DEL', P .. 'submit:order:' .. lane) end
end

-- The ticket is dispatched: those of a priority of which none waits join here.
local function leave_queue(lane, ticket)
  local key = P .. 'submit:lane:' .. lane
  local rank = tonumber(redis.call('ZSCORE', key, ticket))
  redis.call('ZREM', key, ticket)
  if rank >= NEW and rank < RECOVERED then redis.call('HSET', P .. 'submit:order:' .. lane, 'turn', rank - NEW) end
  forget_order(lane)
end
