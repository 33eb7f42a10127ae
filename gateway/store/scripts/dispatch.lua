-- dispatch(KEYS = {any key of ours}, ARGV = {roles})
-- roles: {role = limits}
--
-- The tick: what became due enters its lane, and what may run is handed to arq.
--
-- Returns how many were handed over
return dispatch_all(cjson.decode(ARGV[1]), now_ms())
