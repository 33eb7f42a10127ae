-- record_sample: appends a sample of the service's state to its history.
--
-- KEYS  history
-- ARGV  apart_ms: between two samples, at least; keep: how many are kept
--
-- Counters are stored as totals, so that any two samples show what happened between them.
--
-- Returns 1 | 0: the newest sample is younger than that
local history = KEYS[1]
local apart_ms, keep = tonumber(ARGV[1]), ARGV[2]
local now = call.now_ms()
local last = redis.call('XREVRANGE', history, '+', '-', 'COUNT', 1)[1]
if last and now - tonumber(string.match(last[1], '%d+')) < apart_ms then return 0 end

local function sum(tally, name)
  local total = 0
  for field, number in pairs(tally) do
    if string.sub(field, 1, #name + 1) == name .. '|' then total = total + number end
  end
  return total
end

local tally, flat = {}, redis.call('HGETALL', P .. 'tally')
for i = 1, #flat, 2 do tally[flat[i]] = tonumber(flat[i + 1]) end
local times, timed = {}, redis.call('HGETALL', P .. 'timings')
for i = 1, #timed, 2 do
  local bound = string.match(timed[i], '^job|(.+)$')
  if bound then times[bound] = tonumber(timed[i + 1]) end
end
local oldest = redis.call('ZRANGE', P .. 'submit:waiting', 0, 0, 'WITHSCORES')[2]
redis.call('XADD', history, 'MAXLEN', '~', keep, '*',
  'waiting', redis.call('ZCARD', P .. 'submit:waiting'),
  'oldest_ms', oldest and math.max(0, now - oldest) or 0,
  'in_flight', redis.call('ZCARD', P .. 'submit:slots'),
  'owed', redis.call('ZCARD', P .. 'deliver:waiting') + redis.call('ZCARD', P .. 'deliver:due'),
  'job_times', cjson.encode(times),
  'accepted', tally.jobs_accepted or 0,
  'completed', tally['jobs_finished|completed'] or 0,
  'finished', sum(tally, 'jobs_finished'),
  'attempts', sum(tally, 'delivery_attempts'),
  'delivered', tally['delivery_attempts|succeeded'] or 0,
  'callbacks', sum(tally, 'callbacks'),
  'callback_lost', sum(tally, 'callback_lost'))
return 1
