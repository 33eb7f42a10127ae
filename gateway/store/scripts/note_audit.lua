-- note_audit: adds an audit entry and an ops event.
--
-- KEYS  events
-- ARGV  act; by: the id of the operator's key; request: the id of the request; then pairs of field, value
--
-- Returns 1
local act, by, request, fields = ARGV[1], ARGV[2], ARGV[3], { unpack(ARGV, 4) }
add_audit_entry(act, by, request, unpack(fields))
ops_event(now_ms(), act, 'by', by, unpack(fields))
return 1
