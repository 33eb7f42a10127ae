-- call.lua: a shared part. What one call of a function keeps for itself, and writes at its end.
--
-- A library outlives its calls, so no other part may keep anything from one call to the next.
local call = {}

local kept = {}
local writers = {} -- set while the library is loaded

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

-- A part names what writes the things that it keeps. At the end of a call, later parts write first: they may use
-- earlier ones for it.
function call.written_by(writer)
  writers[#writers + 1] = writer
end

-- An error in one writer stops no other. Returns the first error, or nil.
function call.write()
  local first
  for at = #writers, 1, -1 do
    local went_well, fault = pcall(writers[at])
    if not went_well then first = first or fault end
  end
  return first
end

-- Milliseconds since the epoch, by this server's clock.
function call.now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

return call
