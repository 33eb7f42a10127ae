-- quotas.lua: a shared part. What a tenant has stored, and how fast it may ask.
--
-- {gw}:tenant:<t>:usage, a hash; a field that would be 0 is absent:
--   bytes                   what Redis stores because of the tenant: endpoints, and jobs with their history, events,
--                           deliveries and logs
--   media                   bytes of inline media on disk, of its unfinished jobs
--   uploads, upload_count   bytes and number of its uploads: uploads.lua
--   results                 bytes of the copies of its results
--   archived                bytes of its archived jobs in the media store
--   unfinished              how many of its jobs are not finished
--   event_bytes             what one event of each of those may take
--   events_per_job, deliveries_per_job   how many one job causes because of the endpoints, beyond its final event
-- A job's record has its part of `bytes`, and while it is not finished its parts of `media` and `event_bytes`. An
-- endpoint's record has its part of `bytes`. Only new work is refused because of these figures: what finishes a job is
-- always stored, and was expected when the job was accepted.
-- {gw}:tenant:<t>:tat, and :tat:<kind>: when the next job, or the next request of that kind, is due (GCRA)
local quotas = {}

quotas.DELIVERY_BYTES = 2048 -- of a delivery and its places in indexes, with a short log
local SHORT_LOG = 512 -- bytes of a log that DELIVERY_BYTES includes
quotas.EVENT_BYTES = 256 -- of an event without its body
local LARGE = { -- fields that may be large; a new job counts a constant for all others
  cancel_refused = true, claimed = true, error = true, late = true, log = true, metadata = true, output = true,
  warnings = true,
}

function quotas.usage_key(tenant)
  return P .. 'tenant:' .. tenant .. ':usage'
end

function quotas.add_usage(tenant, field, by)
  counters.add(quotas.usage_key(tenant), field, by, true)
end

-- Counts bytes that are stored because of the job; freed ones if negative. `job`: its record.
function quotas.count_bytes(job, bytes)
  local counted = call.kept('bytes')
  counted[job] = (counted[job] or 0) + bytes
end

-- At the end of every call; a call that may fail for one of several jobs does it after each.
function quotas.write_counted_bytes()
  local counted = call.kept('bytes')
  call.forget('bytes')
  for job, bytes in pairs(counted) do
    local tenant = bytes ~= 0 and record.get(job, 'tenant')
    if tenant then
      record.add(job, 'bytes', bytes)
      quotas.add_usage(tenant, 'bytes', bytes)
    end
  end
end

call.written_by(quotas.write_counted_bytes)

-- Bytes that count for a field that may be large.
function quotas.counted_of(field, length)
  return field == 'log' and math.max(0, length - SHORT_LOG) or length
end

-- How much longer the record's values get if `fields` are set and those in `gone` are removed.
function quotas.growth_of(key, fields, gone)
  local grown = 0
  for field, value in pairs(fields) do
    if LARGE[field] then
      grown = grown + quotas.counted_of(field, #value)
        - quotas.counted_of(field, #(record.get(key, field) or ''))
    end
  end
  for _, field in ipairs(gone) do
    if LARGE[field] then grown = grown - quotas.counted_of(field, #(record.get(key, field) or '')) end
  end
  return grown
end

-- Bytes that Redis stores because of the tenant once all its jobs are finished and delivered. `added` = {bytes, jobs,
-- event_bytes}: what would be added; `caused`: as of `quotas.caused_by`, if not as it is.
function quotas.expected_bytes(tenant, added, caused)
  local usage = quotas.usage_key(tenant)
  counters.read(usage, 'bytes', 'unfinished', 'event_bytes', 'events_per_job', 'deliveries_per_job', 'media')
  local bytes, jobs, event_bytes = counters.get(usage, 'bytes'), counters.get(usage, 'unfinished'),
    counters.get(usage, 'event_bytes')
  local events, deliveries = counters.get(usage, 'events_per_job'), counters.get(usage, 'deliveries_per_job')
  if caused then events, deliveries = caused.events_per_job, caused.deliveries_per_job end
  bytes, jobs, event_bytes = bytes + added.bytes, jobs + (added.jobs or 0), event_bytes + (added.event_bytes or 0)
  return bytes + event_bytes * (1 + events) + jobs * deliveries * quotas.DELIVERY_BYTES
end

-- Counts a new job, whose record has its parts already. `added`: as of `quotas.expected_bytes`; `media`: bytes on disk.
function quotas.count_new_job(tenant, added, media)
  quotas.add_usage(tenant, 'bytes', added.bytes)
  quotas.add_usage(tenant, 'media', media)
  quotas.add_usage(tenant, 'unfinished', 1)
  quotas.add_usage(tenant, 'event_bytes', added.event_bytes)
end

-- The job is finished: its media are deleted, and its events are counted as they are stored.
function quotas.count_finished_job(job)
  local event_bytes, media = record.get(job, 'event_bytes'), record.get(job, 'media')
  local tenant = record.get(job, 'tenant')
  if not event_bytes then return end -- counted already, or Redis lost its record
  record.unset(job, 'event_bytes', 'media')
  quotas.add_usage(tenant, 'unfinished', -1)
  quotas.add_usage(tenant, 'event_bytes', -event_bytes)
  quotas.add_usage(tenant, 'media', -(media or 0))
end

-- How many events and deliveries one job causes by these wishes of endpoints, beyond its final event. `steps`: types
-- of events that are not final.
function quotas.caused_by(wishes, steps)
  local deliveries, events, wanted = 0, 0, {}
  for _, wish in ipairs(wishes) do
    local all = false
    local named = {}
    for _, kind in ipairs(wish.events) do
      named[kind] = true
      all = all or kind == '*'
    end
    for _, step in ipairs(steps) do
      if all or named[step] then
        deliveries, wanted[step], named[step] = deliveries + 1, true, nil
      end
    end
    if next(named) then deliveries = deliveries + 1 end
  end
  for _ in pairs(wanted) do events = events + 1 end
  return { events_per_job = events, deliveries_per_job = deliveries }
end

-- Stores what one job of the tenant causes.
function quotas.note_caused(tenant, caused)
  for field, number in pairs(caused) do
    if number > 0 then
      redis.call('HSET', quotas.usage_key(tenant), field, number)
    else
      redis.call('HDEL', quotas.usage_key(tenant), field)
    end
  end
end

-- Whether one more request is allowed (GCRA), and the allowance afterwards, as JSON: {kind, rate, burst, left,
-- reset_ms: until all are allowed, wait_ms: until the next}. "" without a rate limit. `kind`: of the requests, each
-- counted apart; `check_only`: it is not counted.
function quotas.meter_rate(tenant, kind, rate, burst, now, check_only)
  rate, burst = tonumber(rate), tonumber(burst)
  if rate <= 0 then return true, '' end
  local key, one = P .. 'tenant:' .. tenant .. ':tat', 1000 / rate
  if kind ~= 'jobs' then key = key .. ':' .. kind end
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local passes = tat + one - now <= burst * one + 0.001
  if passes and not check_only then
    tat = tat + one
    redis.call('SET', key, string.format('%.3f', tat), 'PX', math.ceil(tat - now) + 1000)
  end
  local left = math.max(0, math.floor(burst - (tat - now) / one + 0.001))
  local wait = math.max(0, math.ceil(tat + one - now - burst * one))
  local allowance = {
    kind = kind, rate = rate, burst = burst, left = left, reset_ms = math.ceil(tat - now), wait_ms = wait,
  }
  return passes, cjson.encode(allowance)
end

return quotas
