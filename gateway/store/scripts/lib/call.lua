-- call.lua: a shared part. What one call of a function keeps for itself.
--
-- A library outlives its calls, so no other part may keep anything from one call to the next.
local call = {}

local kept = {}

-- Every function begins with this, also after a call that failed halfway.
function call.begin()
  kept = {}
end

-- The table of this name, empty at the beginning of each call.
function call.kept(name)
  kept[name] = kept[name] or {}
  return kept[name]
end

function call.forget(name)
  kept[name] = nil
end

-- Milliseconds since the epoch, by this server's clock.
function call.now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

return call
