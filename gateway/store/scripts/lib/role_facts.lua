-- role_facts.lua: a shared part. What one call knows of a role, so that it asks Redis once or not at all.
--
-- Whoever adds something that these facts leave out says so: `note_unusual`, `note_waiting`, `note_change`.
local role_facts = {}

-- Keys of a role that exist only while some lane is not served in the usual way: lanes.lua explains them.
local SIDELINED = {
  ':caps', ':probing', ':weights', ':blocked', ':relieved', ':retrying', ':leant', ':pinned', ':idle', ':parked',
}
-- Others that exist only at times. In the submit role: of account_slots.lua, retries wait, or the service is paused.
local AT_TIMES = { ':again' }
local OF_SUBMIT = { P .. 'submit:accounts', P .. 'submit:account_inflight', P .. 'submit:due', P .. 'paused' }

local function facts_of(role)
  local roles = call.kept('role_facts')
  roles[role] = roles[role] or {}
  return roles[role]
end

local function keys_of(role, ...)
  local keys = {}
  for _, names in ipairs({ ... }) do
    for _, name in ipairs(names) do keys[#keys + 1] = P .. role .. name end
  end
  return keys
end

-- Whether none of these keys exists, as it is most of the time.
function role_facts.is_quiet(role)
  local facts = facts_of(role)
  if facts.quiet == nil then
    local keys = keys_of(role, SIDELINED, AT_TIMES)
    if role == 'submit' then
      for _, key in ipairs(OF_SUBMIT) do keys[#keys + 1] = key end
    end
    facts.quiet = redis.call('EXISTS', unpack(keys)) == 0
  end
  return facts.quiet
end

-- Whether some lane is not served in the usual way.
function role_facts.is_special(role)
  local facts = facts_of(role)
  if facts.special == nil then
    facts.special = not role_facts.is_quiet(role) and redis.call('EXISTS', unpack(keys_of(role, SIDELINED))) > 0
  end
  return facts.special
end

-- One of the keys was written.
function role_facts.note_unusual(role)
  local facts = facts_of(role)
  facts.quiet, facts.special = false, nil
end

-- How many tickets wait in the role's lanes.
function role_facts.waiting(role)
  local facts = facts_of(role)
  facts.waiting = facts.waiting or redis.call('ZCARD', P .. role .. ':waiting')
  return facts.waiting
end

-- `by`: how many more wait now.
function role_facts.note_waiting(role, by)
  local facts = facts_of(role)
  if facts.waiting then facts.waiting = facts.waiting + by end
end

-- Something changed in the role after which more may be dispatched: a ticket entered, or a slot was freed.
function role_facts.note_change(role)
  facts_of(role).changed = true
end

function role_facts.has_changed(role)
  return facts_of(role).changed or false
end

return role_facts
