-- budgets.lua: a shared part. How much money a tenant, or one of its keys, may spend in a day, a month, or at all.
--
-- Fields of a tenant's settings: budget_day, budget_month, budget_total, and the same with `:<key id>` for one key;
-- each "<limit>|hard" or "<limit>|soft", in micro-units. A hard budget refuses what it does not allow.
local budgets = {}

local THRESHOLDS = { 100, 80, 50 } -- per cent
local PERIODS = { 'day', 'month', 'total' }

-- The fields of a tenant's settings with the budgets of the tenant and of the key, in a fixed order.
function budgets.fields(owner)
  local fields = {}
  for _, period in ipairs(PERIODS) do fields[#fields + 1] = 'budget_' .. period end
  for at = 1, owner and #PERIODS or 0 do fields[#fields + 1] = fields[at] .. ':' .. owner end
  return fields
end

-- The budgets in the values of those fields: {{whose = "*" or a key, period, name: of the period, limit, is_hard}, ...}
function budgets.load(values, owner, day)
  local found, names = {}, money.periods_of(day)
  for at, text in ipairs(values) do
    if text then
      local limit, kind = string.match(text, '^(%d+)|(%a+)$')
      local period = PERIODS[(at - 1) % #PERIODS + 1]
      local budget = { whose = at > #PERIODS and owner or '*', period = period, name = names[period] }
      budget.limit, budget.is_hard = tonumber(limit), kind == 'hard'
      found[#found + 1] = budget
    end
  end
  return found
end

-- Where the balance has the highest threshold that was told. Another limit has other thresholds.
local function told_field(budget)
  return budget.whose .. '|told:' .. money.whole(budget.limit)
end

-- Reads all that the budgets, and a reservation that they allow, need of the balances: one command for each period.
local function read_balances(tenant, owner, limits)
  local of_period = {}
  for _, budget in ipairs(limits) do
    local fields, stem = of_period[budget.name], budget.whose .. '|'
    if not fields then
      fields = { '*|reserved' }
      if budget.period == 'day' then fields[#fields + 1] = '*|jobs' end
      for at = 1, owner and #fields or 0 do fields[#fields + 1] = owner .. string.sub(fields[at], 2) end
      of_period[budget.name] = fields
    end
    fields[#fields + 1] = stem .. 'charged'
    fields[#fields + 1] = stem .. 'suspense'
    fields[#fields + 1] = told_field(budget)
  end
  for name, fields in pairs(of_period) do counters.read(money.balance_key(tenant, name), unpack(fields)) end
end

-- The first hard budget that does not allow one estimate more, with what is spent and reserved, or nil. `estimate`: nil
-- if no price is known.
function budgets.first_exceeded(tenant, owner, limits, estimate)
  local exceeded
  read_balances(tenant, owner, limits)
  for _, budget in ipairs(limits) do
    local balance, stem = money.balance_key(tenant, budget.name), budget.whose .. '|'
    budget.spent = counters.get(balance, stem .. 'charged')
    budget.reserved = counters.get(balance, stem .. 'reserved') + counters.get(balance, stem .. 'suspense')
    local fits = estimate and budget.spent + budget.reserved + estimate <= budget.limit
    if budget.is_hard and not fits and not exceeded then exceeded = budget end
  end
  return exceeded
end

-- Tells operators which thresholds `estimate` more reaches, each once in a period and for a limit; 0 has none. Returns
-- them: {{budget: its name,
-- period: its name, limit, used, percent, hard}, ...}
function budgets.note_thresholds(tenant, limits, estimate, now)
  local notices = {}
  for _, budget in ipairs(limits) do
    local balance, field, reached = money.balance_key(tenant, budget.name), told_field(budget), 0
    local used = budget.spent + budget.reserved + estimate
    for _, threshold in ipairs(THRESHOLDS) do
      if budget.limit > 0 and used * 100 >= budget.limit * threshold then
        reached = threshold
        break
      end
    end
    local told = counters.get(balance, field)
    if reached > told then
      counters.add(balance, field, reached - told, true)
      local name, limit = budgets.name_of(budget), money.whole(budget.limit)
      log.tally('budget_thresholds|' .. reached)
      log.ops_event(now, 'budget_threshold', 'tenant', tenant, 'budget', name, 'key', budget.whose, 'period',
        budget.name, 'percent', reached, 'used', money.whole(used), 'limit', limit)
      notices[#notices + 1] = { budget = name, period = budget.name, limit = limit, used = money.whole(used),
        percent = reached, hard = budget.is_hard }
    end
  end
  return notices
end

-- Such as "tenant day" or "key total".
function budgets.name_of(budget)
  return (budget.whose == '*' and 'tenant' or 'key') .. ' ' .. budget.period
end

-- What accept.lua answers to a job that this hard budget does not allow.
function budgets.refusal(tenant, budget, estimate, check_only, now)
  local name = budgets.name_of(budget)
  log.tally('budget_refusals|' .. name)
  if not estimate then return { 'price_unknown', name } end
  if not check_only then budgets.note_thresholds(tenant, { budget }, 0, now) end
  return { 'over_budget', name, money.whole(budget.limit), money.whole(budget.spent), money.whole(budget.reserved),
    money.whole(estimate) }
end

-- ReserveAgain: {why, within_budget}. Whether the budgets allow to send the job again.
function budgets.allow_again(key, effect)
  local tenant, owner = record.get(key, 'tenant'), record.get(key, 'key')
  if not effect.within_budget or not tenant then return true end
  local values = redis.call('HMGET', P .. 'tenant:' .. tenant .. ':settings', unpack(budgets.fields(owner)))
  local limits = budgets.load(values, owner, money.accepted_day(key))
  return not budgets.first_exceeded(tenant, owner, limits, tonumber(record.get(key, 'estimate')))
end

return budgets
