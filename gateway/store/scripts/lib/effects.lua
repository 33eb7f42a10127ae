-- effects.lua: a shared part. The effects of a transition. Each effect has a class in
-- gateway/store/effects.py or delivery_effects.py, which explains it; its function, here or in another part, takes the
-- same fields.
--
-- `effects.apply` always applies them in this order:
--
--   before the move    claim, use_resubmission            may stop the transition
--                      reserve_again
--   with the move      set_fields, write_log             `transitions.change_state`, and so the next four
--                      add_to_fields, unset_fields
--                      claim, record_history
--   after the move     bind_task                          also if the record is final but watched
--                      add_late_result                    if the record is final, once
--                      charge                             the same, each task once; or with the move to a final state
--                      give_back_slot                     if it moved or repeated, and so the next two
--                      hold_slot
--                      end_hold_after
--                      poll_after                         also if a late task was bound
--                      finish                             unless it was refused and is not final
--                      copy_assets                        if it moved, or the result is late
--                      owe_event                          if it moved, and so the next three
--                      choose_task
--                      learn_duration
--                      use_resubmission, reserve_again
--                      judge_lane                         always, and so the next
--                      judge_account
--                      tally
--                      record_audit                       if it moved or repeated
--
-- Finally, work that may run now is dispatched: by `effects.apply_transition`, or by a claim for all its jobs together.
-- A fenced transition applies nothing.
local effects = {}

-- GiveBackSlot: {role, ticket, after_ms, refused_by: the account that refused it, or nil}
local function give_back_slot(effect, now)
  lanes.give_back(effect.role, effect.ticket, now, now + effect.after_ms)
  if effect.refused_by then redis.call('HSET', account_slots.REFUSED, effect.ticket, effect.refused_by) end
end

-- HoldSlot: {role, ticket, lease_ms, or nil: until it is given back}
local function hold_slot(effect, now)
  if effect.lease_ms then
    lanes.extend_lease(effect.role, effect.ticket, effect.lease_ms, now)
  else
    lanes.hold_until_given_back(effect.role, effect.ticket)
  end
end

-- EndHoldAfter: {role, ticket, after_ms}
local function end_hold_after(effect, now)
  lanes.end_hold_at(effect.role, effect.ticket, now + effect.after_ms)
end

-- PollAfter: {role, ticket, after_ms, kind: of video, deviations: from its mean duration, or nil,
-- at_once_if_called_back}
local function poll_after(key, effect, now)
  local wait = effect.after_ms
  if effect.deviations then wait = records.typical_duration(effect.kind, effect.deviations, wait) end
  if effect.at_once_if_called_back and record.get(key, 'called_back_at') then wait = 0 end
  lanes.set_due(effect.role, effect.ticket, now + wait, now)
end

-- Finish: {{role, ticket}, ...}
local function finish(tickets)
  for _, done in ipairs(tickets) do lanes.finish(done.role, done.ticket) end
end

-- UseResubmission: {tenant, day, most}. Removes the counts of earlier days.
local function resubmits_key(effect)
  return P .. 'tenant:' .. effect.tenant .. ':resubmits'
end

local function are_used_up(effect)
  return tonumber(redis.call('HGET', resubmits_key(effect), effect.day) or '0') >= effect.most
end

local function use_resubmission(effect)
  local key = resubmits_key(effect)
  for _, day in ipairs(redis.call('HKEYS', key)) do
    if day ~= effect.day then redis.call('HDEL', key, day) end
  end
  redis.call('HINCRBY', key, effect.day, 1)
end

-- AddLateResult: {fields = {}, event: as of `records.owe_event`}. Returns whether it is the first.
local function add_late_result(key, effect, body, now)
  if redis.call('HSETNX', key, 'late_at', now) == 0 then return false end
  quotas.count_bytes(key, quotas.growth_of(key, effect.fields, {}))
  record.set(key, effect.fields)
  records.owe_event(effect.event, body)
  return true
end

