-- money.lua: a shared part. What jobs cost: balances, budgets and the ledger. Amounts are micro-units.
--
-- {gw}:tenant:<t>:balance:<period>, a hash; period: 2026-12-01, 2026-12 or total, that in which the job was accepted. A
-- field that would be 0 is absent; `*|...` for the tenant, `<key id>|...` for one of its keys:
--   reserved   for submissions that may still be charged
--   charged    by the upstream; wasted: its part for jobs that did not complete
--   suspense   of finished jobs whose outcome is not known
--   told:<limit>   the highest threshold of a budget with this limit, in per cent, that was told
--   jobs, completed, failed, canceled   how many were accepted, and how they ended: only in the period of a day
--   unsaid     the part of charged that is an estimate, because the upstream said nothing; dearer, cheaper: how far
--              what it said was above and below the estimates: only in the period of a day
-- {gw}:ledger:<day>, a stream: every change of the first four, never changed itself. The balances can be computed from
--   it. kind: reserve | charge: `taken` of what was reserved | return | suspense: from reserved | adjust: a charge
--   that took `taken` out of suspense
-- {gw}:suspense, a zset: jobs with money in suspense, by time
--
-- Fields of a job: key, estimate: of one submission, priced, reserved, suspense, charged, charge_basis, paid: the tasks
-- that were charged, JSON; accepted_day: if it is not that of created_at; sent_again: the newest epoch when it was
-- decided to send it again; counted: until it ends, that it is in `jobs`. One submission reserves one estimate. What
-- is not provably unpaid at the end stays in suspense: who forgets an effect keeps money reserved, and never loses
-- it.
local money = {}

local SUSPENSE = P .. 'suspense'
local DAY_MS = 86400000

local function days_before(year)
  local past = year - 1
  local leap_days = math.floor(past / 4) - math.floor(past / 100) + math.floor(past / 400) - 477 -- those until 1970
  return (year - 1970) * 365 + leap_days
end

-- The day of the moment in UTC, such as 2026-12-01.
function money.day_of(ms)
  local number, known = math.floor(tonumber(ms) / DAY_MS), call.kept('days')
  if known[number] then return known[number] end
  local year = 1970 + math.floor(number / 365)
  while days_before(year) > number do year = year - 1 end
  local left, month = number - days_before(year), 1
  local february = days_before(year + 1) - days_before(year) - 337
  for _, length in ipairs({ 31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }) do
    if left < length then break end
    left, month = left - length, month + 1
  end
  known[number] = string.format('%04d-%02d-%02d', year, month, left + 1)
  return known[number]
end

-- The names of the periods to which the day belongs.
function money.periods_of(day)
  return { day = day, month = string.sub(day, 1, 7), total = 'total' }
end

-- The day to which all money of the job belongs.
function money.accepted_day(key)
  return record.get(key, 'accepted_day') or money.day_of(record.get(key, 'created_at') or call.now_ms())
end

function money.balance_key(tenant, period)
  return P .. 'tenant:' .. tenant .. ':balance:' .. period
end

local function number_of(key, field)
  return tonumber(record.get(key, field) or '0')
end

local function set_number(key, field, number)
  if number == 0 then record.unset(key, field) else record.set(key, { [field] = number }) end
end

local function add_to(key, period, field, by)
  local balance, owner = money.balance_key(record.get(key, 'tenant'), period), record.get(key, 'key')
  counters.add(balance, '*|' .. field, by, true)
  if owner then counters.add(balance, owner .. '|' .. field, by, true) end
end

-- Adds to these fields of the balances of all periods of the job.
local function change_balances(key, changes)
  for _, period in pairs(money.periods_of(money.accepted_day(key))) do
    for field, by in pairs(changes) do
      if by ~= 0 then add_to(key, period, field, by) end
    end
  end
end

function money.count_new_job(key)
  add_to(key, money.accepted_day(key), 'jobs', 1)
  record.set(key, { counted = 1 })
end

