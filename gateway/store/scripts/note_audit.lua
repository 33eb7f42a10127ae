-- tell(KEYS = {events}, ARGV = {kind, by, request, field, value, ...})
--
-- Notes what an operator did, for good and among the operators' events.
--
-- Returns 1
audit(unpack(ARGV))
ops_event(now_ms(), ARGV[1], 'by', ARGV[2], unpack(ARGV, 4))
return 1
