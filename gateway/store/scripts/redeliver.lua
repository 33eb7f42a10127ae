-- redeliver: begins a new round of attempts of deliveries that are finished or wait for their next attempt.
--
-- KEYS  any key of ours
-- ARGV  order, JSON: {transition: as of transitions.lua, without a name; asked, trigger, deliveries = {{name, ticket,
--       endpoint = its id or nil}, ...}, read: whether to return the first record, audit: as of `write_audit`, if an
--       operator redelivers them}
--
-- `asked`: a unique id of the request; repeating it changes nothing. While an attempt is in progress no round begins,
-- because the result of the attempt would also end the new round.
--
-- Returns {outcomes, record as a flat list or {}}; an outcome for each delivery: "begun" | "missing" | "deleted" (its
-- endpoint) | "disabled" | "under_way"
local order = cjson.decode(ARGV[1])
local now, begun, outcomes = now_ms(), 0, {}

local function hindrance(delivery, state)
  if not state then return 'missing' end
  if delivery.endpoint then
    local endpoint = P .. 'endpoint:' .. delivery.endpoint
    if redis.call('EXISTS', endpoint) == 0 then return 'deleted' end
    if redis.call('HEXISTS', endpoint, 'disabled_at') == 1 then return 'disabled' end
  end
  local pending = order.transition.moves[state] == state
  if pending and redis.call('ZSCORE', P .. 'deliver:slots', delivery.ticket) then return 'under_way' end
end

local function begin_round(delivery)
  local key, ticket = P .. 'delivery:' .. delivery.name, delivery.ticket
  local found = redis.call('HMGET', key, 'state', 'attempts', 'asked')
  local state, attempts, asked = found[1], found[2], found[3]
  if state and asked == order.asked then return 'begun' end
  local hindered = hindrance(delivery, state)
  if hindered then return hindered end
  local round = { since = attempts or 0, round_at = now, trigger = order.trigger, asked = order.asked }
  order.transition.name = delivery.name
  order.transition.effects.set_fields = round
  move(key, order.transition, now)
  finish_ticket('deliver', ticket) -- removed from wherever it waits, to go before automatic attempts
  enter_lane('deliver', ticket, now, true)
  -- the caller expects that the endpoint works again: a paused lane is tried at once
  local lane = lane_of(ticket)
  local till = redis.call('ZSCORE', P .. 'deliver:parked', lane)
  if till and till ~= 'inf' then redis.call('ZADD', P .. 'deliver:parked', now, lane) end
  begun = begun + 1
  return 'begun'
end

for at, delivery in ipairs(order.deliveries) do outcomes[at] = begin_round(delivery) end
write_counted_bytes()
if begun > 0 then
  if order.audit then write_audit(now, order.audit, 'number', begun) end
  dispatch_all(order.transition.dispatch, now)
end
return { outcomes, order.read and redis.call('HGETALL', P .. 'delivery:' .. order.deliveries[1].name) or {} }