-- Counts how the job ended. A version without money did not count it when it accepted it.
function money.count_ended_job(key, state)
  if not record.get(key, 'counted') then return end
  add_to(key, money.accepted_day(key), state, 1)
  record.unset(key, 'counted')
end

-- Written at the end of the call, in this order.
local function enter(kind, key, amount, taken, why)
  local entries = call.kept('ledger')
  entries[#entries + 1] = { kind = kind, key = key, amount = amount, taken = taken, why = why }
end

-- A whole number as a text with all its digits.
function money.whole(number)
  return string.format('%.0f', number)
end

call.written_by(function()
  local ledger
  for _, entry in ipairs(call.kept('ledger')) do
    local key = entry.key
    ledger = ledger or P .. 'ledger:' .. money.day_of(call.now_ms())
    redis.call('XADD', ledger, '*', 'kind', entry.kind, 'job', string.match(key, '[^:]+$'),
      'tenant', record.get(key, 'tenant'), 'key', record.get(key, 'key') or '', 'amount', money.whole(entry.amount),
      'period', money.accepted_day(key), 'priced', record.get(key, 'priced') or '', 'why', entry.why,
      'taken', money.whole(entry.taken))
  end
  call.forget('ledger')
end)

-- Reserves one estimate. `why`: accepted, or who sends it again.
local function reserve(key, why)
  local estimate = number_of(key, 'estimate')
  if estimate == 0 then return end
  set_number(key, 'reserved', number_of(key, 'reserved') + estimate)
  change_balances(key, { reserved = estimate })
  enter('reserve', key, estimate, 0, why)
end

-- A new job, whose record is written: reserves its estimate, by the clock of the store.
function money.accept(key, day)
  if money.day_of(record.get(key, 'created_at')) ~= day then record.set(key, { accepted_day = day }) end
  money.count_new_job(key)
  reserve(key, 'accepted')
end

function money.reserve_again(key, effect)
  record.set(key, { sent_again = number_of(key, 'epoch') })
  reserve(key, effect.why)
end

local function set_suspense(key, amount, now)
  local name = string.match(key, '[^:]+$')
  if amount == 0 then redis.call('ZREM', SUSPENSE, name) else redis.call('ZADD', SUSPENSE, 'NX', now, name) end
  set_number(key, 'suspense', amount)
end

-- Charges the amount; `most` of what is reserved, else of what is in suspense, is no longer held for it.
local function charge(key, amount, most, why, good, now)
  local reserved, suspense = number_of(key, 'reserved'), number_of(key, 'suspense')
  local taken = math.min(most, reserved > 0 and reserved or suspense)
  local changes = { charged = amount }
  if record.get(key, 'state') ~= good then changes.wasted, why = amount, why .. ', wasted' end
  if reserved > 0 or suspense == 0 then
    set_number(key, 'reserved', reserved - taken)
    changes.reserved = -taken
    enter('charge', key, amount, taken, why)
  else
    set_suspense(key, suspense - taken, now)
    changes.suspense = -taken
    enter('adjust', key, amount, taken, why)
  end
  record.set(key, { charged = number_of(key, 'charged') + amount })
  change_balances(key, changes)
end

-- How far the amount is from the estimate, or that it is one: in the balance of the day.
local function count_drift(key, amount, estimate, basis)
  local field, by = 'unsaid', amount
  if basis == 'upstream' then
    by = math.abs(amount - (estimate or amount))
    field = estimate and amount > estimate and 'dearer' or 'cheaper'
  end
  if by ~= 0 then add_to(key, money.accepted_day(key), field, by) end
end

-- The submission whose answer, or whose callback, named the task; nil if neither is known.
local function epoch_of(key, task)
  for epoch = 1, number_of(key, 'epoch') do
    if record.get(key, 'answered:' .. epoch) == task then return epoch end
  end
  return record.get(key, 'task_id') == task and record.get(key, 'claimed_epoch') or nil
end

-- Charge: {costs = {{task, amount: what the upstream says it cost, or nil: the estimate, epoch: of its submission},
-- ...}, good: the state of a job whose money is not wasted, unless_watched}. Each task is charged once. "?<epoch>" is
-- the unnamed one of that submission. After an operator has decided, nothing more is charged; nor is it without a
-- price, if the upstream does not say what it cost.
function money.charge(key, effect, now)
  local estimate, tasks_paid = tonumber(record.get(key, 'estimate')), {}
  local paid = cjson.decode(record.get(key, 'paid') or '[]')
  for _, task in ipairs(paid) do tasks_paid[task] = true end
  for _, cost in ipairs(effect.costs) do
    local amount, basis = cost.amount or estimate, cost.amount and 'upstream' or 'estimate'
    local known = tasks_paid[cost.task] or tasks_paid['?' .. (cost.epoch or epoch_of(key, cost.task) or '')]
    if record.get(key, 'charge_basis') == 'operator' then
      if not known then log.tally('charges|decided') end
    elseif amount and not known then
      tasks_paid[cost.task] = true
      paid[#paid + 1] = cost.task
      charge(key, amount, estimate or 0, basis, effect.good, now)
      count_drift(key, amount, estimate, basis)
      if record.get(key, 'charge_basis') ~= 'estimate' then record.set(key, { charge_basis = basis }) end
      log.tally('charges|' .. basis)
    elseif not known then
      log.tally('charges|unpriced')
    end
  end
  if #paid > 0 then record.set(key, { paid = cjson.encode(paid) }) end
end

-- Whether a task of the job may have been charged of which no charge is known.
function money.is_in_suspense(key)
  return number_of(key, 'suspense') > 0
end

-- Whether the finished job may have a task, made by the submission or an earlier one, that is not charged: it has at
-- most one for each, else the holder of a token could name any number. Nothing is owed after an operator's decision.
function money.may_owe(key, epoch)
  if record.get(key, 'charge_basis') == 'operator' or not record.get(key, 'estimate') then return false end
  return #cjson.decode(record.get(key, 'paid') or '[]') < math.max(epoch, number_of(key, 'epoch'))
end

-- How many tasks, known or proven by a callback, are not charged yet.
local function tasks_in_doubt(key)
  local tasks_paid, doubt = {}, 0
  for _, task in ipairs(cjson.decode(record.get(key, 'paid') or '[]')) do tasks_paid[task] = true end
  local known = cjson.decode(record.get(key, 'earlier') or '[]')
  known[#known + 1] = record.get(key, 'task_id')
  if #known == 0 then return record.get(key, 'evidence') and 1 or 0 end
  for _, task in ipairs(known) do
    if not tasks_paid[task] then doubt = doubt + 1 end
  end
  return doubt
end

-- The job is final, and what is known to be charged is charged: returns what is left for a submission that provably was
-- not paid. The rest is in suspense, until evidence or an operator decides.
function money.finish(key, now)
  local reserved, estimate, epoch = number_of(key, 'reserved'), number_of(key, 'estimate'), number_of(key, 'epoch')
  if reserved == 0 then return end
  local back = 0
  -- released_at is that of the newest submission, which is the only one since it was decided to send it again
  if epoch == number_of(key, 'sent_again') or not record.get(key, 'released_at') then
    back = math.max(0, math.min(estimate, reserved - tasks_in_doubt(key) * estimate))
  end
  local rest = reserved - back
  record.unset(key, 'reserved')
  change_balances(key, { reserved = -reserved, suspense = rest })
  if back > 0 then enter('return', key, back, 0, 'unpaid') end
  if rest > 0 then
    enter('suspense', key, rest, 0, 'undecided')
    set_suspense(key, rest, now)
    log.tally('suspense|jobs')
  end
end

-- An operator decides what a finished job in suspense cost. Returns what was in suspense, or nil if nothing was.
function money.decide(key, amount, why, good, now)
  local suspense = number_of(key, 'suspense')
  if suspense == 0 then return nil end
  charge(key, amount, suspense, why, good, now)
  record.set(key, { charge_basis = 'operator' })
  log.tally('charges|operator')
  return suspense
end

return money
