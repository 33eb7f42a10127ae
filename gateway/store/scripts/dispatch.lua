-- dispatch: the tick. What may run now, in every role, is moved from the lanes to arq.
--
-- KEYS  any key of ours
-- ARGV  roles: {role = limits} of dispatching.lua, JSON
--
-- First what became due enters its lane, and lanes whose pause is over are tried.
--
-- Returns {how many were dispatched, ms until there is more to do or -1: not until something else happens}
local roles = cjson.decode(ARGV[1])
local now = now_ms()
local dispatched, more = dispatch_all(roles, now)
return { dispatched, more and 0 or until_next(roles, now) }
