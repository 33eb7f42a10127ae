-- dispatch(KEYS = {any key of ours}, ARGV = {roles})
-- roles: {role = limits}
--
-- The tick: what became due enters its lane, lanes whose time has come are tried, and what may run is handed to arq.
--
-- Returns {how many were handed over, ms until there is more to do or -1: not until something else happens}
local roles, now = cjson.decode(ARGV[1]), now_ms()
local handed, more = dispatch_all(roles, now)
return { handed, more and 0 or until_next(roles, now) }
