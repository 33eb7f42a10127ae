-- dispatch: the tick. In every role, moves the work that may run now from the lanes to arq.
--
-- KEYS  any key of ours
-- ARGV  roles: {role = limits} of dispatching.lua, JSON
--
-- First, due tickets enter their lanes, and lanes whose pause has ended are tried.
--
-- Returns {how many were dispatched, ms until time makes more work due, or -1 if it will not}
local roles = cjson.decode(ARGV[1])
local now = call.now_ms()
local dispatched, more, used = dispatching.tick(roles, now)
return { dispatched, more and 0 or dispatching.until_next(used, now) }
