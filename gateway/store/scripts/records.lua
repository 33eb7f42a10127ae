-- records.lua: a part, put before every script when it is loaded, after lanes.lua. Records and their states.
-- No state is known here by name: gateway/lifecycle.py sends the rows of the event along.

-- Counts by state and, for jobs, the index by tenant and state move with the record.
local function count(kind, state, by)
  redis.call('HINCRBY', P .. 'counts', kind .. ':' .. state, by)
end

local function index(kind, name, tenant, state, from)
  if kind ~= 'job' then return end
  local jobs = P .. 'tenant:' .. tenant .. ':jobs:'
  if from then redis.call('ZREM', jobs .. from, name) end
  redis.call('ZADD', jobs .. state, 0, name) -- equal scores: ordered by id, which is ordered by time
end

local function note(key, now, ...)
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', 1000, '*', 'at', now, ...)
end

local function write(key, fields)
  local flat = {}
  for field, value in pairs(fields or {}) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then redis.call('HSET', key, unpack(flat)) end
end

-- order: {kind, name, event, moves = {from = to}, final = {state = true}, expect = {field = value or ""},
--         set = {}, set_once = {}, add = {field = by}, unset = {field, ...}, at}
-- Returns "moved" | "repeated" | "absorbed" (final already: nothing is written) | "fenced" | "refused" | "missing",
-- then the state before and after.
local function move(key, order, now)
  local found = redis.call('HMGET', key, 'state', 'tenant')
  local state, tenant = found[1], found[2]
  if not state then return { 'missing', '', '' } end
  for field, value in pairs(order.expect or {}) do
    if (redis.call('HGET', key, field) or '') ~= value then return { 'fenced', state, state } end
  end
  local target = order.moves[state]
  if not target then return { 'refused', state, state } end
  if target == state and order.final[state] then return { 'absorbed', state, state } end
  write(key, order.set)
  for field, value in pairs(order.set_once or {}) do redis.call('HSETNX', key, field, value) end
  for field, by in pairs(order.add or {}) do redis.call('HINCRBY', key, field, by) end
  for _, field in ipairs(order.unset or {}) do redis.call('HDEL', key, field) end
  if target ~= state then
    redis.call('HSET', key, 'state', target, target .. '_at', order.at or now)
    count(order.kind, state, -1)
    count(order.kind, target, 1)
    index(order.kind, order.name, tenant, target, state)
    if order.final[target] then redis.call('PUBLISH', P .. 'finals', order.name) end
  end
  if order.kind == 'job' then note(key, now, 'event', order.event, 'from', state, 'to', target) end
  return { target == state and 'repeated' or 'moved', state, target }
end

-- owed: {id, type, job_id, tenant, at, callback_url, callback_lane, pending, held}. Makes the event and one
-- delivery for each endpoint that wants it, and one for the job's own callback URL.
local function make_deliveries(owed, body)
  local stem = string.sub(owed.id, 5)
  redis.call('HSET', P .. 'event:' .. owed.id, 'type', owed.type, 'job_id', owed.job_id, 'tenant', owed.tenant,
    'created_at', owed.at, 'body', body)
  local function add(name, lane, state, ...)
    local id = 'dlv_' .. stem .. '_' .. name
    redis.call('HSET', P .. 'delivery:' .. id, 'state', state, 'event_id', owed.id, 'event_type', owed.type,
      'tenant', owed.tenant, 'job_id', owed.job_id, 'lane', lane, 'created_at', owed.at, ...)
    redis.call('SADD', P .. 'job:' .. owed.job_id .. ':deliveries', id)
    count('delivery', state, 1)
    if state == owed.pending then enter('deliver', lane .. '|' .. id, owed.at) end
  end
  local endpoints = redis.call('HGETALL', P .. 'tenant:' .. owed.tenant .. ':endpoints')
  for i = 1, #endpoints, 2 do
    local wish = cjson.decode(endpoints[i + 1])
    local wanted = #wish.events == 0
    for _, kind in ipairs(wish.events) do wanted = wanted or kind == owed.type end
    if wanted then
      local state = wish.disabled and owed.held or owed.pending
      add(string.sub(endpoints[i], 4), endpoints[i], state, 'endpoint_id', endpoints[i])
    end
  end
  if owed.callback_url then add('callback', owed.callback_lane, owed.pending, 'url', owed.callback_url) end
end
