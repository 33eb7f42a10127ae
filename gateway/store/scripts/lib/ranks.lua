-- ranks.lua: a shared part. The rank of a ticket in its lane.
--
-- The lowest rank goes first: retries, then new work, then recovered deliveries. New work is ranked by arrival, in the
-- submit role also by priority. There the priorities share a lane as the lanes share the role (start-time fair
-- queueing): a ticket's rank is the turn in which it is served, the next ticket of its priority comes COST turns later,
-- and a priority that was idle joins at the present turn. So a job of high priority is served soon, no matter how many
-- others wait, and no job starves.
--
-- {gw}:submit:order:<lane>  hash: turn (rank of the last dispatched new ticket), and for each priority the rank of
--                           its next ticket; removed when the lane is empty
local ranks = {}

local NEW, RECOVERED = 1e13, 2e13 -- where the ranks of new work and of recovered deliveries begin; retries begin at 0
ranks.NEW, ranks.RECOVERED = NEW, RECOVERED
local COST = { high = 1, normal = 4, low = 16 } -- while all wait, 16 high are served per 4 normal and 1 low

local function fair_rank(lane, priority)
  local key, cost = P .. 'submit:order:' .. lane, COST[priority]
  local found = redis.call('HMGET', key, 'turn', priority)
  local turn, rank = tonumber(found[1] or '0'), tonumber(found[2] or '0')
  if rank > turn then
    -- most tickets ahead of it may have been canceled
    local last = redis.call('ZREVRANGEBYSCORE', P .. 'submit:lane:' .. lane, '(' .. RECOVERED, NEW, 'WITHSCORES',
      'LIMIT', 0, 1)
    rank = math.max(turn, math.min(rank, tonumber(last[2] or NEW) - NEW + cost))
  else
    rank = turn
  end
  redis.call('HSET', key, priority, rank + cost)
  return NEW + rank
end

-- Whether a ticket of this rank is new work.
function ranks.is_new(rank)
  return rank >= NEW and rank < RECOVERED
end

-- `again`, `priority`: as `lanes.enter` of lanes.lua takes them.
function ranks.rank_of(role, lane, again, priority)
  if role == 'submit' and not again then return fair_rank(lane, priority or 'normal') end
  local rank = redis.call('INCR', P .. role .. ':ranks')
  if again == 'recovered' then return RECOVERED + rank end
  return again and rank or NEW + rank
end

function ranks.forget_empty_lane(lane)
  if redis.call('EXISTS', P .. 'submit:lane:' .. lane) == 0 then redis.call('DEL', P .. 'submit:order:' .. lane) end
end

-- The ticket is dispatched: priorities without waiting tickets join at its rank. `last`: it may be the only one.
function ranks.leave_lane(lane, ticket, rank, last)
  redis.call('ZREM', P .. 'submit:lane:' .. lane, ticket)
  if ranks.is_new(rank) then redis.call('HSET', P .. 'submit:order:' .. lane, 'turn', rank - NEW) end
  if last then ranks.forget_empty_lane(lane) end
end

return ranks
