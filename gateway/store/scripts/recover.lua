-- recover: sends the next batch of a recovery again.
--
-- KEYS  recovery: its record
-- ARGV  args, JSON: {transition: of each delivery, as of transitions.lua, but its name, trigger, running, done,
--       canceled: states of a recovery, batch, rate, most_waiting, keep_ms}
--
-- Takes the oldest deliveries of the recovery that it has not handled yet. Each becomes pending in a new round, and
-- waits in its lane behind everything else. The progress is stored in the same step, so that a crash neither loses a
-- delivery nor sends it twice. Deliveries of one millisecond stay together, so a batch may be larger than `batch`.
-- Does nothing while `most_waiting` of the endpoint's deliveries wait: a recovery must flood neither Redis nor the
-- subscriber. At most `rate` per second (0: no limit), one interval at a time. The recovery is finished when nothing
-- is left, or its endpoint is disabled or deleted; then its record is kept for `keep_ms`.
--
-- Returns {"moved" | "waiting" | "over", how many}
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local now = call.now_ms()
local found = redis.call('HMGET', key, 'state', 'endpoint', 'until', 'states', 'cursor', 'stepped_at')
local state, lane, till, states = found[1], found[2], tonumber(found[3]), found[4]
local from, stepped_at = tonumber(found[5]), tonumber(found[6])
if state ~= args.running then return { 'over', 0 } end

local function over(ended_as, reason)
  redis.call('HSET', key, 'state', ended_as, 'finished_at', now, 'reason', reason)
  redis.call('HDEL', P .. 'recoveries', lane)
  redis.call('PEXPIRE', key, args.keep_ms)
  redis.call('PEXPIRE', P .. 'lane:' .. lane .. ':recoveries', args.keep_ms)
end

-- Where the batch ends: the millisecond of its last delivery, and whether it is the last batch.
local function last_of_batch(indexes, most)
  local times = {}
  for _, index in ipairs(indexes) do
    local flat = redis.call('ZRANGEBYSCORE', index, from, till, 'WITHSCORES', 'LIMIT', 0, most)
    for i = 2, #flat, 2 do times[#times + 1] = tonumber(flat[i]) end
  end
  if #times < most then return till, true end
  table.sort(times)
  return times[most], false
end

local function send_again(id, index)
  local delivery, ticket = P .. 'delivery:' .. id, lane .. '|' .. id
  local transition = args.transition
  local attempts = record.get(delivery, 'attempts') or 0
  transition.name = id
  transition.effects.set_fields = { since = attempts, round_at = now, trigger = args.trigger }
  if transitions.change_state(delivery, transition, now).outcome == 'missing' then
    redis.call('ZREM', index, id)
    return 0
  end
  lanes.finish('deliver', ticket)
  lanes.enter('deliver', ticket, now, 'recovered')
  return 1
end

local endpoint = P .. 'endpoint:' .. lane
if redis.call('EXISTS', endpoint) == 0 then
  over(args.canceled, 'the endpoint was deleted')
  return { 'over', 0 }
elseif redis.call('HEXISTS', endpoint, 'disabled_at') == 1 then
  over(args.canceled, 'the endpoint was disabled')
  return { 'over', 0 }
elseif redis.call('ZCOUNT', P .. 'deliver:lane:' .. lane, ranks.RECOVERED, '+inf') >= args.most_waiting then
  return { 'waiting', 0 }
end

local most = args.batch
if args.rate > 0 then
  -- time without steps is not made up for
  local since = math.min(now - (stepped_at or now - 100), 1000)
  most = math.min(most, math.floor(since * args.rate / 1000))
  if most < 1 then return { 'waiting', 0 } end
  redis.call('HSET', key, 'stepped_at', now)
end

local indexes = {}
for _, one in ipairs(cjson.decode(states)) do
  indexes[#indexes + 1] = P .. 'lane:' .. lane .. ':deliveries:' .. one
end
local last, ended = last_of_batch(indexes, most)
local batch, moved = {}, 0
for _, index in ipairs(indexes) do
  local flat = redis.call('ZRANGEBYSCORE', index, from, last, 'WITHSCORES')
  for i = 1, #flat, 2 do batch[#batch + 1] = { id = flat[i], made = tonumber(flat[i + 1]), index = index } end
end
table.sort(batch, function(one, other) return one.made < other.made end)
for _, owed in ipairs(batch) do moved = moved + send_again(owed.id, owed.index) end
redis.call('HINCRBY', key, 'done', moved)
redis.call('HSET', key, 'cursor', last + 1)
if ended then over(args.done, '') end
dispatching.dispatch(args.transition.dispatch, now)
return { ended and 'over' or 'moved', moved }
