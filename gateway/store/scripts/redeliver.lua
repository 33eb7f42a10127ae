-- redeliver: begins a new round of attempts of a delivery that is finished or waits for its next attempt.
--
-- KEYS  delivery: its record
-- ARGV  order, JSON: {transition: as of transitions.lua, asked, endpoint = key or nil, ticket, trigger}
--
-- `asked`: a unique id of the request; repeating it changes nothing. While an attempt is in progress no round begins,
-- because the result of the attempt would also end the new round.
--
-- Returns {"begun", record as a flat list}, or {"missing" | "deleted" (its endpoint) | "disabled" | "under_way"}
local key = KEYS[1]
local order = cjson.decode(ARGV[1])
local now, ticket = now_ms(), order.ticket
local found = redis.call('HMGET', key, 'state', 'attempts', 'asked')
local state, attempts, asked = found[1], found[2], found[3]
if not state then return { 'missing' } end
if asked ~= order.asked then
  if order.endpoint then
    if redis.call('EXISTS', order.endpoint) == 0 then return { 'deleted' } end
    if redis.call('HEXISTS', order.endpoint, 'disabled_at') == 1 then return { 'disabled' } end
  end
  local pending = order.transition.moves[state] == state
  if pending and redis.call('ZSCORE', P .. 'deliver:slots', ticket) then return { 'under_way' } end
  local round = { since = attempts or 0, round_at = now, trigger = order.trigger, asked = order.asked }
  order.transition.effects.set_fields = round
  move(key, order.transition, now)
  finish_ticket('deliver', ticket) -- removed from wherever it waits, to go before automatic attempts
  enter_lane('deliver', ticket, now, true)
  -- the caller expects that the endpoint works again: a paused lane is tried at once
  local lane = lane_of(ticket)
  local till = redis.call('ZSCORE', P .. 'deliver:parked', lane)
  if till and till ~= 'inf' then redis.call('ZADD', P .. 'deliver:parked', now, lane) end
  dispatch_all(order.transition.dispatch, now)
end
return { 'begun', redis.call('HGETALL', key) }
