-- begin: a worker starts dispatched work, and its lease starts now.
--
-- KEYS  record
-- ARGV  role, ticket, number: of the dispatch; lease_ms; then pairs of field, prefix: also reads the record
--       {gw}:<prefix><value of that field>
--
-- The worker must hold the newest dispatch of the ticket. Everything is read in the same step.
--
-- Returns {} when the ticket is stale, else {record, related, ...} as flat lists
local record = KEYS[1]
local role, ticket, number, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local related = { unpack(ARGV, 5) }
if not lanes.is_newest_dispatch(role, ticket, number) then return {} end
lanes.extend_lease(role, ticket, lease_ms, call.now_ms())
local found = { redis.call('HGETALL', record) }
for i = 1, #related, 2 do
  local field, prefix = related[i], related[i + 1]
  local name = redis.call('HGET', record, field)
  found[#found + 1] = name and redis.call('HGETALL', P .. prefix .. name) or {}
end
return found