-- Tally: {name, ...}
local function add_to_tally(names)
  for _, name in ipairs(names) do log.tally(name) end
end

-- Checks before the move. Returns the result if nothing more must be done, else nil.
local function settled_already(key, guard, wanted, now)
  local holder = guard.holder
  if holder and not lanes.is_newest_dispatch(holder.role, holder.ticket, holder.number) then
    return { outcome = 'stale', before = '', after = '' }
  end
  if wanted.claim and record.get(key, 'run') == wanted.claim.run then -- a repeat of the same claim
    local state = record.get(key, 'state')
    return { outcome = 'moved', before = state, after = state }
  end
  if wanted.claim and primary.is_held(wanted.claim.failover, now) then
    return { outcome = 'on_hold', before = '', after = '' }
  end
  if (wanted.use_resubmission and are_used_up(wanted.use_resubmission))
    or (wanted.reserve_again and not budgets.allow_again(key, wanted.reserve_again)) then
    return { outcome = 'over_budget', before = '', after = '' }
  end
end

-- The move and all its effects, but no dispatch. `body`: of the event. Returns the result of
-- `transitions.change_state`; outcome also "stale": not the holder | "late": stored beside a final record |
-- "over_budget" | "on_hold": nothing may be submitted now.
function effects.apply(key, transition, body, now)
  local wanted = transition.effects
  local result = settled_already(key, transition.guard, wanted, now)
  if result then return result end
  result = transitions.change_state(key, transition, now)
  local outcome = result.outcome
  if outcome == 'fenced' then return result end
  local moved, final = outcome == 'moved', outcome == 'absorbed'
  local went_on = moved or outcome == 'repeated'

  if wanted.bind_task and (went_on or final and tasks.is_watched(key, now)) then
    tasks.bind(key, transition.name, wanted.bind_task, now)
    if final then result.outcome = 'late' end
  end
  if wanted.add_late_result and final and add_late_result(key, wanted.add_late_result, body, now) then
    result.outcome = 'late'
  end
  if wanted.charge and final and not (wanted.charge.unless_watched and tasks.is_watched(key, now)) then
    money.charge(key, wanted.charge, now)
  end
  if went_on then
    if wanted.give_back_slot then give_back_slot(wanted.give_back_slot, now) end
    if wanted.hold_slot then hold_slot(wanted.hold_slot, now) end
    if wanted.end_hold_after then end_hold_after(wanted.end_hold_after, now) end
  end
  if wanted.poll_after and (went_on or result.outcome == 'late') then poll_after(key, wanted.poll_after, now) end
  if wanted.finish and (outcome ~= 'refused' or transition.final[result.after]) then finish(wanted.finish) end
  if wanted.copy_assets and (moved or result.outcome == 'late') then
    assets.copy(key, transition.name, wanted.copy_assets, now)
  end
  if moved then
    if wanted.owe_event then records.owe_event(wanted.owe_event, body) end
    if wanted.choose_task then tasks.choose(key, wanted.choose_task) end
    if wanted.learn_duration then records.learn_duration(wanted.learn_duration) end
    if wanted.use_resubmission then use_resubmission(wanted.use_resubmission) end
    if wanted.reserve_again then money.reserve_again(key, wanted.reserve_again) end
  end
  if wanted.judge_lane then circuit_breaker.judge(wanted.judge_lane, transition.dispatch.deliver.health, now) end
  if wanted.judge_account then account_health.judge(key, wanted.judge_account, transition.dispatch.submit, now) end
  if wanted.tally then add_to_tally(wanted.tally) end
  if wanted.record_audit and went_on then log.write_audit(now, wanted.record_audit) end
  return result
end

-- The same for the only transition of a call.
function effects.apply_transition(key, transition, body, now)
  local result = effects.apply(key, transition, body, now)
  if result.outcome == 'fenced' or result.outcome == 'stale' then return result end
  dispatching.dispatch_changed(transition.dispatch, now)
  return result
end

return effects
