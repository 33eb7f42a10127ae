-- resume(KEYS = {any key of ours}, ARGV = {role, lane, roles})
--
-- The lane goes on at once, as if it had never been parked and, if it is a subscriber's, as if nothing had failed.
--
-- Returns 1
if ARGV[1] == 'deliver' then heal_lane(ARGV[2]) else resume_lane(ARGV[1], ARGV[2]) end
dispatch_all(cjson.decode(ARGV[3]), now_ms())
return 1
