-- begin: a worker starts dispatched work, and its lease starts now.
--
-- KEYS  record
-- ARGV  role, ticket, number: of the dispatch; lease_ms; then pairs of field, prefix: also reads the record
--       {gw}:<prefix><value of that field>
--
-- The worker must hold the newest dispatch of the ticket. Everything is read in the same step.
--
-- Returns {} when the ticket is stale, else {record, related, ...} as flat lists
local key = KEYS[1]
local role, ticket, number, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local related = { unpack(ARGV, 5) }
return records.begin(key, role, ticket, number, lease_ms, related, call.now_ms())
