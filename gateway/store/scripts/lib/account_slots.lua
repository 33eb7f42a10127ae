-- account_slots.lua: a shared part. Which upstream account a slot of the submit role belongs to, and
-- which account a job is bound to.
--
-- {gw}:submit:accounts          hash  ticket that holds a slot -> its account, if not `main`
-- {gw}:submit:account_inflight  hash  account other than `main` -> its slots that are taken
-- {gw}:submit:pinned            hash  ticket that waits for room in one account -> that account
-- {gw}:submit:pinned:<account>  zset  those tickets -> since when; they are in no lane, but count as waiting
-- {gw}:submit:refused           hash  ticket that an account refused, and that therefore waits longer -> account
-- All other slots belong to `main`. A job's `account` is that of its last dispatch (absent: `main`); `elsewhere` names
-- its tasks that belong to other accounts.
local account_slots = {}

local MAIN = 'main'
account_slots.MAIN = MAIN
local ACCOUNT_OF_SLOT, SLOTS_TAKEN = P .. 'submit:accounts', P .. 'submit:account_inflight'
account_slots.PINNED = P .. 'submit:pinned'
account_slots.REFUSED = P .. 'submit:refused'

function account_slots.key(account)
  return P .. 'account:' .. account
end

-- Ends the longer wait of jobs that the account refused. `now`: make them due at once, or nil.
function account_slots.end_longer_waits(account, now)
  local flat = redis.call('HGETALL', account_slots.REFUSED)
  for i = 1, #flat, 2 do
    if flat[i + 1] == account then
      if now then redis.call('ZADD', P .. 'submit:due', 'XX', 'LT', now, flat[i]) end
      redis.call('HDEL', account_slots.REFUSED, flat[i])
    end
  end
end

function account_slots.job_of(ticket)
  return P .. 'job:' .. string.sub(ticket, string.find(ticket, '|', 1, true) + 1)
end

function account_slots.account_of(key)
  return record.get(key, 'account') or MAIN
end

-- The ticket by which the job's tasks are polled: the lanes of the confirm role are the accounts.
function account_slots.confirm_ticket(name)
  return account_slots.account_of(P .. 'job:' .. name) .. '|' .. name
end

function account_slots.unassign(ticket)
  if role_facts.is_quiet('submit') then return end
  local account = redis.call('HGET', ACCOUNT_OF_SLOT, ticket)
  if not account then return end
  redis.call('HDEL', ACCOUNT_OF_SLOT, ticket)
  if redis.call('HINCRBY', SLOTS_TAKEN, account, -1) <= 0 then redis.call('HDEL', SLOTS_TAKEN, account) end
end

-- Moves the ticket's slot to the account.
function account_slots.assign(ticket, account)
  if account == MAIN and role_facts.is_quiet('submit') then return end
  local before = redis.call('HGET', ACCOUNT_OF_SLOT, ticket) or MAIN
  if before == account then return end
  account_slots.unassign(ticket)
  role_facts.note_change('submit')
  role_facts.note_unusual('submit')
  if account ~= MAIN then
    redis.call('HSET', ACCOUNT_OF_SLOT, ticket, account)
    redis.call('HINCRBY', SLOTS_TAKEN, account, 1)
  end
end

-- How many slots are taken of an account.
function account_slots.taken(account)
  if account ~= MAIN then return tonumber(redis.call('HGET', SLOTS_TAKEN, account) or '0') end
  local taken = redis.call('ZCARD', P .. 'submit:slots')
  if role_facts.is_quiet('submit') then return taken end
  for _, others in ipairs(redis.call('HVALS', SLOTS_TAKEN)) do taken = taken - others end
  return taken
end

function account_slots.write(key, account)
  if account == MAIN then record.unset(key, 'account') else record.set(key, { account = account }) end
end

-- The account of the last dispatch of the ticket's job, and whether the job is bound to it, because money may have been
-- spent there (as in `Job.spend` of gateway/jobs.py).
function account_slots.pinned_to(ticket)
  local job = account_slots.job_of(ticket)
  local task, earlier, evidence = record.get(job, 'task_id'), record.get(job, 'earlier'), record.get(job, 'evidence')
  local resubmits = tonumber(record.get(job, 'resubmits') or '0')
  return account_slots.account_of(job), record.get(job, 'released_at') or task or earlier or evidence or resubmits > 0
end

-- The ticket waits for room in that account; the tickets behind it in its lane do not.
function account_slots.pin(ticket, account, now)
  redis.call('HSET', account_slots.PINNED, ticket, account)
  role_facts.note_unusual('submit')
  redis.call('ZADD', account_slots.PINNED .. ':' .. account, 'NX', now, ticket)
end

function account_slots.unpin(ticket)
  if role_facts.is_quiet('submit') then return end
  local account = redis.call('HGET', account_slots.PINNED, ticket)
  if not account then return end
  redis.call('HDEL', account_slots.PINNED, ticket)
  redis.call('ZREM', account_slots.PINNED .. ':' .. account, ticket)
end

-- Stores that the task belongs to the account, which may differ from that of the job's last dispatch.
function account_slots.note_task(key, task, account)
  local known = record.get(key, 'elsewhere')
  local others = cjson.decode(known or '{}')
  if (others[task] or account_slots.account_of(key)) == account then return end
  others[task] = account
  record.set(key, { elsewhere = cjson.encode(others) })
end

-- The job's newest submission turns out to belong to another account. Its earlier tasks stay with the previous one.
function account_slots.move_job(key, account)
  local before = account_slots.account_of(key)
  if before == account then return end
  local newest, earlier = record.get(key, 'task_id'), cjson.decode(record.get(key, 'earlier') or '[]')
  local others = cjson.decode(record.get(key, 'elsewhere') or '{}')
  if newest then earlier[#earlier + 1] = newest end
  for _, task in ipairs(earlier) do others[task] = others[task] or before end
  if next(others) then record.set(key, { elsewhere = cjson.encode(others) }) end
  account_slots.write(key, account)
end

return account_slots
