-- redeliver: begins a new round of attempts of deliveries that are finished or wait for their next attempt.
--
-- KEYS  any key of ours
-- ARGV  args, JSON: {transition: as of transitions.lua, without a name; asked, trigger, deliveries = {{name, ticket,
--       endpoint = its id or nil}, ...}, read: whether to return the first record, audit: as of `log.write_audit`,
--       if an operator redelivers them}
--
-- `asked`: a unique id of the request; repeating it changes nothing. While an attempt is in progress no round begins,
-- because the result of the attempt would also end the new round.
--
-- Returns {outcomes, record as a flat list or {}}; an outcome for each delivery: "begun" | "missing" | "deleted" (its
-- endpoint) | "disabled" | "under_way"
local args = cjson.decode(ARGV[1])
local now, begun, outcomes = call.now_ms(), 0, {}

local function hindrance(delivery, state)
  if not state then return 'missing' end
  if delivery.endpoint then
    local endpoint = P .. 'endpoint:' .. delivery.endpoint
    if redis.call('EXISTS', endpoint) == 0 then return 'deleted' end
    if redis.call('HEXISTS', endpoint, 'disabled_at') == 1 then return 'disabled' end
  end
  local pending = args.transition.moves[state] == state
  if pending and redis.call('ZSCORE', P .. 'deliver:slots', delivery.ticket) then return 'under_way' end
end

local function begin_round(delivery)
  local key, ticket = P .. 'delivery:' .. delivery.name, delivery.ticket
  local state, attempts, asked = record.get(key, 'state'), record.get(key, 'attempts'), record.get(key, 'asked')
  if state and asked == args.asked then return 'begun' end
  local hindered = hindrance(delivery, state)
  if hindered then return hindered end
  local round = { since = attempts or 0, round_at = now, trigger = args.trigger, asked = args.asked }
  args.transition.name = delivery.name
  args.transition.effects.set_fields = round
  transitions.change_state(key, args.transition, now)
  lanes.finish('deliver', ticket) -- removed from wherever it waits, to go before automatic attempts
  lanes.enter('deliver', ticket, now, true)
  -- the caller expects that the endpoint works again: a paused lane is tried at once
  local lane = lanes.lane_of(ticket)
  local till = redis.call('ZSCORE', P .. 'deliver:parked', lane)
  if till and till ~= 'inf' then redis.call('ZADD', P .. 'deliver:parked', now, lane) end
  begun = begun + 1
  return 'begun'
end

for at, delivery in ipairs(args.deliveries) do outcomes[at] = begin_round(delivery) end
if begun > 0 then
  if args.audit then log.write_audit(now, args.audit, 'number', begun) end
  dispatching.tick(args.transition.dispatch, now)
end
return { outcomes, args.read and record.all(P .. 'delivery:' .. args.deliveries[1].name) or {} }
